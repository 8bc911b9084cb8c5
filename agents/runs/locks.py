"""Locks of folders, such as run folders: one process at a time writes there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import open_regular, path_error


class InUseError(UsageError):
    """Folder that another process has locked."""


_LOCKS: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _close_locks() -> None:
    """Close the locks in a forked process: a lock is released once every process that holds it has closed it."""
    for descriptor in _LOCKS:
        with suppress(OSError):
            os.close(descriptor)
    _LOCKS.clear()


os.register_at_fork(after_in_child=_close_locks)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder for this process; the operating system releases the lock even if the process is killed.

    Forked processes, such as the workers of environments, do not hold the lock.

    Args:
        folder: the folder, which exists.
        wait: wait for another process that holds the lock.

    Raises:
        InUseError: another process holds the lock.
        UsageError: the operating system refuses it.
    """
    path = folder / ".lock"
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, follow_links=False)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise InUseError(f"{folder} is in use by another process") from error
        except OSError as error:
            raise path_error(path, error) from error
        _LOCKS.add(descriptor)
        yield
    finally:
        # The lock file stays: after its removal, a second process could lock a new file of the same name.
        _LOCKS.discard(descriptor)
        with suppress(OSError):  # third-party code may have closed it
            os.close(descriptor)
