"""Dynamics of a family as pure functions over a batch of lanes.

Lanes are independent copies of the environment; every quantity has a leading `lane` axis. `TorchTasks`, which authors
subclass, is a task distribution with these functions; the environments of `vector.py` and `single.py` call them.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor

from envs.core.task_vector import Family
from envs.core.tasks import Tasks
from qrl.common.errors import UsageError


@runtime_checkable
class Dynamics(Protocol):
    """Dynamics in torch, on the device of the arguments."""

    @abstractmethod
    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the initial state of every lane.

        Args:
            tasks: one row per lane.
            generator: the source of randomness, on the device of `tasks`.
        """

    @abstractmethod
    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float[Tensor, "lane obs"]:
        """Return the part of `state` that the agent observes."""

    @abstractmethod
    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one step of every lane.

        Quantities derived from the task (such as a total mass) are computed here, so that no parameter can be inert.

        Args:
            state: [lane, state].
            action: [lane, act] float64 for a Box action space, [lane] int64 for a Discrete one.
            tasks: one row per lane.

        Returns:
            the next state, the reward, and whether the episode terminated (the caller applies the time limit).
        """

    # -- for single environments, which draw from Gymnasium's NumPy generator ------------------------------------------

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Draw the initial state of a single environment.

        Override this method to draw exactly as a reference implementation does.

        Args:
            tasks: one task.
            rng: the environment's `np_random`.
        """
        return self.initial_state(tasks, torch.Generator().manual_seed(int(rng.integers(2**63))))

    def resample_noise_single(
        self, state: Float64[Tensor, "1 state"], rng: np.random.Generator
    ) -> Float64[Tensor, "1 state"]:
        """Return `state` before a step of a single environment, with new random numbers.

        Override this method if a reference implementation draws random numbers at each step.
        """
        return state

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> UInt8[np.ndarray, "height width 3"]:
        """Draw one lane as an RGB image, if `render_modes` has "rgb_array"."""
        raise UsageError(f"{type(self).__name__} does not render")


@runtime_checkable
class NativeFamily(Family, Dynamics, Protocol):
    """A task distribution with dynamics in torch."""

    render_modes: tuple[str, ...]
    ends_at_horizon: bool

    def as_single_task(self, task: object) -> Tasks:
        """Return one task from Tasks of length 1, or from a mapping of some parameters; the others are nominal."""

    def check_render_mode(self, render_mode: str | None) -> None:
        """Raise UsageError for a render mode that the family does not have."""

    def make(self, task: Mapping[str, object] | Tasks | None = None, render_mode: str | None = None) -> gym.Env:
        """Make a `gymnasium.Env` on one task."""
