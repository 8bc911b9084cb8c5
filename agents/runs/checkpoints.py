"""Checkpoints of a run: safetensors and JSON, with digests, so that a damaged one is recognised and passed over.

Nothing is unpickled. A flipped byte, a cut file, or a file from another checkpoint or another run is recognised, and
the checkpoint before is used. An `iteration` counts the completed ones, from 1.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.runs.seal import VERSION, digest
from qrl.common.errors import UsageError
from qrl.common.files import from_json, sync_folder, to_json, unusable, write_synced

if TYPE_CHECKING:
    import torch

KEPT = 2
"""Checkpoints kept."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was saved."""

    iteration: int
    """Completed iterations."""
    tensors: dict[str, "torch.Tensor"]
    """On the CPU."""
    meta: dict[str, Any]
    """What JSON holds: generator states, counters."""
    problems: tuple[str, ...] = ()
    """Newer checkpoints that were passed over because they are damaged: one line each."""


class Checkpoints:
    """The last checkpoints of a run, each a folder named by its iteration.

    Args:
        run: the run folder.
        identity: digest of its configuration; a checkpoint with another one is another run's.
    """

    def __init__(self, run: Path, identity: str) -> None:
        self.run, self.folder, self.identity = run, run / "checkpoint", identity

    def iterations(self) -> list[int]:
        """Return the iterations of the checkpoints there are, damaged or not."""
        try:
            return sorted(int(entry.name) for entry in self.folder.iterdir() if re.fullmatch(r"\d{8,}", entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self.folder, error) from error

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, object]) -> None:
        """Write a checkpoint and drop all but the last two. Until it is complete, the earlier ones stay untouched.

        Args:
            iteration: completed iterations.
            tensors: moved to the CPU; tensors that share memory are saved apart.
            meta: a JSON object.

        Raises:
            TrainingError: `meta` holds a number that is not finite.
            UsageError: the system refuses to write.
        """
        import safetensors.torch

        data = safetensors.torch.save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})
        state = encode_state(iteration, hashlib.sha256(data).hexdigest(), self.identity, meta)
        target = self._path(iteration)
        temporary = self.folder / f".{target.name}.{secrets.token_hex(4)}.tmp"
        try:
            temporary.mkdir(parents=True)
            write_synced(temporary / "state.safetensors", data)
            write_synced(temporary / "state.json", state)
            sync_folder(temporary)
            _replace_folder(temporary, target)
            sync_folder(self.folder)
        except OSError as error:
            raise unusable(target, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        # Those after this one are of a future that was given up: damaged, so that training went on from before them.
        earlier = [each for each in self.iterations() if each < iteration]
        self._drop(keep={iteration, *earlier[-(KEPT - 1) :]})

    def load(self) -> Checkpoint:
        """Return the newest checkpoint that is undamaged; `problems` names the newer ones that are not.

        Raises:
            UsageError: there is none.
        """
        problems: list[str] = []
        before, found = None, self.iterations()
        # Again if they have changed: a process that trains beside this one drops what was listed before it is read.
        while found != before:
            problems = []
            for iteration in reversed(found):
                try:
                    tensors, meta = self._load(iteration)
                except UsageError as error:
                    problems.append(str(error))
                    continue
                return Checkpoint(iteration, tensors, meta, tuple(problems))
            before, found = found, self.iterations()
        if problems:
            raise UsageError(f"{self.run}: no checkpoint can be used: {'; '.join(problems)}")
        raise UsageError(
            f"{self.run}: there is no checkpoint: the run ended before its first one; resume starts it over"
        )

    def _load(self, iteration: int) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
        import safetensors.torch

        folder = self._path(iteration)
        document = from_json(folder / "state.json")
        if not isinstance(document, dict) or not isinstance(document.get("meta"), dict):
            raise UsageError(f"{folder / 'state.json'}: not the state of a checkpoint")
        if isinstance(document.get("version"), int) and document["version"] > VERSION:
            raise UsageError(
                f"{folder}: written by a newer version (format {document['version']}, this reads {VERSION})"
            )
        recorded = document.get("iteration"), document.get("tensors"), document.get("run"), document["meta"]
        # Compared byte for byte with what would be written today, so that there is no byte that does not count.
        if _read(folder / "state.json") != encode_state(*recorded):
            raise UsageError(f"{folder / 'state.json'}: damaged: its digest does not fit its content")
        if document["iteration"] != iteration:
            raise UsageError(f"{folder / 'state.json'}: belongs to iteration {document['iteration']}")
        if document["run"] != self.identity:
            raise UsageError(f"{folder}: belongs to another run")
        data = _read(folder / "state.safetensors")
        if hashlib.sha256(data).hexdigest() != document["tensors"]:
            raise UsageError(f"{folder / 'state.safetensors'}: damaged: its digest does not fit its content")
        try:
            return safetensors.torch.load(data), document["meta"]
        except safetensors.SafetensorError as error:
            raise UsageError(f"{folder / 'state.safetensors'}: not a file of safetensors: {error}") from error

    def _path(self, iteration: int) -> Path:
        return self.folder / f"{iteration:08d}"

    def _drop(self, keep: set[int]) -> None:
        for entry in self.folder.iterdir():
            kept = entry.name.isdigit() and int(entry.name) in keep
            if not kept and re.fullmatch(r"\d{8,}|\..*\.tmp", entry.name):
                shutil.rmtree(entry, ignore_errors=True)


def encode_state(iteration: object, tensors: object, run: object, meta: Mapping[str, object]) -> bytes:
    """Return the content of a `state.json`: what was saved beside the tensors, and digests.

    Args:
        iteration: completed iterations.
        tensors: digest of the file of tensors.
        run: digest that ties the checkpoint to its run.
        meta: a JSON object.
    """
    content = {"version": VERSION, "iteration": iteration, "tensors": tensors, "run": run, "meta": dict(meta)}
    plain = json.loads(to_json(content))
    return (to_json({**plain, "digest": digest(plain)}) + "\n").encode()


def _replace_folder(source: Path, target: Path) -> None:
    """Rename `source` to `target`; a folder cannot be renamed over one that is not empty, so that steps aside first."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    if target.exists():
        os.rename(target, aside)
    os.rename(source, target)
    shutil.rmtree(aside, ignore_errors=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unusable(path, error) from error
