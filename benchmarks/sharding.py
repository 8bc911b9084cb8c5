"""One training over several processes: equal bits, and the time of an iteration against a model of it.

    python -m benchmarks.sharding [--quick]      results/sharding.json, on two idle cores

Bits: each learner in 1, 2 and 4 processes, killed and started again by torchrun, and continued by 2 of 4. Time: the
same shards in one process and in two. The model of the time of an iteration on W processes,

    time(W) = shards / W * time of a shard + exchanges * time of an exchange between W processes,

takes the time of a shard and the number of exchanges from one process, and the time of an exchange from a program of
its own. Overhead: processor time of several shards in one process against that of a training that is not split.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.shards.team import Team
from agents.shards.world import OneProcess
from benchmarks.processes import launcher
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.publish import check_names

SHARDS = 4
SMALL = ("--env", "navigation", "--env.horizon", "8", "--model", "reuploading", "--agent.meta-batch", "8")
EVALUATION = ("--eval-tasks", "6", "--eval-episodes", "4")
EPISODES = ("--agent.episodes", "4")
BANDIT = ("--env", "bandit", "--agent", "rl2", "--model", "gru", "--agent.meta-batch", "32")
LEARNERS: dict[str, tuple[str, ...]] = {
    "maml, ppo": (*SMALL, *EPISODES),
    "maml, trpo": (*SMALL, *EPISODES, "--agent.outer", "trpo"),
    "maml, emaml": (*SMALL, *EPISODES, "--agent.estimator", "emaml", "--policy.normalisation", "running"),
    "reptile": (*SMALL, *EPISODES, "--agent", "reptile"),
    "reinforce": (*SMALL, *EPISODES, "--agent", "reinforce", "--agent.standardise-returns", "batch", "--shots", "20"),
    "finetune": (*SMALL, *EPISODES, "--agent", "finetune"),
    "rl2": BANDIT,
}
"""Options of the runs whose bits are compared."""

TIMED: dict[str, tuple[str, ...]] = {
    "navigation": ("--env", "navigation", "--agent.meta-batch", "40"),
    "bandit": ("--env", "bandit", "--agent.meta-batch", "2000"),
}
"""Options of the runs that are timed: defaults but for twice the tasks."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    iterations: int = 12
    """Iterations of the runs whose bits are compared [meta-iterations]."""

    learners: tuple[str, ...] = tuple(LEARNERS)
    """Learners whose bits are compared."""

    repeats: int = 3
    """Runs of each kind that are timed, alternating [runs]."""


def main(options: Options) -> None:
    """Compare bits and times."""
    check_names("sharding", "learner", options.learners, LEARNERS)
    set_up(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        times = [timed(name, words, 1 if options.quick else options.repeats, work) for name, words in TIMED.items()]
        print(table(times))
        overhead = [split_in_one_process(name, words) for name, words in TIMED.items()]
        print(table(overhead))
        learners = options.learners[:1] if options.quick else options.learners
        bits = [equal_bits(name, LEARNERS[name], options.iterations, work) for name in learners]
        print(table(bits))
    write_result("sharding", {"bits": bits, "times": times, "overhead": overhead}, quick=options.quick)


# --- bits ------------------------------------------------------------------------------------------------------------


def equal_bits(name: str, words: Sequence[str], iterations: int, work: Path) -> dict[str, Any]:
    """Return which of the runs in several processes have the content of the one in a single process."""
    common = (*words, *EVALUATION, "--iterations", str(iterations), "--checkpoint-every", "3", "--shards", str(SHARDS))
    log = work / f"{name}.log"

    def out(kind: str) -> Path:
        return work / f"{name} {kind}"

    def train(kind: str, processes: int, restarts: int = 0) -> "subprocess.Popen[bytes]":
        return launcher.start(processes, ("train", *common, "--out", str(out(kind))), log, restarts=restarts)

    for processes in (1, 2, 4):
        launcher.wait(train(f"in {processes}", processes), log)
    killed = train("killed", 2, restarts=1)
    launcher.wait_for_iterations(out("killed"), iterations // 2)
    launcher.kill_one(killed)
    launcher.wait(killed, log)
    stopped = train("continued", 4)
    launcher.wait_for_iterations(out("continued"), iterations // 2)
    stopped.send_signal(SIGTERM)
    stopped.wait()
    launcher.run(2, ("resume", str(out("continued"))), log)
    expected = launcher.content(out("in 1"))
    return {
        "learner": name,
        "2 processes": launcher.content(out("in 2")) == expected,
        "4 processes": launcher.content(out("in 4")) == expected,
        "killed, restarted": launcher.content(out("killed")) == expected,
        "4 continued as 2": launcher.content(out("continued")) == expected,
    }


# --- time ------------------------------------------------------------------------------------------------------------


def timed(name: str, words: Sequence[str], repeats: int, work: Path) -> dict[str, Any]:
    """Return seconds per iteration in one process and in two, measured and predicted."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(repeats):
        for processes in (1, 2):
            out = work / f"{name} {processes} {repeat}"
            schedule = ("--iterations", "20", "--checkpoint-every", "10", "--shards", "2")
            words_of_run = ("train", *words, *EVALUATION, *schedule, "--out", str(out))
            launcher.run(processes, words_of_run, work / f"{name}.log")
            seconds[processes].append(launcher.seconds_of(out))
    one, two = (statistics.median(values) for values in seconds.values())
    exchanges = counted_exchanges(words)
    each = exchange_seconds(max(exchanges), 2)
    predicted = one / 2 + len(exchanges) * each
    return {
        "training": name,
        "1 process [s]": one,
        "2 processes [s]": two,
        "ratio": one / two,
        "exchanges": len(exchanges),
        "exchange [ms]": 1000 * each,
        "predicted [s]": predicted,
        "measured / predicted": two / predicted,
    }


def training(words: Sequence[str], shards: int, world: "Counting | None" = None) -> Training:
    """Return the training of a command line, in this process."""
    from agents.cli.train import parse_train

    spec: Spec = parse_train([*words, "--shards", str(shards)])[0]
    return Training(spec, *build(spec), Team(shards, world))


class Counting(OneProcess):
    """World of one process that records how many numbers each exchange passes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Return the values."""
        self.sizes.append(values.numel())
        return super().gather(values)


def counted_exchanges(words: Sequence[str]) -> list[int]:
    """Return how many numbers each exchange of an iteration passes on."""
    counting = Counting()
    run = training(words, 2, counting)
    run.step()
    counting.sizes.clear()
    run.step()
    return counting.sizes


def exchange_seconds(n_numbers: int, processes: int) -> float:
    """Return the median time of an exchange of so many numbers between processes [s]."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, "-m", "benchmarks.processes.exchanges", str(n_numbers), "500"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=launcher.ROOT)
    return float(done.stdout.split()[-1])


def split_in_one_process(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the processor time of 1, 2 and 4 shards in one process, relative to that of one."""
    runs = {shards: training(words, shards) for shards in (1, 2, 4)}
    seconds: dict[int, list[float]] = {shards: [] for shards in runs}
    for _ in range(4):
        for shards, run in runs.items():
            begin = time.process_time()
            run.step()
            seconds[shards].append(time.process_time() - begin)
    whole, *split = (statistics.median(values[1:]) for values in seconds.values())
    relative = {f"{shards} shards": each / whole for shards, each in zip((2, 4), split, strict=True)}
    return {"training": name, "not split [s]": whole, **relative}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
