"""Run folder: all files of a training run, written so that a crash loses no results.

    config.json      resolved configuration, with a history of what a resume changed. A copy is in .config-copy.json
    metrics.jsonl    one JSON object per iteration
    checkpoint/      the last two checkpoints, each a folder named by iteration: state.safetensors and state.json
    validation.jsonl, best/    one JSON object per validation; the checkpoint with the best score, likewise
    trackers.json, tensorboard/, wandb/    names of experiment trackers, and their files
    evaluation*.json, robustness*.json, report.html, *.png, *.gif, …

Files are written atomically; see `agents.runs.checkpoints` and `agents.runs.metrics`.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs import ending, replacing
from agents.runs.checkpoints import Checkpoint, Checkpoints
from agents.runs.history import HISTORY, changed, record
from agents.runs.locks import locked
from agents.runs.metrics import Metrics
from agents.runs.program import program
from agents.runs.seal import CONFIG, identity, read_config, sealed, write_sealed
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, from_json, path_error
from qrl.common.leftovers import sweep

if TYPE_CHECKING:
    import torch


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
        self.validation = Metrics(path / "validation.jsonl")
        self.checkpoints = Checkpoints(path, identity(config))
        self.best = Checkpoints(path, identity(config), "best")
        """Checkpoint with the best score on validation tasks, and the one that was best at the checkpoint before, from
        which training may have to continue."""

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
            UsageError: see `agents.runs.replacing.check_target`; or another process uses the folder; or the operating
                system refuses to write there.
            TrainingError: `config` contains a non-finite number.
        """
        path = Path(path)
        replacing.check_target(path, overwrite=overwrite)
        run = cls(path, sealed(config))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise path_error(path, error) from error
        with run.lock():
            # Again: another process may have created a run here meanwhile.
            replacing.check_target(path, overwrite=overwrite)
            with replacing.set_aside(path):
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
        if replacing.set_aside_folders(path):
            with suppress(UsageError), run.lock():  # puts back, or deletes, what was set aside
                pass
        return run

    def check_links(self) -> None:
        """Check that no file of the run is a link, through which training would write elsewhere.

        Raises:
            UsageError: a file of the run, or of its checkpoints, is a link.
        """
        own = [path for path in self.path.iterdir() if replacing.OWN.fullmatch(path.name)]
        folders = (self.checkpoints.folder.name, self.best.folder.name)
        found = (
            *own,
            *(path for name in folders for under in ("*", "*/*") for path in self.path.glob(f"{name}/{under}")),
        )
        if links := sorted(path for path in found if path.is_symlink()):
            raise UsageError(f"{links[0]} is a link: training writes only into the run folder; link the whole folder")

    def change(self, changes: Mapping[str, object], iteration: int) -> None:
        """Change options of the run after an iteration, and record the change in the configuration's history.

        Only options that leave the checkpoints usable may change (`agents.runs.history.check_changes`); these remain
        those of the run.

        Args:
            changes: new values by name, such as "iterations" or "agent_config.lr_angles".
            iteration: number of completed iterations.

        Raises:
            UsageError: the operating system refuses to write, or the history is damaged.
        """
        history = self.config.get(HISTORY, [])
        if not isinstance(history, list):
            raise UsageError(f"{self.path / CONFIG}: {HISTORY}: expected a list, found {history!r}")
        entry = record(self.spec, changes, iteration)
        config = sealed({**self.config, "spec": changed(self.spec, changes), HISTORY: [*history, entry]})
        write_sealed(self.path, config)
        self.config = config

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Flush all rows of metrics and of validation to disk, then write a checkpoint. See `Checkpoints.save`."""
        self.metrics.sync()
        self.validation.sync()
        self.checkpoints.save(iteration, tensors, meta)
        self._drop_surplus_best()

    def _drop_surplus_best(self) -> None:
        """Delete the best checkpoints that training from none of the kept checkpoints could still need."""
        found = self.best.iterations()
        if len(found) > 1:
            earlier = ([each for each in found if each <= kept] for kept in self.checkpoints.iterations())
            self.best.drop_others({each[-1] for each in earlier if each})

    def rewind(self, iteration: int) -> list[str]:
        """Delete everything after an iteration, before training resumes from its checkpoint.

        Returns: a message about each damaged or missing row.

        Raises:
            UsageError: the operating system refuses to write.
        """
        self.checkpoints.drop_surplus(iteration)
        self.best.drop_after(iteration)
        return [*self.metrics.trim(iteration), *self.validation.trim(iteration, has_last=False)]

    def ended_early(self, iteration: int) -> bool:
        """Return whether training ended after this iteration because the patience was exhausted."""
        return ending.ended_early(self.spec, self.validation, iteration)

    def load_best(self, restore: Callable[[Checkpoint], object] = lambda _: None) -> Checkpoint:
        """Return the checkpoint with the best score on validation tasks. See `Checkpoints.load`.

        Raises:
            UsageError: there is none, or none that is usable.
        """
        if not self.best.iterations():
            raise UsageError(f"{self.path}: no best checkpoint: --validate-every N in training keeps one")
        return self.best.load(restore)

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
            replacing.restore(self.path)
            sweep(self.path)
            sweep(self.checkpoints.folder)
            sweep(self.best.folder)
            yield
