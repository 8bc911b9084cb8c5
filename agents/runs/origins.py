"""Origins of a run's plug-ins, and changes to them since training."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError


def of(spec: Spec) -> dict[str, dict[str, str]]:
    """Return the origin of each plug-in by role; see `Registry.origin`."""
    return {role: registry.origin(spec.objects.get(role, getattr(spec, role))) for role, registry in REGISTRIES.items()}


def changes(folder: RunFolder) -> tuple[str, ...]:
    """Return warnings about plug-in files that changed since training.

    Raises:
        UsageError: a plug-in was registered in Python during training and is not registered now, or the file of a
            plug-in is missing.
    """
    saved = cast("Mapping[str, Mapping[str, str]]", folder.config.get("origins", {}))
    found = []
    for role, then in saved.items():
        registry, name = REGISTRIES[role], str(folder.spec[role])
        if then["from"] == "registered in Python" and name not in registry.available():
            raise UsageError(
                f"{folder.path}: {role} {name!r} was registered in Python: register it again in Python, then use "
                f"agents.load({str(folder.path)!r})"
            )
        if then["from"] == "file" and not Path(then["path"]).exists():
            raise UsageError(
                f"{folder.path}: the file of {role}, {then['path']}, with which the run was trained, does not exist; "
                "put it back"
            )
        if "path" in then and then["sha256"] != registry.origin(name).get("sha256"):
            found.append(f"{folder.path}: the file of {role} {name!r}, {then['path']}, has changed since training")
    return tuple(found)
