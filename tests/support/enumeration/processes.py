"""Finite decision processes so small that every expectation is a finite sum.

A data set D is `episodes` episodes. All data sets, or all sequences of them for several inner steps, are laid out along
the task axis of a rollout, so that one call of the library covers all of them.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.core.rollout import Rollout

OBSERVATION = torch.tensor([0.7, -0.4], dtype=torch.float64)
"""What the policy sees in each state; not 0, so that a circuit's input scales matter."""
N_ACTIONS = 2

END = -1
"""The state that ends an episode."""


class Outcome(NamedTuple):
    """An outcome of an action: its probability, the reward, the next state."""

    probability: float
    reward: float
    state: int


@dataclass(frozen=True)
class Problem:
    """A decision process that starts in state 0, `outcomes[state][action]`, and the size of one inner data set.

    Estimators do not depend on the order of a data set's episodes, so each set is listed once and its orders
    are counted; with `ordered` every order is listed separately.
    """

    outcomes: tuple[tuple[tuple[Outcome, ...], ...], ...]
    horizon: int
    episodes: int = 2
    ordered: bool = False

    @cached_property
    def episode_list(self) -> list[tuple[float, tuple[tuple[int, int, float], ...]]]:
        """Every possible episode: the probability of its outcomes, and (state, action, reward) of its steps."""
        return list(self._episodes(0, self.horizon))

    def _episodes(self, state: int, steps: int) -> Iterator[tuple[float, tuple[tuple[int, int, float], ...]]]:
        if steps == 0 or state == END:
            yield 1.0, ()
            return
        for action, outcomes in enumerate(self.outcomes[state]):
            merged: Counter[tuple[float, int]] = Counter()  # the state after the last step is irrelevant
            for outcome in outcomes:
                merged[outcome.reward, outcome.state if steps > 1 else END] += outcome.probability  # type: ignore[assignment]
            for (reward, following), probability in merged.items():
                for chance, rest in self._episodes(following, steps - 1):
                    yield probability * chance, ((state, action, reward), *rest)

    @cached_property
    def chance(self) -> Tensor:
        """Probability of an episode's outcomes, given its actions [episode]."""
        return torch.tensor([chance for chance, _ in self.episode_list], dtype=torch.float64)

    @cached_property
    def steps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States, actions, rewards and validity of every episode, each [episode, time]; padding is 0."""
        padded = [[*steps, *[(0, 0, 0.0)] * (self.horizon - len(steps))] for _, steps in self.episode_list]
        states, actions, rewards = torch.tensor(padded, dtype=torch.float64).unbind(-1)
        length = torch.tensor([len(steps) for _, steps in self.episode_list])
        return states.long(), actions.long(), rewards, torch.arange(self.horizon) < length[:, None]

    @cached_property
    def returns_to_go(self) -> Tensor:
        """Rewards from each step on [episode, time]."""
        rewards = self.steps[2]
        return torch.stack([rewards[:, t:].sum(1) for t in range(self.horizon)], dim=1)

    @cached_property
    def returns(self) -> Tensor:
        """The episodes' returns, per step [episode]."""
        return self.returns_to_go[:, 0] / self.horizon

    @cached_property
    def members(self) -> Tensor:
        """Episodes of every data set [data, env]."""
        indices = range(len(self.chance))
        if self.ordered:
            return torch.tensor(list(itertools.product(indices, repeat=self.episodes)))
        return torch.tensor(list(itertools.combinations_with_replacement(indices, self.episodes)))

    @cached_property
    def orders(self) -> Tensor:
        """Number of orders of the episodes of each data set [data]."""
        if self.ordered:
            return torch.ones(len(self.members), dtype=torch.float64)
        repeats = [math.prod(map(math.factorial, Counter(row).values())) for row in self.members.tolist()]
        return math.factorial(self.episodes) / torch.tensor(repeats, dtype=torch.float64)

    def rollout(self, members: Tensor) -> Rollout:
        """Data sets [task, env] of episodes as a rollout, one per task."""
        columns = [column[members].movedim(2, 0) for column in self.steps]
        states, actions, rewards, valid = columns
        following = torch.cat([valid[1:], torch.zeros_like(valid[:1])])
        last = torch.arange(self.horizon)[:, None, None] == self.horizon - 1
        terminated, truncated = valid & ~following & ~last, valid & last
        episode = torch.zeros_like(valid, dtype=torch.int64)
        return Rollout(OBSERVATION[states][..., None], actions, rewards, valid, terminated, truncated, episode)


def bandit(episodes: int = 2, pulls: int = 1, means: tuple[float, float] = (0.8, 0.3), **options: Any) -> Problem:
    """Two arms that pay 1 with probability `means`; an episode is `pulls` pulls."""
    arms = tuple((Outcome(mean, 1.0, 0), Outcome(1 - mean, 0.0, 0)) for mean in means)
    return Problem((arms,), pulls, episodes, **options)


def two_states(episodes: int = 2, **options: Any) -> Problem:
    """Two states, two steps: the action determines the reward and the probability of the next state."""
    reward = ((1.0, -0.5), (0.3, 2.0))
    to_other = ((0.8, 0.3), (0.4, 0.9))  # probability that the next state is 1
    outcomes = tuple(
        tuple((Outcome(p, r, 1), Outcome(1 - p, r, 0)) for r, p in zip(*row, strict=True))
        for row in zip(reward, to_other, strict=True)
    )
    return Problem(outcomes, 2, episodes, **options)


def early_end(episodes: int = 2, **options: Any) -> Problem:
    """`two_states` where action 1 in the first state may end the episode, so that there is padding."""
    problem = two_states()
    (first, _), later = problem.outcomes
    ending = (Outcome(0.5, -0.5, END), Outcome(0.3, -0.5, 1), Outcome(0.2, -0.5, 0))
    return Problem(((first, ending), later), 2, episodes, **options)
