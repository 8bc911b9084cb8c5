"""Trackers of a run, remembered in its folder, so that a resume continues its records.

A run folder may come from somebody else. A resume therefore starts by itself only trackers that write into the run
folder and send nothing; for the others, it tells how to continue their records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.core.plain import from_plain
from agents.runs.messages import warn
from agents.tracking.tracking import TrackerName, check_trackers
from qrl.common.errors import UsageError
from qrl.common.files import MissingFileError, from_json, to_json, write_atomically

FILE = "trackers.json"

INSIDE: tuple[TrackerName, ...] = ("tensorboard",)
"""Trackers that write only into the run folder."""


@dataclass(frozen=True)
class Remembered:
    """Content of the file."""

    trackers: tuple[TrackerName, ...]


def remember_trackers(run: Path, names: Sequence[str]) -> None:
    """Write the names of the trackers of a run into its folder. Raises UsageError if that is impossible."""
    content = {"trackers": list(dict.fromkeys(names))}
    write_atomically(run / FILE, (to_json(content) + "\n").encode(), follow_links=False)


def remembered_trackers(run: Path) -> tuple[TrackerName, ...]:
    """Return the names of the trackers of a run; warn about a file that holds something else, and ignore it."""
    try:
        return from_plain(Remembered, from_json(run / FILE), str(run / FILE)).trackers
    except MissingFileError:
        return ()
    except UsageError as error:
        warn(f"{error}; ignored: --track continues the records of trackers")
        return ()


def continued_trackers(run: Path) -> tuple[TrackerName, ...]:
    """Return the remembered trackers that a resume starts by itself, and tell of the others."""
    names = remembered_trackers(run)
    usable = []
    for name in names:
        try:
            check_trackers([name])
        except UsageError as error:
            warn(f"{run} was tracked with {name}, and this resume is not: {error}")
        else:
            usable.append(name)
    if outside := [name for name in usable if name not in INSIDE]:
        again = f"--track {' '.join(usable)}"
        warn(f"{run} was tracked with {', '.join(outside)}, and this resume is not: {again} continues the record")
    return tuple(name for name in usable if name in INSIDE)
