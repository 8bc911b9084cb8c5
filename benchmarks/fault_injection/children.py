"""Commands on a run folder, each in a child of one warmed-up process, bounded in time and memory."""

import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import agents
from agents.cli.main import main
from agents.core.context import build
from agents.core.spec import Spec
from qrl.common.errors import UsageError

SECONDS = 60
"""Limit of a command [s]."""
MEMORY = 6 << 30
"""Limit of a child's address space beyond that of its parent [bytes]."""

Outcome = dict[str, str]
"""Digests of what a command has produced, by name."""


@dataclass(frozen=True)
class Finished:
    """Finished command."""

    code: int | None
    """Exit code; None if it was stopped at the limit; negative after a signal."""
    errors: str
    """Its stderr."""
    outcome: Outcome


def in_child(action: Callable[[], int], folder: Path) -> tuple[int | None, str]:
    """Run an action in a child process, with its output in `folder`; return its exit code and stderr."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setpgid(0, 0)
            for name, descriptor in (("stdout", 1), ("stderr", 2)):
                os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            sys.stdout, sys.stderr = (os.fdopen(each, "w", buffering=1, errors="backslashreplace") for each in (1, 2))
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    code = _wait(child)
    return code, (folder / "stderr").read_text(errors="backslashreplace")


def _wait(child: int) -> int | None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def program(*words: object) -> int:
    sys.argv = ["run.py"]
    return main([*map(str, words)])


def _load(run: Path, out: Path) -> int:
    """Load a run in Python and write digests of its weights; errors and warnings as the command line prints them."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = agents.load(run)
    except UsageError as error:
        print(f"run.py: error: {error}", file=sys.stderr)
        return 2
    for each in caught:
        print(f"warning: {each.message}", file=sys.stderr)
    tensors = {name: value.tolist() for name, value in loaded.agent.state_dict().items()}
    out.write_text(json.dumps({"iteration": loaded.iteration, "tensors": tensors}))  # NaN, too
    return 0


FEW = ("--tasks", "2", "--episodes", "2")
COMMANDS: dict[str, Callable[[Path, Path], int]] = {
    "evaluate": lambda run, out: program("evaluate", run, *FEW, "--out", out / "e.json"),
    "resume": lambda run, out: program("resume", run),
    "export": lambda run, out: program("export", run, "--episodes", "2", "--out", out / "circuits"),
    "plot": lambda run, out: program("plot", run, "--out", out / "p.png"),
    "robustness": lambda run, out: program(
        "robustness", run, *FEW, "--strengths", "0.1", "--shots", "10", "--out", out / "r.json"
    ),
    "agents.load": lambda run, out: _load(run, out / "loaded.json"),
    "--config": lambda run, out: program("--config", run, "--iterations", "1", "--out", out / "new"),
}
"""Commands on the small run of MAML: functions of the run folder and of a folder for outputs; each returns its code."""

SELECT: dict[str, Callable[[Path, Path], int]] = {
    "select --selector": lambda run, out: program(
        *("select", out.parent / "data.csv", "--target", "label", "--evaluations", "1"),
        *("--selector", run, "--out", out / "chosen"),
    )
}
"""Commands on the small run of `algorithm_selection`."""


def outcome(command: str, run: Path, out: Path) -> Outcome:
    """Return digests of what a command has produced, without times and paths."""
    made = [*out.rglob("*.json"), *out.rglob("*.qasm"), *out.rglob("*.jsonl"), *out.rglob("*.png")]
    if command == "resume":
        made = [run / "metrics.jsonl", run / "evaluation.json", *run.glob("checkpoint/00000003/*")]
    return {path.name: _digest(path, run) for path in sorted(made) if path.is_file()}


def _digest(path: Path, run: Path) -> str:
    data = path.read_bytes().replace(os.fsencode(run.parent), b"")
    if path.suffix == ".json":
        content = json.loads(data)
        for key in ("started", "command", "commit", "versions", "digest", "run"):
            content.pop(key, None)
        if isinstance(content.get("meta"), dict):
            content["meta"].pop("seconds", None)
        data = json.dumps(_without_times(content), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in ("seconds", "sha256", "config")}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def finish(command: str, run: Path, work: Path) -> Finished:
    """Run a command on a run folder in a child and return how it ended; outputs are in the new folder `work`/out."""
    out = work / "out"
    out.mkdir()
    code, errors = in_child(lambda: (COMMANDS | SELECT)[command](run, out), work)
    return Finished(code, errors, outcome(command, run, out) if code == 0 else {})


def warm_up() -> None:
    """Import what the commands need, so that children share it. No gradients: autograd does not survive a fork."""
    for name in ("cli.evaluate", "cli.export", "cli.plot", "cli.robustness", "cli.train", "select.command"):
        importlib.import_module(f"agents.{name}")
    torch.set_num_threads(1)
    for env in ("navigation", "algorithm_selection"):
        build(Spec.default(env=env, threads=1))
