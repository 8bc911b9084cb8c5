"""Folder of a search: run folders of its trials, and what the search has found.

search.json        record of the search, sealed, with a copy in .search-copy.json
best.json          configuration with the best options so far, for `train --config`
trials.csv         one row for each trial
trial-0000/        folder of a trial: a run folder seedN for each of its trainings
held-out/          the same for the comparison of the best options with the defaults
trials.log         journal of the search, unless --storage is elsewhere
worker-0.log       output of a worker, with --jobs or --ray
report.html        what `report` writes
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agents.core.spec import Spec
from agents.runs.locks import InUseError, locked
from agents.runs.seal import SEARCH, is_search
from agents.tuning.ranges import with_values
from agents.tuning.record import Record
from agents.tuning.storage import same_storage
from qrl.common.errors import UsageError
from qrl.common.files import kind_of, path_error, to_json, write_atomically
from qrl.common.leftovers import sweep

BEST, TRIALS, JOURNAL_NAME, HELD_OUT = "best.json", "trials.csv", "trials.log", "held-out"
OWN = re.compile(
    rf"\.lock|{re.escape(JOURNAL_NAME)}(?:\.lock.*)?|{re.escape(SEARCH.copy)}|{re.escape(BEST)}|{re.escape(TRIALS)}"
    rf"|trial-\d+|worker-\d+\.log|{HELD_OUT}|report\.html|\..*\.tmp"
)
"""Names of a search's own files besides search.json."""


def check_folder(path: Path, name: str, storage: str) -> None:
    """Check that a search can be begun or continued in this folder, without changing any file.

    Raises:
        UsageError: the path is no folder, holds something else or another search, or its search.json is damaged or was
            edited.
    """
    if kind_of(path, follow_links=False) == "missing":
        return
    if kind_of(path) != "folder":
        raise UsageError(f"{path} exists and is not a folder: give another --out")
    if is_search(path):
        record = Record.read(path)
        if record.name != name or not same_storage(record.storage, storage):
            other = f"{record.name} in {record.storage}"
            raise UsageError(f"{path} is the folder of another search, {other}: give another --out")
        return
    try:
        foreign = sorted(each.name for each in path.iterdir() if not OWN.fullmatch(each.name))
    except OSError as error:
        raise path_error(path, error) from error
    if foreign:
        raise UsageError(f"{path} is no folder of a search and holds {foreign[0]!r}: give another --out")


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Create the folder if it is missing, and lock it for this process; wait for another one that holds the lock.

    Raises:
        UsageError: the operating system refuses.
    """
    _create(path)
    with locked(path, wait=True):
        sweep(path)
        yield


def try_lock(path: Path) -> ExitStack | None:
    """Create and lock a folder until the result is closed; None if another process holds the lock.

    Raises:
        UsageError: the operating system refuses.
    """
    _create(path)
    stack = ExitStack()
    try:
        stack.enter_context(locked(path))
    except InUseError:
        return None
    return stack


def write_outputs(path: Path, spec: Spec, record: Record, about: Mapping[str, object]) -> None:
    """Write the record, the best configuration and the table of trials.

    Raises:
        UsageError: the operating system refuses.
    """
    record.write(path, about)
    write_atomically(path / TRIALS, _table(record).encode(), follow_links=False)
    if (best := record.best) is not None:
        found = {"trial": best.number, "score": best.score, "options": best.options, "storage": record.storage}
        content = {"spec": with_values(spec, best.options).to_json(), "tuning": found}
        write_atomically(path / BEST, (to_json(content, indent=2) + "\n").encode(), follow_links=False)


def _table(record: Record) -> str:
    """Return the trials as CSV, in full precision."""
    names = [each.name for each in record.ranges]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", "score", "iterations", *names, "reason"])
    for each in record.trials:
        done = each.scores[-1][0] if each.scores else 0
        score = "" if each.score is None else each.score
        rows.writerow(
            [each.number, each.state, score, done, *(each.options.get(name, "") for name in names), each.reason]
        )
    return text.getvalue()


def _create(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise path_error(path, error) from error
