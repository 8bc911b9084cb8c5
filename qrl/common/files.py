"""Regular files and nothing else: bounded reads, atomic writes, and strict JSON."""

import errno
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Literal

from qrl.common.checks import is_text
from qrl.common.errors import TrainingError, UsageError
from qrl.common.leftovers import sweep, temporary_file, temporary_folder, temporary_path

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""A JSON value."""

LARGEST_TEXT = 64 << 20
"""Largest configuration, calibration or source file that is read [bytes]."""
LARGEST_RESULT = 1 << 30
"""Largest file of results that is read, such as the evaluation of a million tasks [bytes]."""

LONGEST_INTEGER = 300
"""Maximum number of digits of an integer in JSON; a longer one is no finite floating-point number."""
DEEPEST = 100
"""Maximum depth of nested lists and objects in JSON."""


class MissingFileError(UsageError):
    """File that does not exist."""


# --- reading ----------------------------------------------------------------------------------------------------------


def kind_of(path: Path, *, follow_links: bool = True) -> Literal["file", "folder", "missing", "other"]:
    """Return what a path leads to, without opening it: "other" is a device, a pipe, a socket, or a link not followed.

    Raises:
        UsageError: a link leads to nothing or in a circle, the text is not a name that a file can have, or the
            operating system refuses to look.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise UsageError(f"{path}: a link to nothing") from None
        return "missing"
    except OSError as error:
        raise path_error(path, error) from error
    except ValueError:
        raise UsageError(f"{str(path)!r} is not the name of a file") from None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def open_regular(path: Path, flags: int, *, follow_links: bool = True) -> int:
    """Open a regular file and return its descriptor. Nothing else is opened: a pipe would block, a device act.

    Args:
        path: the file.
        flags: flags of `os.open`; with O_CREAT, the file need not exist.
        follow_links: whether the path may be a link to the file.

    Raises:
        MissingFileError: the file does not exist.
        UsageError: the path is not that of a regular file, or the operating system refuses.
    """
    kind = kind_of(path, follow_links=follow_links)
    if kind == "missing" and not flags & os.O_CREAT:
        raise MissingFileError(f"{path}: {os.strerror(errno.ENOENT)}")
    if kind == "folder":
        raise UsageError(f"{path}: {os.strerror(errno.EISDIR)}")
    if kind == "other":
        raise UsageError(f"{path}: not a regular file")
    # O_NONBLOCK: a pipe may have taken the file's place since.
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise path_error(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path}: not a regular file")
    return descriptor


def open_stream(path: Path) -> BinaryIO:
    """Open a regular file of any size for reading in parts. Raises UsageError as `open_regular` does."""
    return os.fdopen(open_regular(path, os.O_RDONLY), "rb")


