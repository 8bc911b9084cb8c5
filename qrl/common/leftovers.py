"""Temporary files next to the files that they will replace, and what killed writers left of them.

A writer locks its temporary file or folder as long as it lives, and the operating system ends the lock with it.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def temporary_file(target: Path) -> Iterator[tuple[Path, int]]:
    """Create a temporary file next to `target`; yield its path and descriptor, and delete it at exit if it is left.

    Raises:
        OSError: the file cannot be created.
    """
    while True:
        path = temporary_path(target)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _claim(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        delete(path)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Create a temporary folder next to `target`; yield its path, and delete it at exit if it is left.

    Raises:
        OSError: the folder cannot be created.
    """
    while True:
        path = temporary_path(target)
        path.mkdir(parents=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if _claim(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield path
    finally:
        os.close(descriptor)
        delete(path)


def temporary_path(target: Path) -> Path:
    """Return a new name for a temporary file or folder next to `target`."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete temporary files and folders of killed writers from `folder`: those of all names, or of one.

    What cannot be deleted stays; that is no error.
    """
    pattern = re.compile(rf"\.{'.+' if name is None else re.escape(name)}\.[0-9a-f]{{8}}\.tmp", re.DOTALL)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in [each for each in entries if pattern.fullmatch(each.name)]:
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                _delete_abandoned(Path(entry.path))


def delete(path: Path) -> None:
    """Delete a file, a link, or a folder with its content. What cannot be deleted stays; that is no error."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _delete_abandoned(path: Path) -> None:
    """Delete a temporary file or folder unless its writer lives."""
    with suppress(OSError):  # such as the error that the lock is held
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            delete(path)
        finally:
            os.close(descriptor)


def _claim(path: Path, descriptor: int) -> bool:
    """Lock a new temporary file or folder; return whether it is still there: `sweep` may have been faster."""
    with suppress(OSError):  # Without locks, as on some network file systems, `sweep` deletes nothing.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path.exists()
