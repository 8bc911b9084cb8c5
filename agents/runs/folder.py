"""The run folder: everything one training run leaves behind, written so that nothing earned is lost.

    config.json      what was asked for, resolved; never changed by training
    metrics.jsonl    one JSON object per iteration
    checkpoint/      the last two, each a folder named by iteration: state.safetensors and state.json
    evaluation*.json, robustness.json, *.png, *.gif, …

Every file is whole or not there; see `agents.runs.checkpoints` and `agents.runs.metrics`.
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
from qrl.common.files import to_json, unusable, write_whole

if TYPE_CHECKING:
    import torch

_OWN = re.compile(
    r"config\.json|metrics\.jsonl|checkpoint|evaluation[\w.-]*\.json|robustness\.json|[\w.-]+\.(?:png|gif)|\.lock|\.replaced-\w+|\..*\.tmp"
)
"""Names a run folder may hold: with anything else in it, a folder is never replaced."""

_INCOMPLETE_START = re.compile(r"\.lock|\.config\.json\.\w+\.tmp")
"""What a start leaves that ended, by a kill or a full disk, before there was a config.json: nothing of worth."""


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Check that `RunFolder.create` would accept `path`, without touching anything.

    Raises:
        UsageError: `path` is not a folder; or it is not empty and `overwrite` is not set, or not a run folder, or holds
            something that is not part of a run.
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
        raise unusable(path, error) from error
    if all(_INCOMPLETE_START.fullmatch(name) for name in names):
        return
    if not overwrite:
        raise UsageError(f"{path} exists and is not empty: give another --out, or --overwrite to replace that run")
    read_config(path)
    foreign = sorted(name for name in names if not _OWN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} holds {foreign[0]!r}, not part of a run: move it away, --overwrite would delete it")


class RunFolder:
    """A folder that holds one run. Made by `create` or `open`.

    Args:
        path: the folder.
        config: its configuration, as it is in `config.json`.
    """

    def __init__(self, path: Path, config: dict[str, object]) -> None:
        self.path = path
        self.config = config
        self.metrics = Metrics(path / "metrics.jsonl")
        self.checkpoints = Checkpoints(path, identity(config))

    @property
    def spec(self) -> Mapping[str, object]:
        """What defines the run, as JSON holds it.

        Raises:
            UsageError: the configuration has none.
        """
        spec = self.config.get("spec")
        if not isinstance(spec, Mapping):
            raise UsageError(f"{self.path / 'config.json'}: no configuration of a run: it has no spec")
        return spec

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, object], *, overwrite: bool = False) -> "RunFolder":
        """Make the folder and write its `config.json`.

        Args:
            path: the folder; parents are made.
            config: any JSON object; the keys "format", "version" and "digest" are added.
            overwrite: replace the run that is there. Only a run folder is ever replaced.

        Raises:
            UsageError: see `check_target`; or a running process uses the folder, or the system refuses to write there.
            TrainingError: `config` holds a number that is not finite.
        """
        path = Path(path)
        check_target(path, overwrite=overwrite)
        run = cls(path, sealed(config))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(path, error) from error
        with run.lock():
            check_target(path, overwrite=overwrite)  # Again: another process may have made a run here meanwhile.
            with run._set_aside():
                run._write_config(run.config)
        return run

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """Open the folder of an earlier run.

        Raises:
            UsageError: there is no such folder, it is not a run folder, its `config.json` is damaged or was edited, or
                it was written by a newer version of this software.
        """
        path = Path(path)
        try:
            return cls(path, read_config(path))
        except OSError as error:
            raise unusable(path, error) from error

    def extend(self, iterations: int) -> None:
        """Change the number of iterations of the run, which is all of its configuration that ever changes.

        Raises:
            UsageError: the system refuses to write.
        """
        config = sealed({**self.config, "spec": {**self.spec, "iterations": iterations}})
        self._write_config(config)
        self.config = config

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Write a checkpoint; the rows of metrics up to it are on the disk before. See `Checkpoints.save`."""
        self.metrics.sync()
        self.checkpoints.save(iteration, tensors, meta)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the system lets go of it also when the process is killed.

        Raises:
            UsageError: another process holds it, or the system refuses.
        """
        path = self.path / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"{self.path} is in use by another process") from error
            except OSError as error:
                raise unusable(path, error) from error
            yield
        finally:
            # The file stays: removing it would let a second process lock a new file of the same name.
            os.close(descriptor)

    def _write_config(self, config: Mapping[str, object]) -> None:
        write_whole(self.path / "config.json", (to_json(config, indent=2) + "\n").encode())

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Move the results that are here out of the way, to be deleted at the end, or moved back if that fails."""
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
                raise unusable(self.path, error) from error
            raise
        shutil.rmtree(aside, ignore_errors=True)
