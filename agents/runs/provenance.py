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
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
