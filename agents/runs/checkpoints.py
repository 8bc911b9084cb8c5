"""Checkpoints of a run: safetensors and JSON, with digests to detect damaged checkpoints and skip them.

Loading unpickles nothing. A flipped byte, a truncated file, or a file from another checkpoint or another run is
detected, and the previous checkpoint is used. An `iteration` is the number of completed iterations, from 1.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.runs.seal import VERSION, digest
from qrl.common.errors import UsageError, wrap_errors
from qrl.common.files import kind_of, named_json, path_error, read_regular, sync_folder, to_json, write_synced
from qrl.common.leftovers import delete, sweep, temporary_folder, temporary_path
from qrl.common.memory import largest_file

if TYPE_CHECKING:
    import torch

KEPT = 2
"""Number of checkpoints that are kept."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a saved checkpoint."""

    iteration: int
    """Number of completed iterations."""
    tensors: dict[str, "torch.Tensor"]
    """Tensors on the CPU, by name."""
    meta: dict[str, Any]
    """JSON part: generator states and counters."""
    problems: tuple[str, ...] = ()
    """Newer checkpoints that were skipped because they are damaged: one line each."""


class Checkpoints:
    """Last checkpoints of a run, each a folder named by its iteration.

    Args:
        run: the run folder.
        identity: digest of the run's configuration; a checkpoint with another digest belongs to another run.
    """

    def __init__(self, run: Path, identity: str) -> None:
        self.run, self.folder, self.identity = run, run / "checkpoint", identity

    def iterations(self) -> list[int]:
        """Return the iterations of all existing checkpoints, damaged or not."""
        if kind_of(self.folder) == "missing":
            return []
        try:
            names = [entry.name for entry in self.folder.iterdir()]
        except OSError as error:
            raise path_error(self.folder, error) from error
        iterations = (int(name) for name in names if re.fullmatch(r"[0-9]{8,}", name))
        return sorted(iteration for iteration in iterations if self._path(iteration).name in names)

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Write a checkpoint and delete all but the last two. Earlier checkpoints stay until the new one is complete.

        Args:
            iteration: number of completed iterations.
            tensors: tensors by name, moved to the CPU; tensors that share memory are saved separately.
            meta: a JSON object.

        Raises:
            TrainingError: `meta` contains a non-finite number.
            UsageError: the operating system refuses to write.
        """
        import safetensors.torch

        data = safetensors.torch.save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})
        state = encode_state(iteration, hashlib.sha256(data).hexdigest(), self.identity, meta)
        target = self._path(iteration)
        try:
            with temporary_folder(target) as temporary:
                write_synced(temporary / "state.safetensors", data)
                write_synced(temporary / "state.json", state)
                sync_folder(temporary)
                _replace_folder(temporary, target)
            sync_folder(self.folder)
        except OSError as error:
            raise path_error(target, error) from error
        # Later checkpoints were damaged: training resumed from before them and abandoned them.
        self._drop([each for each in self.iterations() if each > iteration])
        self.drop_surplus(iteration)

    def drop_surplus(self, iteration: int) -> None:
        """Delete checkpoints before this one, except the last; a kill after saving may have left more of them."""
        earlier = [each for each in self.iterations() if each < iteration]
        self._drop(earlier[: -(KEPT - 1)])

    def load(self, restore: Callable[[Checkpoint], object] = lambda _: None) -> Checkpoint:
        """Return the newest undamaged checkpoint; its `problems` describe newer, damaged checkpoints.

        Args:
            restore: function that takes over a checkpoint; it raises UsageError, and changes nothing, for content of
                the wrong kind. The checkpoint then counts as damaged.

        Raises:
            UsageError: there is no undamaged checkpoint.
        """
        problems: list[str] = []
        before, found = None, self.iterations()
        # Retry if the list has changed: a concurrent training process may delete a listed checkpoint before it is read.
        while found != before:
            problems = []
            for iteration in reversed(found):
                try:
                    checkpoint = Checkpoint(iteration, *self._load(iteration), tuple(problems))
                    with _located(self._path(iteration)):
                        restore(checkpoint)
                except UsageError as error:
                    problems.append(str(error))
                    continue
                return checkpoint
            before, found = found, self.iterations()
        if problems:
            raise UsageError(f"{self.run}: no usable checkpoint: {'; '.join(problems)}")
        raise UsageError(
            f"{self.run}: no checkpoint: the run ended before the first one; resume starts from the beginning"
        )

    def last_meta(self) -> dict[str, Any] | None:
        """Return the JSON part of the newest checkpoint whose `state.json` is undamaged; None without one.

        Tensors are not read, and torch is not imported.
        """
        for iteration in reversed(self.iterations()):
            with suppress(UsageError):
                meta: dict[str, Any] = self._state(iteration)["meta"]
                return meta
        return None

    def _load(self, iteration: int) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
        import safetensors.torch

        folder, document = self._path(iteration), self._state(iteration)
        data = read_regular(folder / "state.safetensors", largest_file())
        if hashlib.sha256(data).hexdigest() != document["tensors"]:
            raise UsageError(f"{folder / 'state.safetensors'}: damaged: the digest does not match the content")
        with wrap_errors(f"{folder / 'state.safetensors'}: not a safetensors file"):
            return safetensors.torch.load(data), document["meta"]

    def _state(self, iteration: int) -> dict[str, Any]:
        """Return the content of an undamaged `state.json` of this run. Raises UsageError for any other."""
        folder = self._path(iteration)
        state = read_regular(folder / "state.json")
        document = named_json(state, str(folder / "state.json"))
        if not isinstance(document, dict) or not isinstance(document.get("meta"), dict):
            raise UsageError(f"{folder / 'state.json'}: not the state of a checkpoint")
        if isinstance(document.get("version"), int) and document["version"] > VERSION:
            raise UsageError(
                f"{folder}: written by a newer version (format {document['version']}; supported: up to {VERSION})"
            )
        recorded = document.get("iteration"), document.get("tensors"), document.get("run"), document["meta"]
        # Compared byte by byte with a new encoding of the content, so that every changed byte is detected.
        if state != encode_state(*recorded):
            raise UsageError(f"{folder / 'state.json'}: damaged: the digest does not match the content")
        if document["iteration"] != iteration:
            raise UsageError(f"{folder / 'state.json'}: belongs to iteration {document['iteration']}")
        if document["run"] != self.identity:
            raise UsageError(f"{folder}: belongs to another run")
        return document

    def _path(self, iteration: int) -> Path:
        return self.folder / f"{iteration:08d}"

    def _drop(self, iterations: Sequence[int]) -> None:
        for iteration in iterations:
            aside = temporary_path(self._path(iteration))
            with suppress(OSError):  # What cannot be deleted stays.
                os.rename(self._path(iteration), aside)  # A kill in the middle leaves a temporary folder only.
            delete(aside)
        sweep(self.folder)


def encode_state(iteration: object, tensors: object, run: object, meta: Mapping[str, object]) -> bytes:
    """Return the content of a `state.json`: the iteration, the JSON part of a checkpoint, and digests.

    Args:
        iteration: number of completed iterations.
        tensors: digest of the file of tensors.
        run: digest that identifies the checkpoint's run.
        meta: a JSON object.
    """
    content = {"version": VERSION, "iteration": iteration, "tensors": tensors, "run": run, "meta": dict(meta)}
    plain = json.loads(to_json(content))
    return (to_json({**plain, "digest": digest(plain)}) + "\n").encode()


def _replace_folder(source: Path, target: Path) -> None:
    """Rename `source` to `target`. A non-empty folder cannot be overwritten, so an existing `target` is moved first."""
    aside = temporary_path(target)
    if kind_of(target, follow_links=False) != "missing":
        os.rename(target, aside)
    os.rename(source, target)
    delete(aside)


@contextmanager
def _located(folder: Path) -> Iterator[None]:
    """Name the folder of a checkpoint in errors about its content."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{folder}: {error}") from error
