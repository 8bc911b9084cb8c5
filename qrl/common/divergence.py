"""Divergence: numbers that are not finite end training in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from qrl.common.errors import TrainingError

REMEDY = "it diverged; use a smaller learning rate or step size"

TORCH_MESSAGES = ("satisfy the constraint", "without overflow", "`inf`, `nan`", "input matrix is singular")
"""Parts of the messages by which torch refuses numbers that are not finite, or that exceed single precision: in a
distribution's parameters, in an optimiser's step, in probabilities, and in a linear system."""


@contextmanager
def diverging(what: str) -> Iterator[None]:
    """Turn torch's errors about numbers that are not finite into a TrainingError; `what`: such as "the policy"."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if isinstance(error, TrainingError) or not any(part in str(error) for part in TORCH_MESSAGES):
            raise
        raise TrainingError(f"{what} is not finite, or too large for single precision: {REMEDY}") from error
