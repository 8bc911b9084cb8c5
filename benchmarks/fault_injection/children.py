"""Commands on a run folder, each in a child of one warmed-up process, bounded in time and memory."""

import hashlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import agents
from agents.cli.main import main
from agents.core.context import build
from agents.core.spec import Spec
from benchmarks.fault_injection.forked import forked
from qrl.common.errors import UsageError

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
    done = forked(lambda: (COMMANDS | SELECT)[command](run, out), work)
    return Finished(done.code, done.errors, outcome(command, run, out) if done.code == 0 else {})


def warm_up() -> None:
    """Import what the commands need, so that children share it. No gradients: autograd does not survive a fork."""
    for name in ("cli.evaluate", "cli.export", "cli.plot", "cli.robustness", "cli.train", "select.command"):
        importlib.import_module(f"agents.{name}")
    torch.set_num_threads(1)
    for env in ("navigation", "algorithm_selection"):
        build(Spec.default(env=env, threads=1))
