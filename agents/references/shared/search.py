"""Search policies for lookup tasks: evaluate the untried candidate with the largest acquisition value."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.references.shared.trial import require_family
from envs.automl.lookup_tasks import LookupTasks

FAMILIES = ("algorithm_selection", "hyperparameter_tuning")


@dataclass(frozen=True)
class SearchConfig(Options):
    """Options of a search policy."""

    episodes: int = 1
    """Episodes of a trial [episodes]; a search policy keeps no memory between them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("episodes",), lambda value: value >= 1, "at least 1")


@dataclass(frozen=True)
class Observation:
    """Parts of an observation."""

    features: Float[Tensor, "*lanes feature"]
    """Standardised meta-features of the task."""
    tried: Float[Tensor, "*lanes act"]
    """1 for each candidate already evaluated, else 0."""
    gains: Float[Tensor, "*lanes act"]
    """Improvement of each candidate already evaluated, else 0."""


class SearchPolicy(ABC):
    """Stateless search policy: the observation holds the whole search history.

    Raises UsageError for a family without lookup tasks.
    """

    deterministic = True
    """Whether the policy always takes the same actions in the same task."""

    def __init__(self, config: SearchConfig, context: BuildContext) -> None:
        name = type(self).__module__.rpartition(".")[2]
        self.family: LookupTasks = require_family(name, context, LookupTasks)
        self.config, self.device, self.trial_episodes = config, context.device, config.episodes
        self.n_actions, self.n_features = len(self.family.table.candidates), self.family.table.features.shape[1]

    @property
    def train_improvement(self) -> NDArray[np.float64]:
        """Improvement of every candidate in the training tasks [task, candidate]."""
        table = self.family.table
        return table.improvement[: table.n_train]

    @abstractmethod
    def acquisition(self, observed: Observation, generator: torch.Generator) -> Float[Tensor, "*lanes act"]:
        """Return the acquisition value of each candidate; `act` evaluates the untried candidate with the largest."""

    def begin(self, n_tasks: int, n_envs: int) -> None:
        """Return None: a search policy has no state."""
        return

    def act(
        self, state: None, observation: Float[Tensor, "task env obs"], generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], None]:
        """Return the untried candidate with the largest acquisition value."""
        sizes = (self.n_features, self.n_actions, self.n_actions, 2)
        features, tried, gains, _ = observation.double().split(sizes, dim=-1)
        score = self.acquisition(Observation(features, tried, gains), generator)
        return score.masked_fill(tried > 0, -torch.inf).argmax(-1), None

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(self, state: None, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> None:
        """Return the state unchanged: the observation holds the whole search history."""
        return state

    def adapt(self, state: None, rollout: Rollout) -> None:
        """Return the state unchanged."""
        return state
