"""Sealed files: a digest detects edits. That of a run's configuration also identifies the run's checkpoints."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.runs.history import HISTORY, original
from qrl.common.errors import UsageError
from qrl.common.files import MissingFileError, from_json, kind_of, to_json, write_atomically

CONFIG, COPY = "config.json", ".config-copy.json"
"""Names of the configuration of a run, and of its copy, from which a damaged configuration can be restored."""
VERSION = 1


@dataclass(frozen=True)
class Seal:
    """Kind of folder that a sealed file describes."""

    format: str
    """Format of the file, recorded in it."""
    file: str
    copy: str
    """Name of a copy of the file, from which a damaged file can be restored."""
    folder: str
    """Name of the kind of folder in messages."""
    remedy: str
    """Remedy for an edited file, for messages."""
    lost: str = ""
    """Remedy for a file that cannot be read, for messages."""


RUN = Seal("qrl-run", CONFIG, COPY, "run folder", "use an edited copy with --config")
_ANEW = "delete it and start the sweep again: finished runs are kept"
STUDY = Seal("qrl-study", "study.json", ".study-copy.json", "study folder", remedy=_ANEW, lost=_ANEW)
_AGAIN = "delete it and start the search again: its storage holds the trials"
SEARCH = Seal("qrl-search", "search.json", ".search-copy.json", "folder of a search", remedy=_AGAIN, lost=_AGAIN)


def sealed(config: Mapping[str, object], seal: Seal = RUN) -> dict[str, object]:
    """Return the content of a sealed file with its format, version and digest, such as that of `config.json`.

    Raises:
        TrainingError: the content has a non-finite number.
    """
    content = {**config, "format": seal.format, "version": VERSION}
    content.pop("digest", None)
    # A round trip through JSON makes the configuration of a new run equal to that of an opened run.
    plain: dict[str, object] = json.loads(to_json(content))
    return {**plain, "digest": digest(plain)}


def write_sealed(path: Path, content: Mapping[str, object], seal: Seal = RUN) -> None:
    """Write the sealed file of a folder, after its copy.

    Raises:
        UsageError: the operating system refuses to write.
    """
    data = (to_json(content, indent=2) + "\n").encode()
    for name in (seal.copy, seal.file):  # The file last: it makes the folder one of its kind.
        write_atomically(path / name, data, follow_links=False)


def read_config(path: Path, seal: Seal = RUN) -> dict[str, object]:
    """Read the sealed file of a folder: of a run folder, its configuration.

    Raises:
        UsageError: `path` is not a folder of this kind, or its file is damaged, was edited, or was written by a newer
            version; if an intact copy exists, the message says how to restore it.
    """
    kind = kind_of(path)
    if kind == "missing":
        raise UsageError(f"{path}: no such {seal.folder}")
    if kind != "folder":
        raise UsageError(f"{path} is not a folder: a {seal.folder} is expected")
    file, copy = path / seal.file, path / seal.copy
    try:
        return _read_sealed(path, file, seal)
    except UsageError as error:
        try:
            _read_sealed(path, copy, seal)
        except UsageError:
            raise error from None
        quoted = shlex.quote(str(file))  # It may be a pipe or a link, which cp would write to.
        restore = f"rm -f {quoted} && cp {shlex.quote(str(copy))} {quoted}"
        raise UsageError(f"{error}; an intact copy exists: {restore}") from error


def _read_sealed(path: Path, file: Path, seal: Seal) -> dict[str, object]:
    try:
        config = from_json(file)
    except MissingFileError:
        raise UsageError(f"{path} is not a {seal.folder}: it has no {file.name}") from None
    except UsageError as error:
        raise UsageError(f"{error}; {seal.lost}" if seal.lost else str(error)) from error
    if (
        not isinstance(config, dict)
        or config.get("format") != seal.format
        or not isinstance(config.get("version"), int)
    ):
        raise UsageError(f"{path} is not a {seal.folder} of this software: its {file.name} has another format")
    if config["version"] > VERSION:
        raise UsageError(
            f"{path} was written by a newer version (format {config['version']}; supported: up to {VERSION})"
        )
    if config.get("digest") != digest({key: value for key, value in config.items() if key != "digest"}):
        raise UsageError(f"{file}: damaged or edited: the digest does not match; {seal.remedy}")
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


def planned_runs(study: Path) -> dict[str, list[str]]:
    """Return the runs that a study has planned, by name, each with the words of its command.

    Raises:
        UsageError: the folder is not a study folder, or its study.json is damaged or was edited.
    """
    runs = read_config(study, STUDY).get("runs")
    if not isinstance(runs, dict) or not all(isinstance(words, list) for words in runs.values()):
        raise UsageError(f"{study / STUDY.file}: its runs are missing, or no object of lists")
    return runs


def is_search(path: Path) -> bool:
    """Return whether this is the folder of a search, by the name of its sealed file."""
    return kind_of(path) == "folder" and kind_of(path / SEARCH.file) == "file"