def read_regular(path: Path, most: int = LARGEST_TEXT) -> bytes:
    """Read a regular file of at most `most` bytes.

    Raises:
        MissingFileError: the file does not exist.
        UsageError: the path is not that of a regular file, the file is too large, or the operating system refuses.
    """
    with open_stream(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise UsageError(f"{path}: {size:,} bytes are too many; at most {most:,} are read")
            return file.read(size)
        except OSError as error:
            raise path_error(path, error) from error
        except MemoryError as error:
            raise UsageError(f"{path}: {size:,} bytes do not fit into memory") from error


# --- writing ----------------------------------------------------------------------------------------------------------


def write_atomically(path: Path, data: bytes, *, follow_links: bool = True) -> None:
    """Write `data` to `path` atomically: a reader, also after a crash or a power cut, sees the old file or the new one.

    Args:
        path: the file.
        data: its new content.
        follow_links: whether a symbolic link is kept, and its target written; otherwise the link is replaced.

    Raises:
        UsageError: the file cannot be written (disk full, no permission, no such folder), or the path exists and is not
            a regular file; existing content is kept.
    """
    try:
        target = Path(os.path.realpath(path)) if follow_links else path
    except ValueError:
        raise UsageError(f"{str(path)!r} is not the name of a file") from None
    if (follow_links or not os.path.islink(target)) and kind_of(target) not in ("file", "missing"):
        raise UsageError(f"{path} exists and is not a regular file")
    sweep(target.parent, target.name)
    try:
        with temporary_file(target) as (temporary, descriptor):
            write_all(descriptor, data)
            os.fsync(descriptor)
            os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise path_error(path, error) from error


def check_replaceable(path: Path) -> None:
    """Check that this file may be written into its folder, without writing anything.

    Raises:
        UsageError: the path exists and is not a regular file, but a link, for example; or its folder is missing or
            read-only.
    """
    if kind_of(path, follow_links=False) not in ("missing", "file"):
        raise UsageError(f"{path} exists and is not a regular file: nothing is written there, nor through links")
    if kind_of(path.parent) != "folder":
        raise UsageError(f"{path}: folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: no permission to write in this folder")


def write_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Create the folder `path` with these files in it: all of them or nothing.

    Args:
        path: the folder.
        files: content by name.
        overwrite: replace an existing folder, with all that it holds.

    Raises:
        UsageError: the folder cannot be written, or exists already and may not be replaced.
    """
    sweep(path.parent, path.name)
    try:
        with temporary_folder(path) as temporary:
            for name, data in files.items():
                write_synced(temporary / name, data)
            sync_folder(temporary)
            if overwrite and kind_of(path, follow_links=False) == "folder":
                _replace_folder(path, temporary)
            else:
                os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise path_error(path, error) from error


def _replace_folder(path: Path, new: Path) -> None:
    """Move the folder `new` to `path`, and delete the one that is there; it stays if the new one cannot be moved."""
    with temporary_folder(path) as aside:
        os.rename(path, aside)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(aside, path)
            raise


def check_new_file(path: Path) -> None:
    """Check that a file or folder named by the user can be created, and leave nothing behind.

    Raises:
        UsageError: the path exists, its folder does not, or nothing can be created there.
    """
    if kind_of(path, follow_links=False) != "missing":
        raise UsageError(f"{path} already exists; choose another --out")
    if kind_of(path.parent) != "folder":
        raise UsageError(f"{path}: folder {path.parent} does not exist")
    probe = temporary_path(path)
    try:
        probe.mkdir()
        with suppress(FileNotFoundError):  # another process may have swept it up
            probe.rmdir()
    except OSError as error:
        raise path_error(path, error) from error


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


def from_json(path: Path, most: int = LARGEST_TEXT) -> Any:
    """Read a strict JSON file of at most `most` bytes.

    Raises:
        MissingFileError: the file does not exist.
        UsageError: the file cannot be read, or is not JSON as `parse_json` reads it.
    """
    return named_json(read_regular(path, most), str(path))


def named_json(data: bytes, where: str) -> Any:
    """Parse strict JSON; `where` names it in errors.

    Raises:
        UsageError: as `parse_json` raises ValueError.
    """
    try:
        return parse_json(data)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON, or truncated: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not JSON: it is not UTF-8 text") from error
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def parse_json(data: bytes) -> Json:
    """Parse strict JSON.

    Raises:
        ValueError: the data is not JSON; or it has NaN, an infinity, a number too large to be finite, a key twice in
            one object, text with a NUL character or half of a surrogate pair, or too many levels.
    """
    text = data.decode(json.detect_encoding(data))
    if max(accumulate(map(_STEPS.__getitem__, data.translate(None, _NO_BRACKETS))), default=0) > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    value = json.loads(
        text, parse_constant=_finite, parse_float=_finite, parse_int=_integer, object_pairs_hook=_without_duplicates
    )
    if any(escape in text for escape in ("\\u0000", "\\ud", "\\uD")):  # other text cannot have such characters
        _check_text(value)
    return value


_NO_BRACKETS = bytes(byte for byte in range(256) if chr(byte) not in "[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:60]} is not a finite number")
    return number


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"a whole number of {len(text)} digits is too large")
    return int(text)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {twice[:60]!r} is given twice")
    return found


def _check_text(value: object) -> None:
    """Raise ValueError for text that has a NUL character or half of a surrogate pair."""
    match value:
        case str() if not is_text(value):
            raise ValueError(f"{value[:60]!r} is not text: it has a NUL character, or half of a surrogate pair")
        case list():
            for item in value:
                _check_text(item)
        case dict():
            for key, item in value.items():
                _check_text(key)
                _check_text(item)


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
