"""Specs saved with runs and in files, also of earlier versions, in which some options had other names."""

from collections.abc import Mapping
from pathlib import Path

from agents.core.spec import Spec, check_keys
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError
from qrl.common.files import from_json, kind_of

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


def spec_of(folder: RunFolder, objects: Mapping[str, object] | None = None) -> Spec:
    """Return the spec of a run.

    Args:
        folder: folder of the run.
        objects: plug-ins and devices that were given as objects in Python, by role.

    Raises:
        UsageError: as `Spec.from_json`.
    """
    return Spec.from_json(_with_present_names(folder.spec), str(folder.path / "config.json"), objects)


def _with_present_names(spec: Mapping[str, object]) -> dict[str, object]:
    return {
        key: {RENAMED.get(key, {}).get(name, name): option for name, option in value.items()}
        if isinstance(value, Mapping)
        else value
        for key, value in spec.items()
    }
