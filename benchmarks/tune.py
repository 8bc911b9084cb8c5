"""A search by two processes, one of which is killed: no trial is lost or run twice; the best options against defaults.

    python -m benchmarks.tune [--quick]      results/tune.json

Forty short trials of MAML with the re-uploading circuit on cart-pole, in two processes that share a journal. One of
them is killed while it trains, and the same command is started again. The journal tells how often each trial has been
claimed, and how often it has ended. The trial of the killed process is continued by another one: it is trained again
from the beginning, undisturbed, and has to end with the same scores. At the end, the search compares the best options
with the defaults, on train tasks and from seeds that it has not seen.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.core.plain import to_plain
from agents.core.spec import Spec
from agents.tuning.ranges import with_values
from agents.tuning.record import Record, TrialRecord
from agents.tuning.training import score_trial
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

ROOT = Path(__file__).resolve().parent.parent
CREATED, ENDED, ATTRIBUTE = 4, 6, 8
"""Operations of Optuna's journal: a new trial, its state, an attribute."""
FINAL = (1, 2, 3)
"""States of a trial that has ended: complete, pruned, failed."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    trials: int = 40
    """Number of trials."""

    iterations: int = 10
    """Length of each training [meta-iterations]."""


def main(options: Options) -> None:
    """Search with two processes, kill one, and check every trial."""
    set_up(threads=1)
    trials, iterations = (6, 6) if options.quick else (options.trials, options.iterations)
    words = [
        *("tune", "--env", "cartpole", "--model", "reuploading", "--trials", str(trials)),
        *("--iterations", str(iterations), "--checkpoint-every", "2", "--eval-steps", "1", "--eval-episodes", "10"),
        *("--eval-tasks", "20" if options.quick else "100", "--agent.meta-batch", "10", "--agent.episodes", "10"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        out, started = Path(folder, "search"), time.perf_counter()
        processes = [start(words, out) for _ in range(2)]
        kill(processes[0], out, trials // 4)
        processes.append(start(words, out))
        codes = [process.wait() for process in processes[1:]]
        seconds = time.perf_counter() - started
        record, journal = Record.read(out), entries(out / "trials.log")
        claims, ends = claims_of(journal), ends_of(journal)
        continued = [number for number, count in claims.items() if count > 1]
        equal = [repeated(record, number, Path(folder, f"again-{number}")) for number in continued]
    held = record.held_out
    checks = {
        "exit codes 0": not any(codes),
        "no trial lost": len(record.trials) == trials and set(ends) == set(range(trials)),
        "no trial run twice": set(ends.values()) == {1},
        "the killed process's trial was continued": len(continued) == 1,
        "it ended with the scores of an undisturbed training": all(equal),
    }
    result = {
        "search": words,
        "seconds": round(seconds, 1),
        "states": dict(Counter(each.state for each in record.trials)),
        "continued trials": continued,
        "checks": checks,
        "pass": all(checks.values()),
        "defaults": record.defaults,
        "best": None if record.best is None else to_plain(record.best),
        "importance": record.importance,
        "held out": None if held is None else to_plain(held),
        "trials": [row(each) for each in record.trials],
    }
    print(table([row(each) for each in record.trials]))
    print(json.dumps({name: result[name] for name in ("states", "best", "held out", "checks")}, indent=2))
    write_result("tune", result, quick=options.quick)
    sys.exit(not all(checks.values()))


def start(words: Sequence[str], out: Path) -> "subprocess.Popen[bytes]":
    """Start a process of the search."""
    command = [sys.executable, "-m", "agents", *words, "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill(process: "subprocess.Popen[bytes]", out: Path, n_ended: int) -> None:
    """Kill a process once so many trials have ended and two are being trained."""
    log = out / "trials.log"
    while process.poll() is None:
        journal = entries(log) if log.exists() else []
        running = set(claims_of(journal)) - set(ends_of(journal))
        trained = [number for number in running if (out / f"trial-{number:04d}/seed10000/checkpoint").exists()]
        if len(ends_of(journal)) >= n_ended and len(trained) == 2:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.05)
    raise RuntimeError("the process ended before it was to be killed")


def entries(log: Path) -> list[Mapping[str, Any]]:
    """Return the entries of a journal."""
    lines = log.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def claims_of(journal: Sequence[Mapping[str, Any]]) -> Counter[int]:
    """Return how often each trial was claimed by a process."""
    claimed = (each for each in journal if each["op_code"] == ATTRIBUTE and "qrl:claimed" in each["user_attr"])
    return Counter(each["trial_id"] for each in claimed)


def ends_of(journal: Sequence[Mapping[str, Any]]) -> Counter[int]:
    """Return how often each trial has ended."""
    return Counter(each["trial_id"] for each in journal if each["op_code"] == ENDED and each["state"] in FINAL)


def repeated(record: Record, number: int, path: Path) -> bool:
    """Train a trial anew, and return whether its scores are those of the record."""
    trial = record.trials[number]
    spec = with_values(Spec.from_json(record.spec), trial.options)
    specs = {f"seed{seed}": dataclasses.replace(spec, seed=seed) for seed in record.protocol.seeds}
    scores: list[tuple[int, float]] = []

    def report(iteration: int, score: float) -> bool:
        scores.append((iteration, score))
        return False

    score_trial(specs, path, record.protocol, {}, report)
    return tuple(scores[: len(trial.scores)]) == trial.scores


def row(trial: TrialRecord) -> dict[str, Any]:
    """Return the row of a trial."""
    done = trial.scores[-1][0] if trial.scores else 0
    return {"trial": trial.number, "state": trial.state, "score": trial.score, "iterations": done}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
