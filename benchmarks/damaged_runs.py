"""Damaged run folders: whatever is found in them is recognised, harmless, or makes another complete run.

    python -m benchmarks.damaged_runs [--quick] [--seed S] [--jobs N]      results/damaged_runs.json

A thousand copies of a small run are damaged by seed: flipped, cut, appended, swapped and deleted files; values, keys
and tensors of other types or sizes with valid digests; pipes, sockets, devices, folders and links in place of files;
files of a petabyte; names that are no text. Each is tried by one of the commands, or `agents.load`, in a process of its
own, with a limit of time and of memory. Verdicts:

    recognised      exit code 1 or 2 and one line, after warnings at most; no file of the run has changed
    harmless        exit code 0 and the results of the undamaged run
    older           exit code 0, a warning, and the results of the run without its newest checkpoint
    told            exit code 0, a warning, and the results of either but for pictures and rows of metrics.jsonl
    another run     exit code 0 and other results, after a change of the configuration, or of results, sealed again: it
                    has passed every check of types, lengths and ranges, and no check can tell it from an intended one
    silent          exit code 0 and other results otherwise
    traceback, hang, memory, changed    what the names say

All but the first five are findings. A folder that a checkpoint or configuration was replaced by counts as damage of it.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from agents.runs.folder import RunFolder
from benchmarks.fault_injection.children import COMMANDS, SELECT, Finished, finish, program, warm_up
from benchmarks.fault_injection.folders import ANOTHER_RUN, DAMAGES, draw_damage, newest
from benchmarks.fault_injection.forked import forked
from benchmarks.fault_injection.runs import SMALL, Row
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

GOOD = ("recognised", "harmless", "older", "told", "another run")


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    seed: int = 0
    """Seed of all damages."""

    jobs: int = 1
    """Number of parallel processes [processes]."""

    trials: int = 1000
    """Number of damaged folders; 60 with --quick."""

    first: int = 0
    """Index of the first damage, to repeat one."""


@dataclass(frozen=True)
class Reference:
    """Sound run, and what each command makes of it, and of it without its newest checkpoint."""

    path: Path
    foreign: Path
    whole: dict[str, Finished]
    older: dict[str, Finished]


def main(options: Options) -> None:
    """Damage run folders, try a command on each, and count the verdicts."""
    set_up(threads=1)
    started = time.perf_counter()
    count = 60 if options.quick else options.trials
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        warm_up()
        references = make_references(work)
        with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
            indices = range(options.first, options.first + count)
            trials = []
            for row in pool.imap(partial(trial, references, work, options.seed), indices):
                trials.append(row)
                if row["verdict"] not in GOOD:
                    print(f"{row['verdict']}: {format_trial(row)}", flush=True)
    rows = [summary(kind, [row for row in trials if row["damage"] == kind]) for kind in DAMAGES]
    print(table([row for row in rows if row["trials"]]))
    findings = [row for row in trials if row["verdict"] not in GOOD]
    for row in findings:
        print(
            f"{row['verdict']}: {row['index']}, {row['command']}, {row['damage']}: {row['did']}\n    {row['message']}"
        )
    result = {
        "seed": options.seed,
        "summary": rows,
        "verdicts": Counter(row["verdict"] for row in trials),
        "by command": {
            name: Counter(r["verdict"] for r in trials if r["command"] == name) for name in COMMANDS | SELECT
        },
        "findings": findings,
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "pass": not findings,
    }
    write_result("damaged_runs", result, quick=options.quick or count < 1000)
    sys.exit(bool(findings))


def make_references(work: Path) -> dict[str, Reference]:
    """Train the small runs, each with a foreign one of another seed, and run all commands on them."""
    write_table(work / "data.csv")
    small = ("--checkpoint-every", "1", "--iterations", "2")
    selector = ("--env", "algorithm_selection", "--model", "gru", "--agent.meta-batch", "8", "--threads", "1")
    selector = (*selector, "--eval-tasks", "2", "--eval-episodes", "1")
    kinds = {"maml": ((*SMALL, *small), COMMANDS), "rl2": ((*selector, *small), SELECT)}
    references = {}
    for name, (arguments, commands) in kinds.items():
        runs = [work / f"{name}-{seed}" for seed in (0, 1)]
        for seed, run in enumerate(runs):
            must(work, "train", *arguments, "--seed", seed, "--out", run)
            RunFolder.open(run).change({"iterations": 3}, 0)  # so that there is something to resume
        before = work / f"{name}-before"
        shutil.copytree(runs[0], before)
        (newest(before) / "state.json").write_bytes(b"")
        whole, older = ({command: on_copy(command, run, work) for command in commands} for run in (runs[0], before))
        for command, ended in {**whole, **older}.items():
            if ended.code:
                raise RuntimeError(f"{command}: {ended.errors}")
        references[name] = Reference(runs[0], runs[1], whole, older)
    return references


def must(work: Path, *arguments: object) -> None:
    """Run a command in a child. Raises RuntimeError if it fails."""
    done = forked(lambda: program(*arguments), work)
    if done.code:
        raise RuntimeError(f"{arguments}: {done}")


def on_copy(command: str, run: Path, work: Path) -> Finished:
    """Run a command on a copy of a run."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        shutil.copy(work / "data.csv", folder)
        shutil.copytree(run, Path(folder) / "run")
        return finish(command, Path(folder) / "run", Path(folder))


