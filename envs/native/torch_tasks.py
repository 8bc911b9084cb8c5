"""Families with dynamics written in torch, batched over lanes.

A family subclasses `TorchTasks` and defines three pure functions over a batch of lanes, `initial_state`, `observe` and
`transition`. The base class provides task sampling, vector environments and the single Gymnasium environment.
"""

from collections.abc import Mapping

import torch

from envs.core.distribution import TaskDistribution
from envs.core.tasks import Tasks
from envs.native.protocol import Dynamics
from envs.native.single import SingleEnv
from envs.native.vector import TorchVectorEnv


class TorchTasks(TaskDistribution, Dynamics):
    """Family with dynamics in torch; the arguments are those of `TaskDistribution`.

    A family that overrides `render` declares `render_modes = ("rgb_array",)`.
    """

    def vectorise(self, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu") -> TorchVectorEnv:
        """Make a vector environment of n_tasks · envs_per_task lanes, stepped together in torch."""
        return TorchVectorEnv(self, n_tasks, envs_per_task, device)

    def make(self, task: Mapping[str, object] | Tasks | None = None, render_mode: str | None = None) -> SingleEnv:
        """See `TaskDistribution.make`."""
        return SingleEnv(self, task, render_mode)
