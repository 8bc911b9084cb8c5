"""Run folder: all files of a training run, written so that a crash loses no results.

    config.json      resolved configuration; never changed by training
    metrics.jsonl    one JSON object per iteration
    checkpoint/      the last two checkpoints, each a folder named by iteration: state.safetensors and state.json
    evaluation*.json, robustness.json, *.png, *.gif, …

Files are written atomically; see `agents.runs.checkpoints` and `agents.runs.metrics`.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.checkpoints import Checkpoints
from agents.runs.metrics import Metrics
from agents.runs.seal import identity, read_config, sealed
from qrl.common.errors import UsageError
from qrl.common.files import path_error, to_json, write_atomically

if TYPE_CHECKING:
    import torch

_OWN = re.compile(
    r"config\.json|metrics\.jsonl|checkpoint|evaluation[\w.-]*\.json|robustness\.json|[\w.-]+\.(?:png|gif)|\.lock|\.replaced-\w+|\..*\.tmp"
)
"""Names of a run folder's own files. A folder with any other file is never replaced."""

_INCOMPLETE_START = re.compile(r"\.lock|\.config\.json\.\w+\.tmp")
"""Names of files left by a start that failed before config.json was written, such as by a kill or a full disk."""


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Check that `RunFolder.create` would accept `path`, without changing any file.

    Raises:
        UsageError: `path` is not a folder; or the folder is not empty and `overwrite` is not set; or it is not a run
            folder; or it holds a file that is not part of a run.
    """
    try:
        try:
            path.lstat()
        except FileNotFoundError:
            return
        if not path.is_dir():
            raise UsageError(f"{path} exists and is not a folder: give another --out")
        names = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise path_error(path, error) from error
    if all(_INCOMPLETE_START.fullmatch(name) for name in names):
        return
    if not overwrite:
        raise UsageError(f"{path} exists and is not empty: give another --out, or --overwrite to replace that run")
    read_config(path)
    foreign = sorted(name for name in names if not _OWN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} holds {foreign[0]!r}, not part of a run: move it away, --overwrite would delete it")


_LOCKS: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _close_locks() -> None:
    """Close the locks in a forked process: a lock is released once every process that holds it has closed it."""
    for descriptor in _LOCKS:
        with suppress(OSError):
            os.close(descriptor)
    _LOCKS.clear()


os.register_at_fork(after_in_child=_close_locks)


class RunFolder:
    """Folder of one run, returned by `create` or `open`.

    Args:
        path: the folder.
        config: the run's configuration, as in `config.json`.
    """

    def __init__(self, path: Path, config: dict[str, object]) -> None:
        self.path = path
        self.config = config
        self.metrics = Metrics(path / "metrics.jsonl")
        self.checkpoints = Checkpoints(path, identity(config))

    @property
    def spec(self) -> Mapping[str, object]:
        """Spec of the run as a JSON object.

        Raises:
            UsageError: the configuration has no spec.
        """
        spec = self.config.get("spec")
        if not isinstance(spec, Mapping):
            raise UsageError(f"{self.path / 'config.json'}: not the configuration of a run: it has no spec")
        return spec

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, object], *, overwrite: bool = False) -> "RunFolder":
        """Create the folder and write its `config.json`.

        Args:
            path: the folder; missing parent folders are created.
            config: any JSON object; the keys "format", "version" and "digest" are added.
            overwrite: replace an existing run. Only a run folder is ever replaced.

        Raises:
            UsageError: see `check_target`; or another process uses the folder; or the operating system refuses to
                write there.
            TrainingError: `config` contains a non-finite number.
        """
        path = Path(path)
        check_target(path, overwrite=overwrite)
        run = cls(path, sealed(config))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise path_error(path, error) from error
        with run.lock():
            check_target(path, overwrite=overwrite)  # Again: another process may have created a run here meanwhile.
            with run._set_aside():
                run._write_config(run.config)
        return run

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """Open the folder of an existing run.

        Raises:
            UsageError: the folder does not exist or is not a run folder; or its `config.json` is damaged, was edited,
                or was written by a newer version of this software.
        """
        path = Path(path)
        try:
            return cls(path, read_config(path))
        except OSError as error:
            raise path_error(path, error) from error

    def extend(self, iterations: int) -> None:
        """Change the number of iterations of the run, the only part of its configuration that may change.

        Raises:
            UsageError: the operating system refuses to write.
        """
        config = sealed({**self.config, "spec": {**self.spec, "iterations": iterations}})
        self._write_config(config)
        self.config = config

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Flush all rows of metrics to disk, then write a checkpoint. See `Checkpoints.save`."""
        self.metrics.sync()
        self.checkpoints.save(iteration, tensors, meta)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process; the operating system releases the lock even if the process is killed.

        Forked processes, such as the workers of environments, do not hold the lock.

        Raises:
            UsageError: another process holds the lock, or the operating system refuses it.
        """
        path = self.path / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise path_error(path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"{self.path} is in use by another process") from error
            except OSError as error:
                raise path_error(path, error) from error
            _LOCKS.add(descriptor)
            yield
        finally:
            # The lock file stays: after its removal, a second process could lock a new file of the same name.
            _LOCKS.discard(descriptor)
            with suppress(OSError):  # third-party code may have closed it
                os.close(descriptor)

    def _write_config(self, config: Mapping[str, object]) -> None:
        write_atomically(self.path / "config.json", (to_json(config, indent=2) + "\n").encode())

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Move existing results aside; delete them at exit, or move them back if the body raises an exception."""
        aside = self.path / f".replaced-{secrets.token_hex(4)}"
        moved: list[str] = []
        try:
            names = [entry.name for entry in self.path.iterdir() if entry.name not in {".lock", "config.json"}]
            if names:
                aside.mkdir()
            for name in names:
                os.rename(self.path / name, aside / name)
                moved.append(name)
            yield
        except BaseException as error:
            for name in moved:
                os.rename(aside / name, self.path / name)
            with suppress(OSError):
                aside.rmdir()
            if isinstance(error, OSError):
                raise path_error(self.path, error) from error
            raise
        shutil.rmtree(aside, ignore_errors=True)
