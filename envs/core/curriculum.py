"""Families whose train tasks become harder during training."""

from typing import Protocol, runtime_checkable

from envs.core.tasks import Tasks


@runtime_checkable
class Curriculum(Protocol):
    """Family with a curriculum (Bengio et al. 2009, Curriculum learning); it changes train tasks only."""

    def ease(self, tasks: Tasks, progress: float) -> Tasks:
        """Return train tasks as easy as this progress of training, in [0, 1], asks for."""
