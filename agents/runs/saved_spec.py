"""Specs saved with runs and in files, also of earlier versions, in which some options had other names."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agents.core.limits import LARGEST_ITERATIONS
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec, check_keys
from agents.runs.folder import RunFolder
from agents.runs.history import changed, check_changes
from agents.runs.program import program
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.files import from_json, kind_of
from qrl.common.registry import GIVEN, file_and_attribute, name_of
from qrl.common.trust import Trust, names_from

RENAMED: Mapping[str, Mapping[str, str]] = {
    "env_config": {"unproved": "skip_sensitivity_check"},
    "agent_config": {
        "alone": "best_only",
        "dice_memory": "dice_lambda",
        "later_step_factor": "extra_step_decay",
        "scores": "standardise_returns",
        "told": "per_task",
    },
}
"""Names of renamed options: their old and their present names, by group. No present option has an old name."""


def read_spec(path: Path) -> dict[str, object]:
    """Read the JSON object of a spec from a run folder, its `config.json`, or a file with a bare spec.

    Field names are checked, values are not. Renamed options have their present names.

    Raises:
        UsageError: the file cannot be read, holds no JSON object, or has an unknown field.
    """
    file = path / "config.json" if kind_of(path) == "folder" else path
    data = from_json(file)
    spec = data.get("spec", data) if isinstance(data, dict) else data
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: not the configuration of a run: expected a JSON object")
    check_keys(spec, str(file))
    return _with_present_names(spec)


def weights_note(path: Path) -> str:
    """Return a note if the run of this folder, or of this config.json, started from the weights of another; else ""."""
    data = from_json(path / "config.json" if kind_of(path) == "folder" else path)
    origin = data.get("start_from") if isinstance(data, dict) else None
    where = origin.get("path") if isinstance(origin, dict) else None
    return f"note: {path} started from the weights of {where}; this run does not, without --from" if where else ""


def spec_of(
    folder: RunFolder,
    objects: Mapping[str, object] | None = None,
    trust: Trust | None = None,
    *,
    changes: Mapping[str, object] | None = None,
) -> Spec:
    """Return the spec of a run.

    Args:
        folder: folder of the run.
        objects: plug-ins and devices that were given as objects in Python, by role.
        trust: code outside this library that the user vouches for, under its present name; by default only that of this
            user's trainings.
        changes: options of the run that a resume changes, by name; see `agents.runs.history.check_changes`.

    Raises:
        UsageError: as `Spec.from_json`; or the run names code that is not trusted.
    """
    trust = trust or Trust()
    file, spec = folder.path / "config.json", _with_present_names(folder.spec) | dict(trust.names)
    for role, thing in (objects or {}).items():
        if role in REGISTRIES and not str(spec.get(role)).endswith(GIVEN):  # It replaces a plug-in with other options.
            spec[role] = name_of(thing)
            spec.pop(f"{role}_config", None)
    changes = changes or {}
    check_changes(spec, changes, str(folder.path))
    if "iterations" not in changes:
        _check_iterations(file, spec)
    spec = changed(spec, changes)
    with names_in(folder, trust):
        return Spec.from_json(spec, str(file), objects)


def _check_iterations(file: Path, spec: Mapping[str, object]) -> None:
    """Raise UsageError for an invalid number of iterations, such as an earlier version wrote; name the way back."""
    try:
        check_count("iterations", spec.get("iterations", 1), most=LARGEST_ITERATIONS)
    except UsageError as error:
        command = f"{program()} resume {shlex.quote(str(file.parent))} --iterations N"
        raise UsageError(f"{file}: {error}; to set a valid number: {command}") from error


@contextmanager
def names_in(folder: RunFolder, trust: Trust) -> Iterator[None]:
    """Resolve names that come from a run folder; see `qrl.common.trust.names_from`.

    A file may have another path than in training: on another machine, it is elsewhere.

    Raises:
        UsageError: the user confirms another plug-in than that of the run.
    """
    for role, name in trust.names.items():
        saved = REGISTRIES[role].canonical(str(folder.spec.get(role)))
        (file, attribute), (saved_file, saved_attribute) = file_and_attribute(name), file_and_attribute(saved)
        is_other_path = bool(file and saved_file) and attribute == saved_attribute
        if name != saved and not is_other_path:
            raise UsageError(f"{folder.path}: the run was trained with {role} {saved!r}, not {name!r}")
    with names_from(folder.path / "config.json", trust):
        yield


def _with_present_names(spec: Mapping[str, object]) -> dict[str, object]:
    return {
        key: {RENAMED.get(key, {}).get(name, name): option for name, option in value.items()}
        if isinstance(value, Mapping)
        else value
        for key, value in spec.items()
    }
