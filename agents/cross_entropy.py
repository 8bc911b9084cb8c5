"""No training: search for the actions of an episode, one after the other, by the cross-entropy method.

The control for starting again from nothing in each task with as many tries. There is a distribution of its own for the
action of each step of the episode, whatever is observed; in each update it moves towards the elite, those of the
episodes that earned most (Rubinstein 1999; de Boer et al. 2005, A tutorial on the cross-entropy method):

    elite = {episodes whose return is at least the k-th largest}, k = elite_fraction of the episodes
    v <- smoothing * (maximum-likelihood fit to the elite) + (1 - smoothing) * v

v are means and standard deviations for continuous actions, which begin around the middle of their range, and
probabilities for discrete ones, which begin equal. Where the state that an episode begins in differs from try to try,
one list of actions cannot be right for all.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import gymnasium
import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.options import Options
from agents.core.rollout import Rollout
from qrl.common.errors import UsageError
from qrl.policies.spaces import action_units

LEAST_ELITE = 2
"""Episodes of the elite, at least: one alone has no spread, and would end the search."""


@dataclass(frozen=True)
class Config(Options):
    """Options of the cross-entropy method."""

    elite_fraction: float = 0.05
    """Share of the episodes that the distributions are fitted to, of at least two (de Boer et al. 2005: 0.01 to 0.1;
    the best of three on train tasks of qubit_control, for updates from 10 to 40 episodes)."""
    smoothing: float = 1.0
    """How far the distributions move towards the fit, up to 1, all the way (de Boer et al. 2005 for long searches: 0.4
    to 0.9; in a few updates all the way was best, likewise)."""
    initial_std: float = 1.0
    """Standard deviation of continuous actions at the start [half the action range] (the best of four, likewise)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("elite_fraction", "smoothing"), lambda value: 0 < value <= 1, "in (0, 1]")
        self.require(("initial_std",), lambda value: 0 < value < math.inf, "finite and positive")


@dataclass(frozen=True)
class Search:
    """The distributions of each task, [task, time, ...] each, and how many steps of the episode have been taken."""

    values: dict[str, Tensor]
    step: int


class CrossEntropy(ABC):
    """An adapter that acts by the step of the episode (`agents.core.agent.OpenLoopAgent`). To be extended."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        self.config, self.horizon, self.device = config, context.horizon, context.device

    def begin(self, n_tasks: int, n_envs: int) -> Search:
        """What is tried at first, in every task."""
        values = self._first()
        return Search({name: v.expand(n_tasks, self.horizon, *v.shape).clone() for name, v in values.items()}, 0)

    def on_episode_start(self, state: Search) -> Search:
        """The same distributions at the first step."""
        return Search(state.values, 0)

    def act(self, state: Search, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Search]:
        """One action a lane, drawn from the distribution of the step. Raises UsageError after the last one."""
        if state.step >= self.horizon:
            raise UsageError(
                f"act: agent {self.config.agent} has actions for the {self.horizon} steps of an episode: tell it where "
                f"one ends by observe(observation, reward, terminated or truncated)"
            )
        now = {name: value[:, state.step] for name, value in state.values.items()}
        return self._draw(now, tuple(observation.shape[:2]), generator), Search(state.values, state.step + 1)

    def adapt(self, state: Search, rollout: Rollout) -> Search:
        """A step towards the elite, in the steps of the episode that one of them has come to."""
        returns = rollout.returns
        n_elite = max(LEAST_ELITE, math.ceil(self.config.elite_fraction * returns.shape[1]))
        least = returns.topk(min(n_elite, returns.shape[1]), dim=1).values[:, -1:]
        weight = ((returns >= least) & rollout.valid).transpose(0, 1).to(returns.dtype)  # [task, time, env]
        count, length = weight.sum(-1), weight.shape[1]
        share = weight / count.clamp_min(1).unsqueeze(-1)
        rate = self.config.smoothing * (count > 0)
        values = {}
        for name, fit in self._fit(share, rollout.action.transpose(0, 1)).items():
            old = state.values[name]
            moved = old[:, :length] + rate.unsqueeze(-1) * (fit - old[:, :length])
            values[name] = torch.cat([moved, old[:, length:]], dim=1)
        return Search(values, 0)

    @abstractmethod
    def to_environment(self, action: Tensor) -> Tensor:
        """The actions in the environment's units."""

    @abstractmethod
    def _first(self) -> dict[str, Tensor]:
        """The distribution of a step at the start."""

    @abstractmethod
    def _draw(self, now: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Actions [task, env, ...] from the distribution of each task [task, ...]."""

    @abstractmethod
    def _fit(self, share: Tensor, action: Tensor) -> dict[str, Tensor]:
        """The distributions [task, time, ...] that fit the actions [task, time, env, ...] best, weighted by `share`."""


class Continuous(CrossEntropy):
    """Independent normal distributions, in units of half the action range around its centre, cut off at its ends."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        self.units = action_units(context.action_space, context.device)
        self.low, self.high = ((self.units[end] - self.units["centre"]) / self.units["half"] for end in ("low", "high"))

    def to_environment(self, action: Tensor) -> Tensor:
        """See `CrossEntropy`."""
        scaled = self.units["centre"] + self.units["half"] * action
        return scaled.clamp(self.units["low"], self.units["high"])  # rounding may go beyond

    def _first(self) -> dict[str, Tensor]:
        mean = torch.zeros_like(self.units["centre"])
        return {"mean": mean, "std": torch.full_like(mean, self.config.initial_std)}

    def _draw(self, now: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        noise = torch.randn((*lanes, now["mean"].shape[-1]), generator=generator, device=self.device)
        return (now["mean"].unsqueeze(1) + now["std"].unsqueeze(1) * noise).clamp(self.low, self.high)

    def _fit(self, share: Tensor, action: Tensor) -> dict[str, Tensor]:
        share = share.unsqueeze(-1)
        mean = (share * action).sum(2)
        return {"mean": mean, "std": (share * (action - mean.unsqueeze(2)).square()).sum(2).sqrt()}


class Discrete(CrossEntropy):
    """Probabilities of the actions."""

    def __init__(self, config: Config, context: BuildContext, space: gymnasium.spaces.Discrete) -> None:
        super().__init__(config, context)
        self.n_actions, self.start = int(space.n), int(space.start)

    def to_environment(self, action: Tensor) -> Tensor:
        """See `CrossEntropy`."""
        return action + self.start

    def _first(self) -> dict[str, Tensor]:
        return {"probability": torch.full((self.n_actions,), 1 / self.n_actions, device=self.device)}

    def _draw(self, now: dict[str, Tensor], lanes: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.multinomial(now["probability"], lanes[1], replacement=True, generator=generator)

    def _fit(self, share: Tensor, action: Tensor) -> dict[str, Tensor]:
        chosen = torch.nn.functional.one_hot(action, self.n_actions)
        return {"probability": (share.unsqueeze(-1) * chosen).sum(2)}


def build(config: Config, context: BuildContext) -> CrossEntropy:
    """The adapter for an action space; the model is not used."""
    space: Any = context.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return Discrete(config, context, space)
    return Continuous(config, context)
