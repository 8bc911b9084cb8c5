"""Contents of a run folder, and a simulated full disk."""

import errno
import os
from pathlib import Path

import torch

from qrl.common import files as file_tools

CONFIG = {"spec": {"env": "navigation", "seed": 0, "iterations": 150, "sizes": (1, 2)}, "versions": {"torch": "2"}}


def tensors(number: float) -> dict[str, torch.Tensor]:
    shared = torch.full((3,), number)
    # Views, shared memory and several types, as in real parameters and optimiser states.
    return {"a": shared, "b": shared, "t": torch.arange(6.0).view(2, 3).T, "n": torch.tensor(7, dtype=torch.int64)}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def full_disk(monkeypatch, after: int = 0) -> None:
    """Let `after` bytes be written, then fail, possibly in the middle of a write."""
    left = after
    write = os.write

    def limited(descriptor, data):
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(descriptor, bytes(data[:left]))
        left -= count
        return count

    monkeypatch.setattr(file_tools.os, "write", limited)
