"""TensorBoard: event files in the folder `tensorboard` of the run; `tensorboard --logdir runs` shows all runs."""

from collections.abc import Mapping
from typing import cast

from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from agents.tracking.tracker import TrackedRun

FLUSH_SECONDS = 10
"""Longest time that values wait in memory [s]."""


class TensorBoard:
    """Event file of one training process. A resumed run starts another one, which replaces repeated iterations."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer = SummaryWriter(
            str(run.path / "tensorboard"),
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


def start(run: TrackedRun) -> TensorBoard:
    """Open an event file for a run."""
    return TensorBoard(run)
