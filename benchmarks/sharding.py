"""One training over several processes: equal bits.

    python -m benchmarks.sharding [--quick]      results/sharding.json

Each learner in 1, 2 and 4 processes, killed and started again by torchrun, and continued by 2 of 4.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    iterations: int = 12
    """Iterations of each run [meta-iterations]."""

    learners: tuple[str, ...] = tuple(LEARNERS)
    """Learners whose bits are compared."""


def main(options: Options) -> None:
    """Compare bits."""
    check_names("sharding", "learner", options.learners, LEARNERS)
    set_up(threads=1)
    learners = options.learners[:1] if options.quick else options.learners
    with tempfile.TemporaryDirectory() as folder:
        rows = [equal_bits(name, LEARNERS[name], options.iterations, Path(folder)) for name in learners]
    print(table(rows))
    write_result("sharding", {"bits": rows}, quick=options.quick)


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


if __name__ == "__main__":
    run_main(main, Options, __doc__)
