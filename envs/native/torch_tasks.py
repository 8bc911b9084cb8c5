"""Families whose dynamics are written in torch, batched over lanes.

A family subclasses `TorchTasks` and writes three pure functions over a batch of lanes, `initial_state`, `observe` and
`transition`; drawing tasks, vector environments and the scalar Gymnasium environment follow. Lanes are independent
copies of the environment; every quantity has a leading `lane` axis.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor

from envs.core.distribution import TaskDistribution
from envs.core.tasks import Tasks

if TYPE_CHECKING:
    import envs.native.vector


class TorchTasks(TaskDistribution):
    """A family with dynamics in torch; the arguments are those of `TaskDistribution`.

    One that has `render` says so: `render_modes = ("rgb_array",)`.
    """

    def vectorise(
        self, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> "envs.native.vector.TorchVectorEnv":
        """A vector environment of n_tasks · envs_per_task lanes, stepped together in torch."""
        from envs.native.vector import TorchVectorEnv

        return TorchVectorEnv(self, n_tasks, envs_per_task, device)

    def make(
        self, task: Mapping[str, Any] | Tasks | None = None, render_mode: str | None = None
    ) -> "envs.native.vector.SingleEnv":
        """See `TaskDistribution.make`."""
        from envs.native.vector import SingleEnv

        return SingleEnv(self, task, render_mode)

    # -- dynamics: pure functions, batched over lanes, on the device of their arguments --------------------------------

    @abstractmethod
    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the state at the start of an episode of every lane.

        Args:
            tasks: one row per lane.
            generator: the source of randomness, on the device of `tasks`.
        """

    @abstractmethod
    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float[Tensor, "lane obs"]:
        """What the agent sees of `state`."""

    @abstractmethod
    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """One step of every lane.

        Anything that follows from the task (a total mass) is computed here, so that no parameter can be without effect.

        Args:
            state: [lane, state].
            action: [lane, act] float64 for a Box action space, [lane] int64 for a Discrete one.
            tasks: one row per lane.

        Returns:
            the next state, the reward, and whether the episode ended there (the time limit is not for here).
        """

    # -- for single environments, which draw from Gymnasium's NumPy generator ------------------------------------------

    def start_alone(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """The state at the start of an episode of a single environment; override it to draw as an original does.

        Args:
            tasks: one task.
            rng: the environment's `np_random`.
        """
        return self.initial_state(tasks, torch.Generator().manual_seed(int(rng.integers(2**63))))

    def chance_alone(self, state: Float64[Tensor, "1 state"], rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """`state` before a step of a single environment; where an original draws at each step, with a new draw."""
        return state

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of one lane, red, green and blue; only for a family whose `render_modes` say so."""
        raise NotImplementedError
