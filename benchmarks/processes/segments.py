"""Time that each shard of a training computes between two exchanges.

    python -m benchmarks.processes.segments SHARDS ITERATIONS OPTIONS OF TRAIN...

Prints JSON: `durations` [iterations][segments][shards] [s], and `sizes`, how many numbers a shard passes in each
exchange of the last iteration. An iteration of E exchanges has E + 1 segments, the last of which ends with the
iteration. All shards are in this process and take turns.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from agents.core.context import build
from agents.core.shard import Shard
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.shards.team import Team

Result = TypeVar("Result")


class TimedTeam(Team):
    """Team of one process that records how long each shard computes between two exchanges."""

    def __init__(self, n_shards: int) -> None:
        super().__init__(n_shards)
        self.durations: list[list[float]] = [[] for _ in range(n_shards)]
        """Durations by shard and segment of the last iteration [s]."""
        self.sizes: list[int] = []
        """Numbers that each shard passed in each exchange of the last iteration."""
        self._begin = [0.0] * n_shards

    @property
    def shards(self) -> list[Shard]:
        """Shards whose exchanges are recorded."""
        return [replace(shard, exchange=self) for shard in super().shards]

    def gather(self, index: int, values: Tensor) -> list[Tensor]:
        """Return the values that every shard passed."""
        self._end_segment(index)
        if index == 0:
            self.sizes.append(values.numel())
        gathered = self._lockstep.gather(index, values)
        self._begin[index] = time.perf_counter()
        return gathered

    def run(self, functions: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run a function for each shard."""
        self.sizes, self.durations = [], [[] for _ in functions]
        return super().run([self._recorded(index, function) for index, function in enumerate(functions)])

    def _recorded(self, index: int, function: Callable[[], Result]) -> Callable[[], Result]:
        def recorded() -> Result:
            self._begin[index] = time.perf_counter()
            result = function()
            self._end_segment(index)
            return result

        return recorded

    def _end_segment(self, index: int) -> None:
        self.durations[index].append(time.perf_counter() - self._begin[index])


def training(words: Sequence[str], team: Team) -> Training:
    """Return the training of a command line, in this process."""
    from agents.cli.train import parse_train

    spec: Spec = parse_train([*words, "--shards", str(team.n_shards)])[0]
    return Training(spec, *build(spec), team)


def main(n_shards: int, iterations: int, words: Sequence[str]) -> None:
    """Print the durations."""
    torch.set_num_threads(1)
    team = TimedTeam(n_shards)
    run = training(words, team)
    run.step()
    durations = []
    for _ in range(iterations):
        run.step()
        durations.append(list(zip(*team.durations, strict=True)))
    print(json.dumps({"durations": durations, "sizes": team.sizes}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
