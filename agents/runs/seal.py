"""Sealed configuration of a run: its digest detects edits and identifies the run's checkpoints."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from agents.runs.history import HISTORY, original
from qrl.common.errors import UsageError
from qrl.common.files import MissingFileError, from_json, kind_of, to_json

FORMAT = "qrl-run"
CONFIG, COPY = "config.json", ".config-copy.json"
"""Names of the configuration of a run, and of its copy, from which a damaged configuration can be restored."""
VERSION = 1


def sealed(config: Mapping[str, object]) -> dict[str, object]:
    """Return the configuration with its format, version and digest, as written to `config.json`.

    Raises:
        TrainingError: the configuration contains a non-finite number.
    """
    content = {**config, "format": FORMAT, "version": VERSION}
    content.pop("digest", None)
    # A round trip through JSON makes the configuration of a new run equal to that of an opened run.
    plain: dict[str, object] = json.loads(to_json(content))
    return {**plain, "digest": digest(plain)}


def read_config(path: Path) -> dict[str, object]:
    """Read the configuration of a run folder.

    Raises:
        UsageError: `path` is not a run folder, or its `config.json` is damaged, was edited, or was written by a newer
            version; if an intact copy exists, the message says how to restore it.
    """
    kind = kind_of(path)
    if kind == "missing":
        raise UsageError(f"{path}: no such run folder")
    if kind != "folder":
        raise UsageError(f"{path} is not a folder: a run folder is expected")
    file, copy = path / CONFIG, path / COPY
    try:
        return _read_sealed(path, file)
    except UsageError as error:
        try:
            _read_sealed(path, copy)
        except UsageError:
            raise error from None
        quoted = shlex.quote(str(file))  # It may be a pipe or a link, which cp would write to.
        restore = f"rm -f {quoted} && cp {shlex.quote(str(copy))} {quoted}"
        raise UsageError(f"{error}; an intact copy exists: {restore}") from error


def _read_sealed(path: Path, file: Path) -> dict[str, object]:
    try:
        config = from_json(file)
    except MissingFileError:
        raise UsageError(f"{path} is not a run folder: it has no {file.name}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT or not isinstance(config.get("version"), int):
        raise UsageError(f"{path} is not a run folder of this software: its {file.name} has another format")
    if config["version"] > VERSION:
        raise UsageError(
            f"{path} was written by a newer version (format {config['version']}; supported: up to {VERSION})"
        )
    if config.get("digest") != digest({key: value for key, value in config.items() if key != "digest"}):
        raise UsageError(f"{file}: damaged or edited: the digest does not match; use an edited copy with --config")
    return config


def identity(config: Mapping[str, object]) -> str:
    """Return the digest that identifies a checkpoint's run: of its configuration at its start, without the iterations.

    What `RunFolder.change` has changed since is undone. The number of iterations is left out altogether: earlier
    versions changed it without a record.
    """
    content = {key: value for key, value in config.items() if key not in ("digest", HISTORY)}
    if isinstance(spec := content.get("spec"), Mapping):
        content["spec"] = {key: value for key, value in original(config, spec).items() if key != "iterations"}
    return digest(content)


def digest(value: object) -> str:
    """Return the SHA-256 digest of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
