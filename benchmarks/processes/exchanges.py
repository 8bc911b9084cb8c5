"""Duration of an exchange between the processes of a training.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m benchmarks.processes.exchanges NUMBERS REPEATS

Prints the median time of gathering that many numbers in double precision from every process [s].
"""

import statistics
import sys
import time

import torch

from agents.shards.world import processes


def main(n_numbers: int, repeats: int) -> None:
    """Time exchanges; the leading process prints the median."""
    torch.set_num_threads(1)
    with processes("cpu") as world:
        values, durations = torch.zeros(n_numbers, dtype=torch.float64), []
        for _ in range(repeats):
            begin = time.perf_counter()
            world.gather(values)
            durations.append(time.perf_counter() - begin)
        if world.rank == 0:
            print(statistics.median(durations))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
