"""Restarts: several initialisations are trained for a while, and the best of them on train tasks continues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.rl.adaptive_adam import KLAdaptiveAdam
from qrl.common.errors import UsageError
from qrl.policies.policy import Params

PREFIX = "restarts/"
"""Beginning of the names of this file's tensors in a checkpoint."""

BEST = f"{PREFIX}best/"


@dataclass
class Restarts:
    """Schedule of `count` attempts of `length` updates each, before the rest of the training.

    The score of an attempt is the mean return of its train tasks over the second half of its updates. Afterwards the
    parameters and the optimiser's state of the best attempt are restored, the earlier one in a tie. If a family's train
    tasks become harder, later attempts have slightly harder ones.
    """

    count: int
    length: int
    optimiser: KLAdaptiveAdam
    initial: Callable[[int], Params]
    """Function that draws the initial parameters of an attempt, from 0."""

    def __post_init__(self) -> None:
        self._done = torch.zeros((), dtype=torch.int64)
        self._score = torch.zeros((), dtype=torch.float64)
        self._best_score = torch.zeros((), dtype=torch.float64)
        self._best: dict[str, Tensor] = {}

    @property
    def attempt(self) -> int | None:
        """Number of the current attempt, from 0; None after the attempts, and without restarts."""
        done = int(self._done)
        if self.count == 1:
            return None
        return done // self.length if done < self.count * self.length else None

    def record(self, mean_return: float) -> None:
        """Record the mean return of an update's rollout; begin the next attempt, or restore the best, when due."""
        attempt = self.attempt
        if attempt is None:
            return
        self._done += 1
        if int(self._done) % self.length == 0 or int(self._done) % self.length > self.length // 2:
            self._score += mean_return
        if int(self._done) % self.length:
            return
        if not self._best or self._score > self._best_score:
            self._best_score = self._score.clone()
            self._best = {name: tensor.clone() for name, tensor in self.optimiser.state_dict().items()}
        self._score = torch.zeros_like(self._score)
        if attempt + 1 < self.count:
            self.optimiser.restart(self.initial(attempt + 1))
        else:
            self.optimiser.load_state_dict(self._best)
            self._best = {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the counters, and the state of the best attempt so far; nothing without restarts."""
        if self.count == 1:
            return {}
        counters = {"done": self._done, "score": self._score, "best_score": self._best_score}
        named = {f"{PREFIX}{name}": tensor.clone() for name, tensor in counters.items()}
        return named | {f"{BEST}{name}": tensor for name, tensor in self._best.items()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of a run with other restarts."""
        counters = {"done": self._done, "score": self._score, "best_score": self._best_score}
        expected = {f"{PREFIX}{name}": like for name, like in counters.items()} if self.count > 1 else {}
        found = {name: tensor for name, tensor in tensors.items() if not name.startswith(BEST)}
        if found.keys() != expected.keys() or any(found[n].shape != like.shape for n, like in expected.items()):
            raise UsageError("the checkpoint belongs to a run with other restarts")
        if self.count > 1:
            self._done, self._score, self._best_score = (found[f"{PREFIX}{name}"].clone() for name in counters)
        self._best = {n.removeprefix(BEST): tensor.clone() for n, tensor in tensors.items() if n.startswith(BEST)}
