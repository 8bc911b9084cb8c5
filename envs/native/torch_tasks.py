"""Families whose dynamics are written in torch, batched over lanes.

A family subclasses `TorchTasks` and writes three pure functions over a batch of lanes, `initial_state`, `observe` and
`transition`; drawing tasks, vector environments and the scalar Gymnasium environment follow.
"""

from collections.abc import Mapping

import torch

from envs.core.distribution import TaskDistribution
from envs.core.tasks import Tasks
from envs.native.protocol import Dynamics
from envs.native.single import SingleEnv
from envs.native.vector import TorchVectorEnv


class TorchTasks(TaskDistribution, Dynamics):
    """A family with dynamics in torch; the arguments are those of `TaskDistribution`.

    A family with a `render` declares it: `render_modes = ("rgb_array",)`.
    """

    def vectorise(self, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu") -> TorchVectorEnv:
        """Make a vector environment of n_tasks · envs_per_task lanes, stepped together in torch."""
        return TorchVectorEnv(self, n_tasks, envs_per_task, device)

    def make(self, task: Mapping[str, object] | Tasks | None = None, render_mode: str | None = None) -> SingleEnv:
        """See `TaskDistribution.make`."""
        return SingleEnv(self, task, render_mode)
