"""The run folder: everything one training run leaves behind, written so that nothing earned is lost.

    config.json      what was asked for, resolved; never changed by training
    metrics.jsonl    one JSON object per iteration
    checkpoint/      the last two, each a folder named by iteration: state.safetensors and state.json
    evaluation*.json, robustness.json, *.png, *.gif, …

Every file is whole or not there. Checkpoints are safetensors and JSON, so nothing is unpickled, and carry digests: a
flipped byte, a cut file, or a file from another checkpoint or another run is recognised, and the checkpoint before is
used. An `iteration` counts the completed ones, from 1.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrl.common.errors import UsageError
from qrl.common.files import from_json, parse_json, sync_folder, to_json, unusable, write_all, write_synced, write_whole

if TYPE_CHECKING:
    import torch

FORMAT = "qrl-run"
VERSION = 1
KEPT = 2
"""Checkpoints kept."""

_OWN = re.compile(
    r"config\.json|metrics\.jsonl|checkpoint|evaluation[\w.-]*\.json|robustness\.json|[\w.-]+\.(?:png|gif)|\.lock|\.replaced-\w+|\..*\.tmp"
)
"""Names a run folder may hold: with anything else in it, a folder is never replaced."""

_UNBORN = re.compile(r"\.lock|\.config\.json\.\w+\.tmp")
"""What a start leaves that ended, by a kill or a full disk, before there was a config.json: nothing of worth."""


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
    if all(_UNBORN.fullmatch(name) for name in names):
        return
    if not overwrite:
        raise UsageError(f"{path} exists and is not empty: give another --out, or --overwrite to replace that run")
    _read_config(path)
    foreign = sorted(name for name in names if not _OWN.fullmatch(name))
    if foreign:
        raise UsageError(f"{path} holds {foreign[0]!r}, not part of a run: move it away, --overwrite would delete it")


class RunFolder:
    """A folder that holds one run. Made by `create` or `open`."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config

    # --- making and finding -------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, Any], *, overwrite: bool = False) -> "RunFolder":
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
        run = cls(path, _sealed(config))
        text = to_json(run.config, indent=2) + "\n"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(path, error) from error
        with run.lock():
            check_target(path, overwrite=overwrite)  # Again: another process may have made a run here meanwhile.
            with run._set_aside():
                write_whole(path / "config.json", text.encode())
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
            return cls(path, _read_config(path))
        except OSError as error:
            raise unusable(path, error) from error

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Replace `config.json`: only the number of iterations may change, which is how a run is extended.

        Raises:
            UsageError: something else changed, or the system refuses to write.
        """
        sealed = _sealed(config)
        if _identity(sealed) != _identity(self.config):
            raise UsageError(f"{self.path}: only the number of iterations of a run can be changed")
        self.write_json("config.json", sealed)
        self.config = sealed

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

    # --- metrics ------------------------------------------------------------------------------------------------------

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one row to `metrics.jsonl`, whole or not at all.

        Raises:
            TrainingError: a number in it is not finite.
            UsageError: the system refuses to write.
        """
        data = to_json(dict(row)).encode() + b"\n"
        path = self.path / "metrics.jsonl"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                try:
                    write_all(descriptor, data)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unusable(path, error) from error

    def metrics(self) -> list[dict[str, Any]]:
        """All rows. A last line without its end, left by a kill in the middle of a write, is passed over.

        Raises:
            UsageError: another line is damaged; the message gives its number.
        """
        rows, problems = self._rows()
        if problems:
            raise UsageError(problems[0])
        return rows

    def _rows(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The undamaged rows, and a line about each that is not."""
        path = self.path / "metrics.jsonl"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise unusable(path, error) from error
        rows: list[dict[str, Any]] = []
        problems: list[str] = []
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            try:
                row = parse_json(line)
            except (ValueError, RecursionError):
                problems.append(f"{path}: line {number} is damaged")
                continue
            if isinstance(row, dict) and isinstance(row.get("iteration"), int):
                rows.append(row)
            else:
                problems.append(f"{path}: line {number} is not a row of metrics: it has no iteration")
        return rows, problems

    def trim_metrics(self, iteration: int) -> list[str]:
        """Drop the rows after `iteration` and damaged ones, as resuming from that checkpoint does first.

        Returns: a line about each damaged row.

        Raises:
            UsageError: the system refuses to write; the file is left as it was.
        """
        rows, problems = self._rows()
        text = "".join(to_json(row) + "\n" for row in rows if row["iteration"] <= iteration).encode()
        path = self.path / "metrics.jsonl"
        if path.exists() and path.read_bytes() != text:
            write_whole(path, text)
        return problems

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def save(self, iteration: int, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, Any]) -> None:
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
        state = _state(iteration, hashlib.sha256(data).hexdigest(), _identity(self.config), meta)
        folder = self.path / "checkpoint"
        target = folder / f"{iteration:08d}"
        temporary = folder / f".{target.name}.{secrets.token_hex(4)}.tmp"
        try:
            self._sync_metrics()
            temporary.mkdir(parents=True)
            write_synced(temporary / "state.safetensors", data)
            write_synced(temporary / "state.json", state)
            sync_folder(temporary)
            _replace_folder(temporary, target)
            sync_folder(folder)
        except OSError as error:
            raise unusable(target, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        # Those after this one are of a future that was given up: damaged, so that training went on from before them.
        earlier = [each for each in self.checkpoints() if each < iteration]
        self._drop_checkpoints(keep={iteration, *earlier[-(KEPT - 1) :]})

    def load(self) -> Checkpoint:
        """The newest checkpoint that is undamaged; `problems` names the newer ones that are not.

        Raises:
            UsageError: there is none.
        """
        problems: list[str] = []
        before, found = None, self.checkpoints()
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
            before, found = found, self.checkpoints()
        if problems:
            raise UsageError(f"{self.path}: no checkpoint can be used: {'; '.join(problems)}")
        raise UsageError(
            f"{self.path}: there is no checkpoint: the run ended before its first one; resume starts it over"
        )

    def _load(self, iteration: int) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
        import safetensors.torch

        folder = self.path / "checkpoint" / f"{iteration:08d}"
        document = from_json(folder / "state.json")
        if not isinstance(document, dict) or not isinstance(document.get("meta"), dict):
            raise UsageError(f"{folder / 'state.json'}: not the state of a checkpoint")
        if isinstance(document.get("version"), int) and document["version"] > VERSION:
            raise UsageError(
                f"{folder}: written by a newer version (format {document['version']}, this reads {VERSION})"
            )
        recorded = document.get("iteration"), document.get("tensors"), document.get("run"), document["meta"]
        # Compared byte for byte with what would be written today, so that there is no byte that does not count.
        if _read(folder / "state.json") != _state(*recorded):
            raise UsageError(f"{folder / 'state.json'}: damaged: its digest does not fit its content")
        if document["iteration"] != iteration:
            raise UsageError(f"{folder / 'state.json'}: belongs to iteration {document['iteration']}")
        if document["run"] != _identity(self.config):
            raise UsageError(f"{folder}: belongs to another run")
        data = _read(folder / "state.safetensors")
        if hashlib.sha256(data).hexdigest() != document["tensors"]:
            raise UsageError(f"{folder / 'state.safetensors'}: damaged: its digest does not fit its content")
        try:
            return safetensors.torch.load(data), document["meta"]
        except safetensors.SafetensorError as error:
            raise UsageError(f"{folder / 'state.safetensors'}: not a file of safetensors: {error}") from error

    # --- other files --------------------------------------------------------------------------------------------------

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the folder, whole or not at all.

        Raises:
            TrainingError: a number in it is not finite.
            UsageError: the system refuses to write.
        """
        self.write_bytes(name, (to_json(value, indent=2) + "\n").encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the folder, whole or not at all.

        Raises:
            UsageError: the system refuses to write.
        """
        write_whole(self.path / name, data)

    # --- inside -------------------------------------------------------------------------------------------------------

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

    def _sync_metrics(self) -> None:
        """Rows up to a checkpoint must outlast whatever the checkpoint outlasts."""
        with suppress(FileNotFoundError):
            descriptor = os.open(self.path / "metrics.jsonl", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def checkpoints(self) -> list[int]:
        """Iterations of the checkpoints there are, damaged or not."""
        folder = self.path / "checkpoint"
        try:
            return sorted(int(entry.name) for entry in folder.iterdir() if re.fullmatch(r"\d{8,}", entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(folder, error) from error

    def _drop_checkpoints(self, keep: set[int]) -> None:
        folder = self.path / "checkpoint"
        for entry in folder.iterdir():
            kept = entry.name.isdigit() and int(entry.name) in keep
            if not kept and re.fullmatch(r"\d{8,}|\..*\.tmp", entry.name):
                shutil.rmtree(entry, ignore_errors=True)


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


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UsageError(f"{path}: there is no such run folder")
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: a run folder is expected")
    file = path / "config.json"
    if not file.exists():
        raise UsageError(f"{path} is not a run folder: it has no config.json")
    config = from_json(file)
    if not isinstance(config, dict) or config.get("format") != FORMAT or not isinstance(config.get("version"), int):
        raise UsageError(f"{path} is not a run folder of this software: its config.json was written by something else")
    if config["version"] > VERSION:
        raise UsageError(f"{path} was written by a newer version (format {config['version']}, this reads {VERSION})")
    if config.get("digest") != _digest({key: value for key, value in config.items() if key != "digest"}):
        raise UsageError(f"{file}: damaged or edited: its digest does not fit (a changed copy is for --config)")
    return config


def _sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    content = {**config, "format": FORMAT, "version": VERSION}
    content.pop("digest", None)
    # Through JSON and back, so that `config` is equal whether the run was just made or opened.
    plain: dict[str, Any] = json.loads(to_json(content))
    return {**plain, "digest": _digest(plain)}


def _identity(config: Mapping[str, Any]) -> str:
    """The digest that ties a checkpoint to its run: all of the configuration but what extending a run may change."""
    content = {key: value for key, value in config.items() if key != "digest"}
    if isinstance(content.get("spec"), Mapping):
        content["spec"] = {key: value for key, value in content["spec"].items() if key != "iterations"}
    return _digest(content)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _state(iteration: Any, tensors: Any, run: Any, meta: Any) -> bytes:
    content = {
        "version": VERSION,
        "iteration": iteration,
        "tensors": tensors,
        "run": run,
        "meta": dict(meta),
    }
    plain = json.loads(to_json(content))
    return (to_json({**plain, "digest": _digest(plain)}) + "\n").encode()
