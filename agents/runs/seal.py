"""Configuration of a run, sealed: a digest shows that it was not edited, and ties checkpoints to their run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import from_json, to_json

FORMAT = "qrl-run"
VERSION = 1


def sealed(config: Mapping[str, object]) -> dict[str, object]:
    """Return the configuration as it is written: with its format, version and digest.

    Raises:
        TrainingError: it holds a number that is not finite.
    """
    content = {**config, "format": FORMAT, "version": VERSION}
    content.pop("digest", None)
    # Through JSON and back, so that it is equal whether the run was just made or opened.
    plain: dict[str, object] = json.loads(to_json(content))
    return {**plain, "digest": digest(plain)}


def read_config(path: Path) -> dict[str, object]:
    """Read the configuration of a run folder.

    Raises:
        UsageError: it is none, its `config.json` is damaged or was edited, or a newer version wrote it.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such run folder")
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: a run folder is expected")
    file = path / "config.json"
    if not file.exists():
        raise UsageError(f"{path} is not a run folder: it has no config.json")
    config = from_json(file)
    if not isinstance(config, dict) or config.get("format") != FORMAT or not isinstance(config.get("version"), int):
        raise UsageError(f"{path} is not a run folder of this software: its config.json was written by something else")
    if config["version"] > VERSION:
        raise UsageError(f"{path} was written by a newer version (format {config['version']}, this reads {VERSION})")
    if config.get("digest") != digest({key: value for key, value in config.items() if key != "digest"}):
        raise UsageError(f"{file}: damaged or edited: its digest does not fit (a changed copy is for --config)")
    return config


def identity(config: Mapping[str, object]) -> str:
    """Return the digest that ties a checkpoint to its run: of all of the configuration but what extending changes."""
    content = {key: value for key, value in config.items() if key != "digest"}
    if isinstance(spec := content.get("spec"), Mapping):
        content["spec"] = {key: value for key, value in spec.items() if key != "iterations"}
    return digest(content)


def digest(value: object) -> str:
    """Return the digest of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
