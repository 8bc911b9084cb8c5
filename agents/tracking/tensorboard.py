"""TensorBoard: event files in the folder `tensorboard` of the run; `tensorboard --logdir runs` shows all runs."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from agents.tracking.tracker import TrackedRun

NAME = re.compile(r"events\.out\.tfevents\.([0-9]{10})\.")
"""Beginning of the name of an event file."""

FLUSH_SECONDS = 10
"""Longest time that values wait in memory [s]."""


class TensorBoard:
    """Event file of one training process. A resumed run starts another one, which replaces repeated iterations."""

    def __init__(self, run: TrackedRun) -> None:
        folder = run.path / "tensorboard"
        _await_next_second(folder)
        self._writer = SummaryWriter(
            str(folder),
            purge_step=run.iteration + 1,
            flush_secs=FLUSH_SECONDS,
        )
        file = cast(FileWriter, self._writer.file_writer)  # torch declares it as None, which it is once closed
        for summary in hparams(run.hyperparameters, {"validation/score": 0.0, "test/score": 0.0}):
            file.add_summary(summary)

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Record values after an iteration."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def close(self, *, finished: bool) -> None:
        """Write the remaining values."""
        self._writer.close()


def _await_next_second(folder: Path) -> None:
    """Wait until the name of a new event file comes after those in the folder.

    TensorBoard reads event files in the order of their names, which have the second of their start, then the process.
    """
    seconds = [int(found[1]) for path in folder.glob("*") if (found := NAME.match(path.name))]
    wait = max(seconds, default=0) + 1 - time.time()
    if 0 < wait <= 1:
        time.sleep(wait)


def start(run: TrackedRun) -> TensorBoard:
    """Open an event file for a run."""
    return TensorBoard(run)
