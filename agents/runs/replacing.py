"""Replacement of a run: the folders that a new run may use, and the results that are set aside meanwhile."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agents.runs.seal import CONFIG, COPY, read_config
from qrl.common.errors import UsageError
from qrl.common.files import kind_of, path_error, read_regular, write_atomically, write_synced
from qrl.common.leftovers import delete

OWN = re.compile(
    r"\.config-copy\.json|config\.json|(?:metrics|validation)\.jsonl|checkpoint|best|trackers\.json|tensorboard|wandb|(?:evaluation|robustness)[\w.-]*\.json|report\.html|[\w.-]+\.(?:png|gif)|\.lock|\.replaced-\w+|\..*\.tmp"
)
"""Names of a run folder's own files. A folder with any other file is never replaced."""

_INCOMPLETE_START = re.compile(r"\.lock|\.config-copy\.json|\.[.\w-]+\.json\.\w+\.tmp")
"""Names of files left by a start that failed before config.json was written, such as by a kill or a full disk."""


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Check that `RunFolder.create` would accept `path`, without changing any file.

    Raises:
        UsageError: `path` is not a folder; or the folder is not empty and `overwrite` is not set; or it is not a run
            folder; or it holds a file that is not part of a run.
    """
    if kind_of(path, follow_links=False) == "missing":
        return
    try:
        if kind_of(path) != "folder":
            raise UsageError(f"{path} exists and is not a folder: give another --out")
        names = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise path_error(path, error) from error
    if all(_INCOMPLETE_START.fullmatch(name) for name in names):
        return
    if not overwrite:
        raise UsageError(f"{path} exists and is not empty: give another --out, or --overwrite to replace that run")
    read_config(path)
    foreign = sorted(name for name in names if not OWN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} holds {foreign[0]!r}, not part of a run: move it away, --overwrite would delete it")


@contextmanager
def set_aside(path: Path) -> Iterator[None]:
    """Move existing results aside; delete them at exit, or move them back if no new configuration is written.

    The old configuration is copied first, so that `restore` can tell which of the two holds.
    """
    aside = path / f".replaced-{secrets.token_hex(4)}"
    try:
        names = [entry.name for entry in path.iterdir() if entry.name not in {".lock", CONFIG, COPY}]
        if names:
            aside.mkdir()
            write_synced(aside / CONFIG, read_regular(path / CONFIG))
        for name in names:
            os.rename(path / name, aside / name)
        yield
    except OSError as error:
        raise path_error(path, error) from error
    finally:
        restore(path)


def set_aside_folders(path: Path) -> list[Path]:
    """Return the folders that hold results of replaced runs, such as a killed process leaves."""
    return [each for each in path.glob(".replaced-*") if not each.is_symlink() and each.is_dir()]


def restore(path: Path) -> None:
    """Move results that were set aside back while the old configuration holds; delete them once a new one does.

    What earlier versions set aside, without the configuration, stays.
    """
    for aside in set_aside_folders(path):
        with suppress(UsageError, OSError):
            old, present = (read_regular(each / CONFIG) for each in (aside, path))
            if old == present:
                write_atomically(path / COPY, old, follow_links=False)
                for entry in aside.iterdir():
                    if entry.name != CONFIG and not os.path.lexists(path / entry.name):
                        os.rename(entry, path / entry.name)
            else:
                read_config(path)  # A damaged configuration replaces nothing.
            delete(aside)
        with suppress(OSError):
            aside.rmdir()
