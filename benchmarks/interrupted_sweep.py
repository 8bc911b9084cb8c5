"""A sweep that is killed twice runs nothing twice, and ends in the same bits as an undisturbed one.

    python -m benchmarks.interrupted_sweep [--quick]      results/interrupted_sweep.json

Three models from five seeds on navigation, two jobs. The first kill hits the sweep, its process group and its runs at
once, the second the sweep alone: its runs have to die with it. After each kill the same command is started again. The
logs tell which commands were started and which iterations were computed: after a kill, those since the last checkpoint
are computed again, and nothing else is. Tensors, generator states and counters of the last checkpoint, `metrics.jsonl`,
`evaluation.json` and the picture of every run are compared byte by byte.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("reuploading", "mlp", "fourier")
JOBS = 2
CHECKPOINTS = 4
"""Checkpoint interval [meta-iterations]."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    iterations: int = 20
    """Length of each run [meta-iterations]."""

    seeds: int = 5
    """Number of seeds."""


@dataclass(frozen=True)
class Kill:
    """Kill of a sweep."""

    what: str
    complete: int
    """Runs that were complete."""
    running: tuple[str, ...]
    """Runs that were running."""
    seconds_until_dead: float
    """Time from the kill to the end of the last process of the study [s]."""


def main(options: Options) -> None:
    """Sweep undisturbed and killed twice; compare every run."""
    set_up(threads=1)
    iterations, seeds = (8, 2) if options.quick else (options.iterations, options.seeds)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        words = [
            *("sweep", "--env", "navigation", "--models", ",".join(MODELS), "--seeds", str(seeds)),
            *("--jobs", str(JOBS), "--iterations", str(iterations), "--checkpoint-every", str(CHECKPOINTS)),
            *("--eval-tasks", "20", "--eval-episodes", "10"),
        ]
        started = time.perf_counter()
        sweep(words, whole).wait()
        seconds = time.perf_counter() - started
        names = sorted(path.name for path in whole.iterdir() if path.is_dir())
        kills = [
            kill(words, killed, len(names) // 4, everything=True),
            kill(words, killed, len(names) // 2, everything=False),
        ]
        code = sweep(words, killed).wait()
        runs = [compare(name, whole, killed, iterations, kills) for name in names]
    print(table(runs))
    interrupted = {name for each in kills for name in each.running}
    passed = {
        "exit code 0": code == 0,
        "all runs equal": len(names) == len(MODELS) * seeds and all(run["equal"] for run in runs),
        "no run trained twice": all(run["since a checkpoint"] for run in runs),
        "complete runs not started again": all(run["starts"] == 1 for run in runs if run["run"] not in interrupted),
        "processes died with the sweep": all(each.seconds_until_dead < 1 for each in kills),
    }
    result = {
        "sweep": words,
        "seconds of the undisturbed sweep": round(seconds, 1),
        "kills": [each.__dict__ for each in kills],
        "runs": runs,
        "checks": passed,
        "pass": all(passed.values()),
    }
    print(json.dumps(passed, indent=2))
    write_result("interrupted_sweep", result, quick=options.quick)
    sys.exit(not all(passed.values()))


def sweep(words: Sequence[str], out: Path) -> "subprocess.Popen[bytes]":
    """Start a sweep in a process group of its own."""
    command = [sys.executable, "-m", "agents", *words, "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)


def kill(words: Sequence[str], out: Path, complete: int, *, everything: bool) -> Kill:
    """Start a sweep and kill it once so many runs are complete and a further one has been training for a while."""
    process = sweep(words, out)
    while len(finished(out)) < complete or not any(rows(out / name) > CHECKPOINTS for name in running(out)):
        if process.poll() is not None:
            raise RuntimeError("the sweep ended before it was to be killed")
        time.sleep(0.02)
    done, hit = len(finished(out)), running(out)
    if everything:
        os.killpg(process.pid, signal.SIGKILL)
        for pid in processes_of(out):
            with suppress(ProcessLookupError):  # It has died with the sweep.
                os.kill(pid, signal.SIGKILL)
    else:
        process.kill()
    start = time.perf_counter()
    process.wait()
    while processes_of(out):
        time.sleep(0.01)
    what = "sweep, process group and runs" if everything else "sweep alone"
    return Kill(what, done, tuple(hit), round(time.perf_counter() - start, 2))


def finished(out: Path) -> list[str]:
    """Return the names of the evaluated runs."""
    return sorted(path.parent.name for path in out.glob("*/adaptation.png"))


def running(out: Path) -> list[str]:
    """Return the names of the runs that have a process."""
    lines = processes_of(out).values()
    return sorted(path.stem for path in out.glob("*.log") if any(f"{out / path.stem}\0" in line for line in lines))


def processes_of(out: Path) -> dict[int, str]:
    """Return the command lines of the processes that train runs of a study, by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It may have ended.
            line = path.read_bytes().decode(errors="replace")
            if f"{out}/" in line:
                found[int(path.parent.name)] = line
    return found


def rows(run: Path) -> int:
    """Return the number of rows of metrics."""
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def compare(name: str, whole: Path, killed: Path, iterations: int, kills: Sequence[Kill]) -> dict[str, Any]:
    """Return a row about a run: its starts, the iterations that were computed twice, and whether it equals its twin."""
    log = (killed / f"{name}.log").read_text()
    commands = re.findall(r"^\$ python -m agents (\w+)", log, re.MULTILINE)
    computed = [int(number) for number in re.findall(r"^iteration (\d+)/", log, re.MULTILINE)]
    again = len(computed) - len(set(computed))
    # What was computed after the last checkpoint before a kill is computed again, and nothing else.
    allowed = CHECKPOINTS * sum(name in each.running for each in kills)
    assert set(computed) == set(range(1, iterations + 1))
    return {
        "run": name,
        "starts": len(commands),
        "iterations again": again,
        "since a checkpoint": again <= allowed,
        "equal": results(whole / name) == results(killed / name),
    }


def results(run: Path) -> dict[str, bytes]:
    """Return everything that a run has computed, except times."""
    last = sorted((run / "checkpoint").iterdir())[-1]
    state = json.loads((last / "state.json").read_bytes())["meta"]
    state.pop("seconds")
    files = {name: (run / name).read_bytes() for name in ("metrics.jsonl", "evaluation.json", "adaptation.png")}
    return files | {"tensors": (last / "state.safetensors").read_bytes(), "state": json.dumps(state).encode()}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
