"""Cross-entropy method: search for an open-loop action sequence from scratch in each task; no training.

The agent is the control without meta-learning: it starts from scratch in each task, with the same number of episodes.
The action of each step of the episode has its own distribution, independent of the observations. Each update moves the
distributions towards the elite, the episodes with the largest returns (Rubinstein 1999; de Boer et al. 2005, A tutorial
on the cross-entropy method):

    elite = {episodes whose return is at least the k-th largest}, k = elite_fraction of the episodes
    v <- smoothing * (maximum-likelihood fit to the elite) + (1 - smoothing) * v

The parameters v are means and standard deviations for continuous actions, starting from the centre of the action range,
and probabilities for discrete actions, starting from the uniform distribution. Where the initial state varies between
episodes, no single action sequence suits all of them.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import torch
from torch import Tensor

from agents.core.context import BuildContext, refuse_masks
from agents.core.options import Options
from agents.core.rollout import Rollout
from qrl.common.errors import UsageError
from qrl.common.options import tunable
from qrl.policies.spaces import action_units

LISTED_UNDER = "baselines"

MIN_ELITE = 2
"""Minimum number of elite episodes: a single one has zero standard deviation and would end the search."""


@dataclass(frozen=True)
class Config(Options):
    """Options of the cross-entropy method."""

    elite_fraction: float = field(default=0.05, metadata=tunable(0.02, 0.5, log=True))
    """Fraction of the episodes in the elite, which has at least two episodes (de Boer et al. 2005: 0.01 to 0.1; ours:
    the best of three on train tasks of qubit_control, for updates from 10 to 40 episodes)."""
    smoothing: float = field(default=1.0, metadata=tunable(0.2, 1))
    """Smoothing rate of the parameters; 1 replaces them by the fit (de Boer et al. 2005: 0.4 to 0.9 for long searches;
    ours: 1 was the best for a few updates on train tasks of qubit_control)."""
    initial_std: float = field(default=1.0, metadata=tunable(0.1, 3, log=True))
    """Initial standard deviation of continuous actions [half the action range] (ours: the best of four on train tasks
    of qubit_control)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("elite_fraction", "smoothing"), lambda value: 0 < value <= 1, "in (0, 1]")
        self.require(("initial_std",), lambda value: 0 < value < math.inf, "finite and positive")


@dataclass(frozen=True)
class Search:
    """Parameters of the distributions of each task [task, time, ...], and the current step of the episode."""

    values: dict[str, Tensor]
    step: int


class CrossEntropy(ABC):
    """Base class of the cross-entropy method, an open-loop agent (`agents.core.agent.OpenLoopAgent`)."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        self.config, self.horizon, self.device = config, context.horizon, context.device

    def begin(self, n_tasks: int, n_envs: int) -> Search:
        """Return the initial distributions, equal in all tasks."""
        values = self._initial()
        return Search({name: v.expand(n_tasks, self.horizon, *v.shape).clone() for name, v in values.items()}, 0)

    def on_episode_start(self, state: Search) -> Search:
        """Return the same distributions at the first step."""
        return Search(state.values, 0)

    def act(self, state: Search, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Search]:
        """Draw an action per lane from the distribution of the current step. Raises UsageError after the last step."""
        if state.step >= self.horizon:
            raise UsageError(
                f"act: agent {self.config.agent} has actions for the {self.horizon} steps of an episode only: report "
                f"the end of an episode with observe(observation, reward, terminated or truncated)"
            )
        current = {name: value[:, state.step] for name, value in state.values.items()}
        return self._draw(current, tuple(observation.shape[:2]), generator), Search(state.values, state.step + 1)

    def adapt(self, state: Search, rollout: Rollout) -> Search:
        """Move the distributions towards the elite, at every step that at least one elite episode reached."""
        returns = rollout.returns
        n_elite = max(MIN_ELITE, math.ceil(self.config.elite_fraction * returns.shape[1]))
        threshold = returns.topk(min(n_elite, returns.shape[1]), dim=1).values[:, -1:]
        elite = ((returns >= threshold) & rollout.valid).transpose(0, 1).to(returns.dtype)  # [task, time, env]
        count, length = elite.sum(-1), elite.shape[1]
        weight = elite / count.clamp_min(1).unsqueeze(-1)
        rate = self.config.smoothing * (count > 0)
        values = {}
        for name, fit in self._fit(weight, rollout.action.transpose(0, 1)).items():
            old = state.values[name]
            moved = old[:, :length] + rate.unsqueeze(-1) * (fit - old[:, :length])
            values[name] = torch.cat([moved, old[:, length:]], dim=1)
        return Search(values, 0)

    @abstractmethod
    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the actions to the environment's units."""

    @abstractmethod
    def _initial(self) -> dict[str, Tensor]:
        """Return the initial parameters of the distribution of a step."""

    @abstractmethod
    def _draw(self, current: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw actions [task, env, ...] from the distribution of each task [task, ...]."""

    @abstractmethod
    def _fit(self, weight: Tensor, action: Tensor) -> dict[str, Tensor]:
        """Fit distributions [task, time, ...] to the actions [task, time, env, ...] by maximum likelihood.

        `weight`: weight of each lane [task, time, env].
        """


class Continuous(CrossEntropy):
    """Independent normal distributions, clipped to the action range.

    Actions are measured from the centre of the action range, in units of half of it.
    """

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        self.units = action_units(context.action_space, context.device)
        self.low, self.high = ((self.units[end] - self.units["centre"]) / self.units["half"] for end in ("low", "high"))

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the actions to the environment's units."""
        scaled = self.units["centre"] + self.units["half"] * action
        return scaled.clamp(self.units["low"], self.units["high"])  # rounding may exceed the bounds

    def _initial(self) -> dict[str, Tensor]:
        mean = torch.zeros_like(self.units["centre"])
        return {"mean": mean, "std": torch.full_like(mean, self.config.initial_std)}

    def _draw(self, current: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        noise = torch.randn((*lanes, current["mean"].shape[-1]), generator=generator, device=self.device)
        return (current["mean"].unsqueeze(1) + current["std"].unsqueeze(1) * noise).clamp(self.low, self.high)

    def _fit(self, weight: Tensor, action: Tensor) -> dict[str, Tensor]:
        weight = weight.unsqueeze(-1)
        mean = (weight * action).sum(2)
        return {"mean": mean, "std": (weight * (action - mean.unsqueeze(2)).square()).sum(2).sqrt()}


class Discrete(CrossEntropy):
    """Categorical distributions over the actions."""

    def __init__(self, config: Config, context: BuildContext, space: gymnasium.spaces.Discrete) -> None:
        super().__init__(config, context)
        self.n_actions, self.start = int(space.n), int(space.start)

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the actions to the environment's units."""
        return action + self.start

    def _initial(self) -> dict[str, Tensor]:
        return {"probability": torch.full((self.n_actions,), 1 / self.n_actions, device=self.device)}

    def _draw(self, current: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.multinomial(current["probability"], lanes[1], replacement=True, generator=generator)

    def _fit(self, weight: Tensor, action: Tensor) -> dict[str, Tensor]:
        chosen = torch.nn.functional.one_hot(action, self.n_actions)
        return {"probability": (weight.unsqueeze(-1) * chosen).sum(2)}


def build(config: Config, context: BuildContext) -> CrossEntropy:
    """Return the agent for the family's action space; the model is not used."""
    refuse_masks("cross_entropy", context)
    space: Any = context.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return Discrete(config, context, space)
    return Continuous(config, context)
