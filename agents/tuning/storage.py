"""Storages of a search: a journal file, or a database, which several processes and machines may share.

    journal:FILE                     a file of JSON lines, which Optuna appends to under a lock
    sqlite:///FILE, postgresql://…   a database, by the URL that SQLAlchemy takes

Both hold numbers and JSON; nothing in them is unpickled with the sampler used here. Journals in Redis, whose snapshots
Optuna unpickles, are refused.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.messages import without_password
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, check_new_file, kind_of, open_stream, parse_json, path_error, read_regular
from qrl.common.summaries import DISTRIBUTION

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal:"
LARGEST_LINE = 1 << 20
"""Largest entry of a journal [bytes]."""
TABLES = {"studies", "trials", "version_info"}
"""Tables of a database by which one of Optuna's is known."""


def check_optuna() -> None:
    """Raise UsageError, with the remedy, if Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UsageError(f"tune needs Optuna, which is not installed: pip install '{DISTRIBUTION}[tuning]'")


def check_storage(text: str) -> bool:
    """Check that a storage is one of searches, or can be created, without changing or creating anything.

    Returns: whether it exists.

    Raises:
        UsageError: the text names no storage, or the file or the database is something else.
    """
    if text.startswith(JOURNAL):
        return _check_journal(Path(text.removeprefix(JOURNAL)))
    if "://" in text and not text.startswith("redis"):
        return _check_database(text)
    near = f"; did you mean {JOURNAL}{text}?" if text and "://" not in text else ""
    expected = f"expected {JOURNAL}FILE or the URL of a database, such as sqlite:///studies/search.db"
    raise UsageError(f"--storage {without_password(text)}: {expected}{near}")


def open_storage(text: str) -> "BaseStorage":
    """Open a storage that has been checked; create it if it is missing.

    Raises:
        UsageError: the storage is something else, or cannot be opened.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if not text.startswith(JOURNAL):
        try:
            if text.startswith("sqlite:///"):
                _create_parent(Path(text.removeprefix("sqlite:///")))
            return RDBStorage(text)
        except Exception as error:  # Of SQLAlchemy, of any driver, or of Optuna.
            raise _unusable(text, error) from error
    path = str(Path(text.removeprefix(JOURNAL)).absolute())
    _create_parent(Path(path))
    try:
        # Not the default, a symbolic link: of a relative path it leads nowhere, and then a lock that a killed process
        # has left is never released.
        return JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise UsageError(f"{path}: no journal of a search, or a damaged one: {_reason(error)}") from error


def remove_torn_entry(text: str) -> None:
    """Remove the end of a journal that is no whole line: an entry whose process died while it was written.

    Optuna would append its next entry to this line, and refuse the journal from then on.
    """
    from optuna.storages.journal import JournalFileOpenLock

    path = Path(text.removeprefix(JOURNAL)).absolute()
    if not text.startswith(JOURNAL) or kind_of(path) == "missing" or _whole(content := _content(path)) == len(content):
        return
    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:  # Again: another process may have been writing this entry.
        os.truncate(path, _whole(_content(path)))
    finally:
        lock.release()


def _content(path: Path) -> bytes:
    return read_regular(path, LARGEST_RESULT)


def _whole(content: bytes) -> int:
    """Return the length of the whole lines [bytes]."""
    return content.rfind(b"\n") + 1


@contextmanager
def storage_errors(text: str) -> Iterator[None]:
    """Raise UsageError, with the name of the storage, for what its database or its driver raises meanwhile."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UsageError(
            f"--storage {without_password(text)}: no longer usable, or damaged: {_reason(error)}"
        ) from error


def same_storage(one: str, other: str) -> bool:
    """Return whether two texts name the same storage; a journal may be named by several paths."""
    if one.startswith(JOURNAL) and other.startswith(JOURNAL):
        return Path(one.removeprefix(JOURNAL)).absolute() == Path(other.removeprefix(JOURNAL)).absolute()
    return without_password(one) == without_password(other)


def _check_journal(path: Path) -> bool:
    if not path.name:
        raise UsageError(f"--storage {JOURNAL}: the name of a file is missing, such as {JOURNAL}studies/search.log")
    if kind_of(path) == "missing":
        _check_creatable(path)
        return False
    with open_stream(path) as stream:
        if stream.seek(0, 2) > LARGEST_RESULT:
            raise UsageError(f"--storage: {path} is too large for a journal of a search")
        stream.seek(0)
        number = 0
        while line := stream.readline(LARGEST_LINE):
            number += 1
            is_torn = number > 1 and not line.endswith(b"\n") and not stream.read(1)
            if not (is_torn or _is_entry(line)):
                raise UsageError(f"--storage: {path} is no journal of a search, or a damaged one: line {number}")
    return number > 0


def _create_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise path_error(path.parent, error) from error


def _check_creatable(path: Path) -> None:
    """Raise UsageError unless a file can be created, with its missing parent folders."""
    first = path.absolute()
    while kind_of(first.parent) == "missing":
        first = first.parent
    check_new_file(first)


def _is_entry(line: bytes) -> bool:
    try:
        entry = parse_json(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and isinstance(entry.get("op_code"), int) and "worker_id" in entry


def _check_database(text: str) -> bool:
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(text)
        url.get_dialect()  # Raises for an unknown one.
        if url.get_backend_name() == "sqlite":
            if not url.database or url.database == ":memory:":
                raise UsageError(f"--storage {text}: a database in memory ends with its process: give a file")
            if kind_of(Path(url.database)) == "missing":  # Connecting would create it.
                _check_creatable(Path(url.database))
                return False
        engine = sqlalchemy.create_engine(url)
        try:
            names = sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
    except UsageError:
        raise
    except Exception as error:  # Of SQLAlchemy, or of any driver.
        raise _unusable(text, error) from error
    if names and not TABLES.issubset(names):
        raise UsageError(f"--storage {without_password(text)}: the database is of something else, with {names[0]!r}")
    return bool(names)


def _unusable(text: str, error: Exception) -> UsageError:
    if isinstance(error, ModuleNotFoundError):
        return UsageError(f"--storage {without_password(text)}: the driver {error.name} is not installed")
    return UsageError(f"--storage {without_password(text)}: cannot be opened: {_reason(error)}")


def _reason(error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    return without_password(first) or type(error).__name__
