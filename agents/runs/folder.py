"""Run folder: all files of a training run, written so that a crash loses no results.

    config.json      resolved configuration; never changed by training. A copy is in .config-copy.json
    metrics.jsonl    one JSON object per iteration
    checkpoint/      the last two checkpoints, each a folder named by iteration: state.safetensors and state.json
    evaluation*.json, robustness.json, report.html, *.png, *.gif, …

Files are written atomically; see `agents.runs.checkpoints` and `agents.runs.metrics`.
"""

import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.checkpoints import Checkpoint, Checkpoints
from agents.runs.locks import locked
from agents.runs.metrics import Metrics
from agents.runs.program import program
from agents.runs.seal import CONFIG, COPY, identity, read_config, sealed, write_sealed
from qrl.common.errors import UsageError
from qrl.common.files import (
    LARGEST_RESULT,
    from_json,
    kind_of,
    path_error,
    read_regular,
    write_atomically,
    write_synced,
)
from qrl.common.leftovers import delete, sweep

if TYPE_CHECKING:
    import torch

_OWN = re.compile(
    r"\.config-copy\.json|config\.json|metrics\.jsonl|checkpoint|evaluation[\w.-]*\.json|robustness\.json|report\.html|[\w.-]+\.(?:png|gif)|\.lock|\.replaced-\w+|\..*\.tmp"
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
    foreign = sorted(name for name in names if not _OWN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} holds {foreign[0]!r}, not part of a run: move it away, --overwrite would delete it")


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
            raise UsageError(
                f"{self.path / 'config.json'}: not the configuration of a run: its spec is missing, or no object"
            )
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
                write_sealed(path, run.config)
        return run

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """Open the folder of an existing run.

        Raises:
            UsageError: the folder does not exist or is not a run folder; or its `config.json` is damaged, was edited,
                or was written by a newer version of this software.
        """
        path = Path(path)
        run = cls(path, read_config(path))
        if run._set_aside_folders():
            with suppress(UsageError), run.lock():  # puts back, or deletes, what was set aside
                pass
        return run

    def check_links(self) -> None:
        """Check that no file of the run is a link, through which training would write elsewhere.

        Raises:
            UsageError: a file of the run, or of its checkpoints, is a link.
        """
        own = [path for path in self.path.iterdir() if _OWN.fullmatch(path.name)]
        found = (*own, *self.path.glob("checkpoint/*"), *self.path.glob("checkpoint/*/*"))
        if links := sorted(path for path in found if path.is_symlink()):
            raise UsageError(f"{links[0]} is a link: training writes only into the run folder; link the whole folder")

    def extend(self, iterations: int) -> None:
        """Change the number of iterations of the run, the only part of its configuration that may change.

        Raises:
            UsageError: the operating system refuses to write.
        """
        config = sealed({**self.config, "spec": {**self.spec, "iterations": iterations}})
        write_sealed(self.path, config)
        self.config = config

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Flush all rows of metrics to disk, then write a checkpoint. See `Checkpoints.save`."""
        self.metrics.sync()
        self.checkpoints.save(iteration, tensors, meta)

    def load(self, restore: Callable[[Checkpoint], object] = lambda _: None) -> Checkpoint | None:
        """Return the newest usable checkpoint, as `Checkpoints.load` does; None if the run ended before its first one.

        Its `problems` describe newer checkpoints that are damaged, or missing although `metrics.jsonl` tells of them.

        Raises:
            UsageError: there is no usable checkpoint, although there has been one.
        """
        if not self.checkpoints.iterations():
            if lost := self._lost_since(0):
                anew = f"{program()} --config {shlex.quote(str(self.path))} --out NEW"
                raise UsageError(f"{lost}; put the folder checkpoint back, or train anew: {anew}")
            return None
        checkpoint = self.checkpoints.load(restore)
        lost = "" if checkpoint.problems else self._lost_since(checkpoint.iteration)
        return replace(checkpoint, problems=(lost,)) if lost else checkpoint

    def _lost_since(self, iteration: int) -> str:
        """Return a message if a checkpoint after this iteration has been saved and is missing; else "".

        It has been if there are metrics after the iteration at which it was due: training saves it before it goes on.
        So does an evaluation at the last iteration. At the end of training, metrics of the last iteration suffice if
        there is an earlier checkpoint, though a kill while the last one is saved leaves them, too.
        """
        every, end = (self.spec.get(name) for name in ("checkpoint_every", "iterations"))
        if not isinstance(every, int) or not isinstance(end, int) or every < 1:
            return ""  # not a valid spec
        due = min((iteration // every + 1) * every, max(end, iteration))
        last = self.metrics.last_iteration()
        ended = last >= end > iteration > 0
        if last <= due and not ended and not (last > iteration and self._evaluated_at() == last):
            return ""
        return f"{self.path}: a checkpoint of iteration {due} or later is missing: the metrics end at iteration {last}"

    def _evaluated_at(self) -> object:
        """Return the iteration of the last evaluation on test tasks; None if that is unknown."""
        try:
            evaluation = from_json(self.path / "evaluation.json", LARGEST_RESULT)
        except UsageError:
            return None
        return evaluation.get("iteration") if isinstance(evaluation, dict) else None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process; the operating system releases the lock even if the process is killed.

        Forked processes, such as the workers of environments, do not hold the lock. After locking, tidy up after killed
        processes: finish or undo an interrupted replacement, delete temporary files.

        Raises:
            UsageError: another process holds the lock, or the operating system refuses it.
        """
        with locked(self.path):
            self._restore_set_aside()
            sweep(self.path)
            sweep(self.checkpoints.folder)
            yield

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Move existing results aside; delete them at exit, or move them back if no new configuration is written.

        The old configuration is copied first, so that `_restore_set_aside` can tell which of the two holds.
        """
        aside = self.path / f".replaced-{secrets.token_hex(4)}"
        try:
            names = [entry.name for entry in self.path.iterdir() if entry.name not in {".lock", CONFIG, COPY}]
            if names:
                aside.mkdir()
                write_synced(aside / CONFIG, read_regular(self.path / CONFIG))
            for name in names:
                os.rename(self.path / name, aside / name)
            yield
        except OSError as error:
            raise path_error(self.path, error) from error
        finally:
            self._restore_set_aside()

    def _set_aside_folders(self) -> list[Path]:
        return [path for path in self.path.glob(".replaced-*") if not path.is_symlink() and path.is_dir()]

    def _restore_set_aside(self) -> None:
        """Move results that were set aside back while the old configuration holds; delete them once a new one does.

        What earlier versions set aside, without the configuration, stays.
        """
        for aside in self._set_aside_folders():
            with suppress(UsageError, OSError):
                old, present = (read_regular(path / CONFIG) for path in (aside, self.path))
                if old == present:
                    write_atomically(self.path / COPY, old, follow_links=False)
                    for entry in aside.iterdir():
                        if entry.name != CONFIG and not os.path.lexists(self.path / entry.name):
                            os.rename(entry, self.path / entry.name)
                else:
                    read_config(self.path)  # A damaged configuration replaces nothing.
                delete(aside)
            with suppress(OSError):
                aside.rmdir()
