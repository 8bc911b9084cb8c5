"""Interruption before every system call that changes files."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from agents.runs.checkpoints import Checkpoint
from agents.runs.folder import RunFolder
from benchmarks.fault_injection.runs import Row, equal
from qrl.common.errors import UsageError
from qrl.common.files import to_json, write_atomically


class Stop(BaseException):
    """Simulated end of the process."""


@contextmanager
def stopping(at: int) -> Iterator[list[str]]:
    """Execute the first `at` calls that change files, half of the next one if it is a write, and none after it.

    Completed system calls survive a killed process, so the files are those that SIGKILL at that instant would leave.
    Yields the list of calls so far.
    """
    calls: list[str] = []

    def interrupted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            calls.append(name)
            if len(calls) <= at:
                return call(*arguments, **keywords)
            if name == "write" and len(calls) == at + 1:
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise Stop

        return counted

    names = ("open", "write", "fsync", "ftruncate", "mkdir", "rename", "replace", "unlink", "rmdir")
    patched: dict[str, Any] = {name: interrupted(name, getattr(os, name)) for name in names}
    with mock.patch.multiple(os, **patched):
        yield calls


def stopped(original: RunFolder, work: Path) -> Iterator[Row]:
    """Stop every operation on a run folder before each of its system calls; the folder must remain usable."""
    run = work / "stopped"
    for name, operation in OPERATIONS.items():
        for at in range(10_000):
            shutil.rmtree(run, ignore_errors=True)
            if name != "create":
                shutil.copytree(original.path, run)
            failures: list[str] = []
            with suppress(Stop), stopping(at) as calls:
                operation(run, original)
            try:
                check_left(name, run, original)
                operation(run, original)
                check_done(name, run, original)
            except (Exception, Stop) as error:  # any error is a finding
                failures = [f"{type(error).__name__}: {error}"]
            if len(calls) <= at:
                break
            yield {"call": at, "before": calls[-1], "struck": [name], "failed": failures}


def _overwrite(run: Path, original: RunFolder) -> None:
    RunFolder.create(run, original.config | {"again": True}, overwrite=True)


def _create(run: Path, original: RunFolder) -> None:
    with suppress(UsageError):  # stopped after the folder was complete
        RunFolder.create(run, original.config)


def _save(iteration: int, run: Path, original: RunFolder) -> None:
    checkpoint = original.checkpoints.load()
    RunFolder.open(run).save(iteration, checkpoint.tensors, checkpoint.meta | {"saved": "again"})


def _extend(run: Path, original: RunFolder) -> None:
    folder = RunFolder.open(run)
    if folder.spec["iterations"] != 99:
        folder.change({"iterations": 99, "agent_config.lr_heads": 0.5}, 2)


def _validate(run: Path, original: RunFolder) -> None:
    checkpoint, folder = original.checkpoints.load(), RunFolder.open(run)
    folder.validation.trim(2, has_last=False)  # as in resuming, which removes an incomplete row
    if not folder.validation.rows():
        folder.best.write(2, checkpoint.tensors, checkpoint.meta)
        folder.validation.append({"iteration": 2, "score": 1.5})


def _rewind(run: Path, original: RunFolder) -> None:
    RunFolder.open(run).rewind(2)


def _log(run: Path, original: RunFolder) -> None:
    folder = RunFolder.open(run)
    folder.metrics.trim(2)  # as in resuming, which removes an incomplete row
    folder.metrics.append(original.metrics.rows()[-1] | {"iteration": 3})


OPERATIONS: dict[str, Callable[[Path, RunFolder], Any]] = {
    "create": _create,
    "overwrite": _overwrite,
    "save": partial(_save, 3),
    "save again": partial(_save, 2),
    "log": _log,
    "trim metrics": lambda run, _: RunFolder.open(run).metrics.trim(1),
    "extend": _extend,
    "validate": _validate,
    "rewind": _rewind,
    "evaluation": lambda run, _: write_atomically(run / "evaluation.json", to_json({"mean": [1.5] * 50}).encode()),
}


def check_left(name: str, run: Path, original: RunFolder) -> None:
    """Check that a stopped operation left either the old or the new state, complete."""
    if name == "create":
        return  # Creation can be repeated: `check_done`.
    folder = RunFolder.open(run)
    if name == "overwrite":
        if folder.checkpoints.iterations():
            expect(folder.checkpoints.load().problems == (), "checkpoint")
        return
    checkpoint, intact = folder.checkpoints.load(), original.checkpoints.load()
    expect(checkpoint.problems == (), "checkpoint")
    if checkpoint.iteration == 1:
        # The previous checkpoint, while the one of the same iteration is being replaced.
        expect(name == "save again", "iteration")
        intact = Checkpoint(1, *original.checkpoints._load(1))
    expect(equal(checkpoint.tensors, intact.tensors), "tensors")
    expect(checkpoint.meta in (intact.meta, intact.meta | {"saved": "again"}), "meta")
    done = [row["iteration"] for row in folder.metrics.rows()]
    expect(done == [1, 2] or done == {"trim metrics": [1], "log": [1, 2, 3]}.get(name), f"rows {done}")
    expect(folder.config["spec"]["iterations"] in {original.config["spec"]["iterations"], 99}, "configuration")
    best = folder.best.iterations()
    expect(best in ([], [2]) and (not best or equal(folder.load_best().tensors, intact.tensors)), "best")
    expect(bool(best) or not folder.validation.rows(), "validation without its checkpoint")
    if (run / "evaluation.json").exists():
        json.loads((run / "evaluation.json").read_bytes())


def check_done(name: str, run: Path, original: RunFolder) -> None:
    """Check the state after the operation has been repeated."""
    folder = RunFolder.open(run)
    files = sorted(entry.name for entry in run.iterdir() if not entry.name.endswith(".tmp"))
    if name in ("create", "overwrite"):
        expect(files == [".config-copy.json", ".lock", "config.json"], f"{files}")
        return
    kept = [1, 2] if name != "save" else [2, 3]
    expect(folder.checkpoints.iterations() == kept and not folder.checkpoints.load().problems, "checkpoints")
    expect(name != "validate" or (folder.best.iterations() == [2] and folder.validation.rows()), "validation")
    expect(not name.startswith("save") or not any(run.glob("checkpoint/.*.tmp")), "temporary files of a checkpoint")


def expect(condition: bool, message: str) -> None:
    """Assert a condition, also under python -O."""
    if not condition:
        raise AssertionError(message)
