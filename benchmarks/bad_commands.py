"""Bad command lines of every command: each must end in one line on standard error, with exit code 2, and write nothing.

    python -m benchmarks.bad_commands [--quick]      results/bad_commands.json

Mistyped names and options, missing values, numbers that are huge, negative, not finite or no numbers, words with
control characters and half characters, contradictory options, files and folders that are missing, unreadable, foreign
or in the way. Each command line runs in a forked child of one process that has imported everything; the working folder
holds a few runs, tables and damaged files, and is compared before and after by names, contents and times.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cli.main import PATIENCE
from agents.study.on_ray import ANSWER
from benchmarks.fault_injection import command_lines, study_lines
from benchmarks.fault_injection.forked import Outcome, forked
from benchmarks.fault_injection.launched import launched
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

CASES = command_lines.CASES | study_lines.CASES
"""Bad command lines by command."""

MEMORY = 8.0
"""Address space of a child beyond that of its parent [GiB]."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    limit: float = 60.0
    """Time limit of a command line [s]."""

    prompt: float = 10.0
    """Longest time that a refusal may take [s]."""

    command: str = ""
    """Run only the command lines of this command."""

    only: str = ""
    """Run only the command lines that contain this text."""


def main(options: Options) -> None:
    """Run every bad command line and compare what it does with what it should do."""
    set_up(threads=1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as outside:
        work = Path(folder)
        os.chdir(work)
        command_lines.prepare(work)
        study_lines.prepare(work)
        pristine = Path(outside, "pristine")
        shutil.copytree(work, pristine, symlinks=True)
        trials = []
        for command, lines in CASES.items():
            if options.command not in ("", command):
                continue
            chosen = [line for line in lines if options.only in " ".join(line)]
            for line in chosen[:: 10 if options.quick else 1]:
                trials.append(trial(command, line, options))
                if trials[-1]["failed"]:
                    print(f"FAIL {trials[-1]}", flush=True)
                    restore(work, pristine)  # Else what was written would be in the way of the next lines.
        os.chdir("/")
    rows = [summary(command, [each for each in trials if each["command"] == command]) for command in CASES]
    rows = [row for row in rows if row["lines"]]
    print(table(rows))
    failed = [each for each in trials if each["failed"]]
    result = {"summary": rows, "failed": failed, "trials": trials, "pass": not failed}
    if not (options.only or options.command):
        minutes = {"minutes": round((time.perf_counter() - started) / 60, 1)}
        write_result("bad_commands", result | minutes, quick=options.quick)
    sys.exit(bool(failed))


def trial(command: str, arguments: Sequence[str], options: Options) -> dict[str, Any]:
    """Run one command line; return it with its message and with what is wrong, if anything."""
    before = snapshot(Path())
    outcome = forked(lambda: launched(arguments), Path.cwd(), limit=options.limit, memory=MEMORY)
    follows = any(word.startswith("RANK=") for word in arguments)
    prompt = options.prompt + ANSWER * (study_lines.SILENT in arguments) + PATIENCE * follows
    failed = verdict(outcome, before == snapshot(Path()), prompt, options.limit)
    shown = [word if len(word) <= 60 else f"{word[:57]}..." for word in map(ascii, arguments)]
    return {
        "command": command,
        "line": " ".join(shown),
        "message": ascii(outcome.errors.strip().replace(str(Path.cwd()), "FOLDER")[:300]),
        "seconds": round(outcome.seconds, 2),
        "GiB": round(outcome.peak, 2),
        "failed": failed,
    }


def restore(work: Path, pristine: Path) -> None:
    """Give a folder the content of another one."""
    for path in work.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.copytree(pristine, work, symlinks=True, dirs_exist_ok=True)


def verdict(outcome: Outcome, unchanged: bool, prompt: float, limit: float) -> str:
    """Return what is wrong with an outcome, in words; "" if it is as it should be."""
    if outcome.code is None:
        return f"still running after {limit:g} s"
    wrong = []
    if outcome.code != 2:
        wrong.append(f"exit code {outcome.code}")
    line, end, rest = outcome.errors.partition("\n")
    if not (line.startswith("run.py: error: ") and end and not rest):
        wrong.append(f"stderr is not one line: {outcome.errors[-300:]!a}")
    if not outcome.errors[:-1].isprintable():
        wrong.append("stderr has control characters")
    if outcome.output:
        wrong.append(f"stdout: {outcome.output[:100]!a}")
    if not unchanged:
        wrong.append("files were written or changed")
    if outcome.seconds > prompt:
        wrong.append(f"took {outcome.seconds:.1f} s")
    return "; ".join(wrong)


def summary(command: str, trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of the table."""
    seconds = sorted(each["seconds"] for each in trials) or [0.0]
    return {
        "command": command,
        "lines": len(trials),
        "as it should be": sum(not each["failed"] for each in trials),
        "median [s]": seconds[len(seconds) // 2],
        "slowest [s]": seconds[-1],
        "most memory [GiB]": max((each["GiB"] for each in trials), default=0.0),
        "pass": not any(each["failed"] for each in trials),
    }


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return type and mode, time of the last change, and content of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


if __name__ == "__main__":
    run_main(main, Options, __doc__)
