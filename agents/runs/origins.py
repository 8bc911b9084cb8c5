"""Origins of a run's plug-ins, and changes to them since training."""

from collections.abc import Mapping
from pathlib import Path

from agents.core.plain import check_value
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from qrl.common.checks import check_choice
from qrl.common.errors import UsageError
from qrl.common.files import kind_of

WITH_FILE = ("file", "module")
"""Origins that have the path and the digest of a file."""
SOURCES = (*WITH_FILE, "this library", "registered in Python", "given in Python", "package", "name")
"""Known origins; see `Registry.origin`."""


def of(spec: Spec) -> dict[str, dict[str, str]]:
    """Return the origin of each plug-in by role; see `Registry.origin`."""
    return {role: registry.origin(spec.objects.get(role, getattr(spec, role))) for role, registry in REGISTRIES.items()}


def changes(folder: RunFolder) -> tuple[str, ...]:
    """Return warnings about plug-in files that changed since training.

    Raises:
        UsageError: a plug-in was registered in Python during training and is not registered now, or the file of a
            plug-in is missing.
    """
    where = f"{folder.path / 'config.json'}: origins"
    saved = folder.config.get("origins", {})
    check_value(dict[str, dict[str, str]], saved, where)
    assert isinstance(saved, Mapping)
    found = []
    for role, then in saved.items():
        check_choice(where, "role", role, REGISTRIES)
        check_choice(f"{where}.{role}", "from", then.get("from"), SOURCES)
        if then["from"] in WITH_FILE and not {"path", "sha256"} <= then.keys():
            raise UsageError(f"{where}.{role}: expected path and sha256 of a file")
        registry, name = REGISTRIES[role], str(folder.spec.get(role))
        if then["from"] == "registered in Python" and name not in registry.available():
            raise UsageError(
                f"{folder.path}: {role} {name!r} was registered in Python: register it again in Python, then use "
                f"agents.load({str(folder.path)!r})"
            )
        if then["from"] == "file" and kind_of(Path(then["path"])) == "missing":
            raise UsageError(
                f"{folder.path}: the file of {role}, {then['path']}, with which the run was trained, does not exist; "
                "put it back"
            )
        if then["from"] in WITH_FILE and then["sha256"] != registry.origin(name).get("sha256"):
            found.append(f"{folder.path}: the file of {role} {name!r}, {then['path']}, has changed since training")
    return tuple(found)
