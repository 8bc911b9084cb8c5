"""What players of families of tries share: they rank candidates by what is known, and try the best that is left."""

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
from agents.references.shared.trial import known_family
from envs.automl.lookup_tasks import LookupTasks

FAMILIES = ("algorithm_selection", "hyperparameter_tuning")


@dataclass(frozen=True)
class TriesConfig(Options):
    """Options of a player."""

    episodes: int = 1
    """Episodes of a trial [episodes], each with nothing remembered of the one before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("episodes",), lambda value: value >= 1, "at least 1")


@dataclass(frozen=True)
class Seen:
    """What an observation says."""

    features: Float[Tensor, "*lanes feature"]
    """Of the task, standardised."""
    tried: Float[Tensor, "*lanes act"]
    """1 for each candidate that was tried."""
    gains: Float[Tensor, "*lanes act"]
    """What it gained; 0 for the others."""


class Player(ABC):
    """An adapter without a state: all there is to know is in the observation.

    Raises UsageError for another family.
    """

    without_chance = True
    """Whether it always does the same in the same task."""

    def __init__(self, config: TriesConfig, context: BuildContext) -> None:
        name = type(self).__module__.rpartition(".")[2]
        self.family: LookupTasks = known_family(name, context, LookupTasks)
        self.config, self.device, self.trial_episodes = config, context.device, config.episodes
        self.n_actions, self.n_features = len(self.family.table.candidates), self.family.table.features.shape[1]

    @property
    def train_gains(self) -> NDArray[np.float64]:
        """What there was to gain in the tasks of training [task, candidate]."""
        table = self.family.table
        return table.improvement[: table.n_train]

    @abstractmethod
    def worth(self, seen: Seen, generator: torch.Generator) -> Float[Tensor, "*lanes act"]:
        """What each candidate is worth; the one that is worth most of those left is tried."""

    def begin(self, n_tasks: int, n_envs: int) -> None:
        """There is no state."""
        return

    def act(
        self, state: None, observation: Float[Tensor, "task env obs"], generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], None]:
        """The candidate that is worth most of those not tried."""
        sizes = (self.n_features, self.n_actions, self.n_actions, 2)
        features, tried, gains, _ = observation.double().split(sizes, dim=-1)
        worth = self.worth(Seen(features, tried, gains), generator)
        return worth.masked_fill(tried > 0, -torch.inf).argmax(-1), None

    def to_environment(self, action: Tensor) -> Tensor:
        """As they are."""
        return action

    def observe(self, state: None, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> None:
        """Nothing beyond what is observed."""
        return state

    def adapt(self, state: None, rollout: Rollout) -> None:
        """Nothing is learned."""
        return state
