"""Atomic file writes and strict JSON."""

import errno
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qrl.common.errors import TrainingError, UsageError

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""A JSON value."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader, also after a crash or a power cut, sees the old file or the new one.

    A symbolic link is kept; its target is written.

    Raises:
        UsageError: the file cannot be written (disk full, no permission, no such folder), or the path exists and is not
            a regular file; existing content is kept.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(target.stat().st_mode):
                raise UsageError(f"{path} exists and is not a regular file")
        write_synced(temporary, data)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise path_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_replaceable(path: Path) -> None:
    """Check that `write_atomically` may write this file, without writing anything.

    Raises:
        UsageError: the path exists and is not a regular file, or its folder is missing or read-only.
    """
    target = Path(os.path.realpath(path))
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(target.stat().st_mode):
                raise UsageError(f"{path} exists and is not a regular file")
        if not target.parent.is_dir():
            raise UsageError(f"{path}: folder {target.parent} does not exist")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise UsageError(f"{path}: no permission to write in this folder")
    except OSError as error:
        raise path_error(path, error) from error


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Create the folder `path`, which must not exist, with these files in it: all of them or nothing.

    Raises:
        UsageError: the folder cannot be written, or exists already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
        for name, data in files.items():
            write_synced(temporary / name, data)
        sync_folder(temporary)
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise path_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new_file(path: Path) -> None:
    """Check that a file or folder named by the user can be created, and leave nothing behind.

    Raises:
        UsageError: the path exists, its folder does not, or nothing can be created there.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UsageError(f"{path}: folder {path.parent} does not exist") from None
        probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            raise path_error(path, error) from error
        return
    except OSError as error:
        raise path_error(path, error) from error
    raise UsageError(f"{path} already exists; choose another --out")


def write_synced(path: Path, data: bytes) -> None:
    """Create `path`, which must not exist, and sync its content to disk before returning.

    Raises:
        OSError: the file cannot be written; part of it may exist.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Call `os.write` until all data is written.

    Raises:
        OSError: a write failed; part of the data may have been written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Sync the folder's entries to disk: a rename is durable only once its folder is synced.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Some network file systems cannot sync folders.
            raise
    finally:
        os.close(descriptor)


def path_error(path: Path, error: OSError) -> UsageError:
    """Return the one-line error for a path that the system refused."""
    return UsageError(f"{path}: {error.strerror or error}")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Serialise to strict JSON; NaN and infinities, which JSON lacks, are refused.

    Raises:
        TrainingError: a number is not finite; the message says where it is.
        TypeError: a value has no JSON form.
    """
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except ValueError:
        found = [f"{where or 'value'} is {number}" for where, number in _non_finite(value)]
        if not found:
            raise
        raise TrainingError(f"non-finite number: {', '.join(found[:3])}") from None


def from_json(path: Path) -> Any:
    """Read a strict JSON file.

    Raises:
        UsageError: the file is missing, unreadable, or not JSON (NaN and infinities included).
    """
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise path_error(path, error) from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: not JSON, or truncated: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not JSON: it is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from error


def parse_json(data: bytes) -> Json:
    """Parse strict JSON; NaN, infinities, and numbers too large to be finite are refused.

    Raises:
        ValueError: the data is not strict JSON.
        RecursionError: the data is nested too deeply.
    """
    return json.loads(data, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _non_finite(value: object, where: str = "") -> Iterator[tuple[str, float]]:
    match value:
        case float() if not math.isfinite(value):
            yield where, value
        case Mapping():
            for key, item in value.items():
                yield from _non_finite(item, f"{where}.{key}" if where else str(key))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _non_finite(item, f"{where}[{index}]")
