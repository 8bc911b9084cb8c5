"""Origins of a run's plug-ins, and changes to them since training."""

from collections.abc import Mapping
from pathlib import Path

from agents.core.plain import check_value
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from envs.core.distribution import TaskDistribution
from qrl.common.checks import check_choice
from qrl.common.errors import UsageError
from qrl.common.files import kind_of
from qrl.common.registry import file_and_attribute

WITH_FILE = ("file", "module")
"""Origins that have the path and the digest of a file."""
SOURCES = (*WITH_FILE, "this library", "registered in Python", "given in Python", "package", "name")
"""Known origins; see `Registry.origin`."""


def of(spec: Spec) -> dict[str, dict[str, str]]:
    """Return the origin of each plug-in by role (`Registry.origin`), with a description of a given distribution."""
    found = {
        role: registry.origin(spec.objects.get(role, getattr(spec, role))) for role, registry in REGISTRIES.items()
    }
    return found | {"env": found["env"] | _description(spec.objects.get("env"))}


def _description(env: object) -> dict[str, str]:
    """Return what a task distribution given in Python is known by; empty for any other object."""
    if not isinstance(env, TaskDistribution):
        return {}
    ranges = ", ".join(f"{name} {range_.describe()}" for name, range_ in env.parameters.items())
    spaces = {"observations": str(env.observation_space), "actions": str(env.action_space)}
    return spaces | {"horizon": str(env.horizon), "parameters": ranges}


def check_same_distribution(folder: RunFolder, env: object) -> None:
    """Raise UsageError if a task distribution given in Python differs from the one that the run was trained on."""
    saved = _saved(folder).get("env", {})
    for name, now in _description(env).items():
        if saved.get(name, now) != now:
            raise UsageError(f"{folder.path}: the run was trained with {name} {saved[name]}, the given env has {now}")


def changes(
    folder: RunFolder, objects: Mapping[str, object] | None = None, names: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return warnings about plug-in files that changed since training.

    Args:
        folder: folder of the run.
        objects: plug-ins given as objects in place of the saved ones, by role.
        names: present names of plug-ins, by role; by default the saved ones.

    Raises:
        UsageError: a plug-in was registered in Python during training and is not registered now, or the file of a
            plug-in is missing.
    """
    found = []
    for role, then in _saved(folder).items():
        if role in (objects or {}):
            continue
        registry, name = REGISTRIES[role], (names or {}).get(role, str(folder.spec.get(role)))
        if then["from"] == "registered in Python" and name not in registry.available():
            raise UsageError(
                f"{folder.path}: {role} {name!r} was registered in Python: register it again in Python, then use "
                f"agents.load({str(folder.path)!r})"
            )
        file, _ = file_and_attribute(name)
        if then["from"] == "file" and file and kind_of(Path(file)) == "missing":
            raise UsageError(
                f"{folder.path}: the file of {role}, {file}, with which the run was trained, does not exist here; "
                f"put it back, or evaluate or resume with its present path: --{role} FILE (in Python: {role}=...)"
            )
        if then["from"] in WITH_FILE and then["sha256"] != registry.origin(name).get("sha256"):
            found.append(f"{folder.path}: the file of {role}, {name}, has changed since training")
    return tuple(found)


def _saved(folder: RunFolder) -> Mapping[str, Mapping[str, str]]:
    """Return the saved origins by role. Raises UsageError if they are not of the form that `of` returns."""
    where = f"{folder.path / 'config.json'}: origins"
    saved = folder.config.get("origins", {})
    check_value(dict[str, dict[str, str]], saved, where)
    assert isinstance(saved, Mapping)
    for role, then in saved.items():
        check_choice(where, "role", role, REGISTRIES)
        check_choice(f"{where}.{role}", "from", then.get("from"), SOURCES)
        if then["from"] in WITH_FILE and not {"path", "sha256"} <= then.keys():
            raise UsageError(f"{where}.{role}: expected path and sha256 of a file")
    return saved