def write_table(path: Path) -> None:
    """Write a small CSV file of two classes."""
    rng = np.random.default_rng(0)
    rows = [(*x, "yes" if x[0] + 0.3 * x[1] > 0 else "no") for x in rng.normal(size=(60, 2)).round(3).tolist()]
    path.write_text("a,b,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in rows))


def trial(references: dict[str, Reference], work: Path, seed: int, index: int) -> Row:
    """Damage a copy of a run, try a command on it and return the verdict."""
    kind, damage, rng = draw_damage(index, seed)
    commands = [*COMMANDS, *SELECT]
    command = commands[rng.integers(len(commands))]
    reference = references["maml" if command in COMMANDS else "rl2"]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        run = Path(folder) / "run"
        shutil.copy(work / "data.csv", folder)
        shutil.copytree(reference.path, run)
        did = damage(rng, run, reference.foreign)
        before = snapshot(run)
        ended = finish(command, run, Path(folder))
        found = verdict(kind, ended, reference.whole[command], reference.older[command])
        if found == "recognised" and snapshot(run) != before:
            found = "changed"
    message = ended.errors.replace(folder, "").strip().splitlines()[-1:]
    return {
        "index": index,
        "command": command,
        "damage": kind,
        "did": did,
        "verdict": found,
        "message": "".join(message)[:300],
    }


def format_trial(trial: Row) -> str:
    """Format a trial as one line; `--first` with its index repeats it."""
    return f"{trial['index']}, {trial['command']}, {trial['damage']}: {trial['did']}; {trial['message']}"


def snapshot(run: Path) -> dict[str, object]:
    """Return names, kinds and contents of a folder, without following links and without the lock."""
    found: dict[str, object] = {}
    for folder, folders, names in os.walk(os.fsencode(run)):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            small = os.path.isfile(path) and not os.path.islink(path) and status.st_size < 1 << 24
            if name != b".lock":
                content = Path(os.fsdecode(path)).read_bytes() if small else status.st_size
                found[os.fsdecode(path)] = (status.st_mode, content)
    return found


def verdict(kind: str, ended: Finished, whole: Finished, older: Finished) -> str:
    """Return the verdict on a finished command, without regard to changed files."""
    lines = ended.errors.splitlines()
    if ended.code is None:
        return "hang"
    if "Traceback" in ended.errors or ended.code not in (0, 1, 2):
        return "memory" if "MemoryError" in ended.errors else "traceback"
    if ended.code:
        errors = [line for line in lines if line.startswith("run.py: error: ")]
        others = [line for line in lines if not line.startswith(("warning: ", "note: ", "iteration "))]
        return "recognised" if errors == others == lines[-1:] else "traceback"
    if ended.outcome == whole.outcome:
        return "harmless"
    if any(line.startswith("warning: ") for line in lines):
        if ended.outcome == older.outcome:
            return "older"
        if essential(ended) in (essential(whole), essential(older)):
            return "told"
    return "another run" if kind in ANOTHER_RUN else "silent"


def essential(ended: Finished) -> dict[str, str]:
    """Return the results without pictures and metrics."""
    return {name: each for name, each in ended.outcome.items() if not name.endswith((".png", ".jsonl"))}


def summary(kind: str, trials: list[Row]) -> Row:
    """Return a row of the table: the verdicts on a kind of damage."""
    found = Counter(row["verdict"] for row in trials)
    good = {name: found[name] for name in GOOD}
    return {"damage": kind, "trials": len(trials), **good, "findings": len(trials) - sum(good.values())}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
