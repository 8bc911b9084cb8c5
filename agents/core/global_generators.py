"""Global random generators, from which third-party code may draw."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def restored_generators(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Restore the global generators of Python, NumPy and torch at exit, also those of torch on these GPUs."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
