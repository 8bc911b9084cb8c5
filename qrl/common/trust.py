"""Trust in code that a file names.

A run folder, a configuration or a saved model may name code outside this library: a Python file, or a module. Such code
runs only if the user vouches for it: by naming it, by trusting everything that the file names, or because the same user
has trained with exactly this code on this machine. Code that the user names in the first place, and code of this
library or of an installed plug-in, needs no such consent.

The code of every training is remembered in a state folder of the user, `$XDG_STATE_HOME/qrl-meta` or
`~/.local/state/qrl-meta`, by name and digest. Only the named file, or the module and its parent packages, are compared:
modules that they import are not.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import kind_of, to_json, write_atomically


@dataclass(frozen=True)
class NamedCode:
    """Code outside this library that a name stands for."""

    role: str
    """Role of the plug-in, such as "env"."""
    name: str
    files: tuple[tuple[str, str], ...]
    """Path and SHA-256 digest of each file; empty if the module has no files."""


LONGEST_NAME = 500
"""Longest name that messages show [characters]."""

REMEDY = "name it with --{role}, or add --trust if you trust all code that is named there (in Python: trust=True)"
"""How to vouch for code, with its role in braces, if the command has an option for each role."""


@dataclass(frozen=True)
class Trust:
    """Code that the user vouches for."""

    everything: bool = False
    """Whether all code is trusted."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Trusted plug-in of each role, by its name."""
    remedy: str = REMEDY
    """How to vouch for code, for messages; see `REMEDY`."""


@dataclass(frozen=True)
class _Source:
    """File whose names are being resolved, and the user's trust in them."""

    name: str
    trust: Trust


_SOURCE: ContextVar[_Source | None] = ContextVar("source of names", default=None)
_USED: ContextVar[list[NamedCode] | None] = ContextVar("code used", default=None)


@contextmanager
def names_from(source: Path | str | None, trust: Trust) -> Iterator[None]:
    """Resolve names that come from a file: in this context, only trusted code is imported.

    Args:
        source: the file, for messages, "" if the caller names it; None if the names come from no file, so that
            nothing changes.
        trust: the code that the user vouches for.
    """
    token = _SOURCE.set(_SOURCE.get() if source is None else _Source(str(source), trust))
    try:
        yield
    finally:
        _SOURCE.reset(token)


@contextmanager
def remedy(text: str) -> Iterator[None]:
    """Name another way of vouching for code in the messages of this context; see `REMEDY`."""
    source = _SOURCE.get()
    token = _SOURCE.set(None if source is None else replace(source, trust=replace(source.trust, remedy=text)))
    try:
        yield
    finally:
        _SOURCE.reset(token)


@contextmanager
def code_used() -> Iterator[list[NamedCode]]:
    """Collect the code outside this library that is used in this context."""
    used: list[NamedCode] = []
    token = _USED.set(used)
    try:
        yield used
    finally:
        _USED.reset(token)


def check_trusted(code: NamedCode) -> None:
    """Check code before it is imported; call this before every import of code outside the library.

    Raises:
        UsageError: a file names the code, and the user has not vouched for it; the message says how to.
    """
    source = _SOURCE.get()
    trusted = source is None or source.trust.everything or source.trust.names.get(code.role) == code.name
    if source is not None and not trusted and not _remembered(code):
        changed = " and has changed since you last trained with it" if kind_of(_folder_of(code)) == "folder" else ""
        where, remedy = f"{source.name}: " if source.name else "", source.trust.remedy.format(role=code.role)
        name = repr(code.name) if len(code.name) <= LONGEST_NAME else f"{code.name[:LONGEST_NAME]!r}..."
        raise UsageError(f"{where}{code.role} {name} is code outside this library{changed}; to run it, {remedy}")
    if (used := _USED.get()) is not None and code not in used:
        used.append(code)


def remember(used: list[NamedCode]) -> None:
    """Remember the code with which this user has trained.

    Raises:
        UsageError: the user's state folder cannot be written.
    """
    for code in used:
        if code.files and not _remembered(code):
            record = _folder_of(code) / f"{_digest(code.files)}.json"
            try:
                record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise UsageError(f"{record.parent}: {error.strerror or error}") from error
            content = {"role": code.role, "name": code.name, "files": dict(code.files)}
            write_atomically(record, (to_json(content, indent=2) + "\n").encode())


def _remembered(code: NamedCode) -> bool:
    return bool(code.files) and kind_of(_folder_of(code) / f"{_digest(code.files)}.json") == "file"


def _folder_of(code: NamedCode) -> Path:
    """Return the folder of a plug-in's records; a plug-in that was never used in training has none."""
    return state_folder() / "trained-with" / _digest((code.role, code.name))


def state_folder() -> Path:
    """Return the folder of this user's state; it need not exist.

    Raises:
        UsageError: the user has no home folder.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if Path(base).is_absolute():  # The XDG specification has relative paths ignored.
        return Path(base) / "qrl-meta"
    try:
        return Path.home() / ".local" / "state" / "qrl-meta"
    except RuntimeError as error:
        raise UsageError(f"no state folder: {error}; set XDG_STATE_HOME") from error


def _digest(value: object) -> str:
    return hashlib.sha256(to_json(value).encode()).hexdigest()
