"""Provenance of results."""

import contextlib
import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence

from qrl.common.importing import checkout
from qrl.simulator.engine import engine_name

VERSIONS = ("torch", "numpy", "gymnasium", "pennylane")
PREFIX = "# branch.oid "
"""Beginning of the line with the commit in what `git status` prints; (initial) before the first one."""


def provenance(command: Sequence[str]) -> dict[str, object]:
    """Return the provenance of a result: package versions, engine of exact circuits, commit, command line, date.

    Raises UsageError as `qrl.simulator.engine.engine` does.
    """
    versions = {"python": platform.python_version()}
    for name in ("qrl-meta", *VERSIONS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "command": list(command),
        "commit": _commit(),
        "versions": versions,
        "engine": engine_name(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions_in(content: Mapping[str, object]) -> dict[str, str]:
    """Return commit, engine and package versions by name, from a file with the provenance of a result."""
    found = {name: str(content[name]) for name in ("commit", "engine") if content.get(name)}
    if isinstance(versions := content.get("versions"), Mapping):
        found |= {str(name): str(version) for name, version in versions.items()}
    return found


def _commit() -> str | None:
    """Return the commit of the checkout, with `+changes` if files differ from it; None outside a checkout."""
    if (root := checkout()) is None:
        return None
    # Unlike `git describe --dirty`, it leaves the index alone, which another git command may be about to lock.
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain=v2", "--branch"]
    command += ["--no-ahead-behind", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)), "(initial)")
    changed = any(not line.startswith("#") for line in lines)
    return None if commit == "(initial)" else commit + "+changes" * changed
