"""Checkpoints survive flipped bits, truncated files, full disks and kills, and never execute code."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from agents.runs.checkpoints import Checkpoints, encode_state
from agents.runs.folder import RunFolder
from qrl.common.errors import TrainingError, UsageError
from tests.support.run_folders import CONFIG, contents, full_disk, names, tensors


def test_checkpoint_round_trip_is_bitwise_exact(run):
    meta = {"generators": {"actions": "ab" * 20}, "env_steps": 2**40, "rate": 0.1, "name": "θ"}
    given = tensors(1 / 3) | {"long": torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}
    run.save(12, given, meta)
    loaded = RunFolder.open(run.path).checkpoints.load()
    assert loaded.iteration == 12
    assert loaded.meta == meta
    assert loaded.problems == ()
    assert loaded.tensors.keys() == given.keys()
    for name, tensor in given.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)
    assert names(run.path / "checkpoint" / "00000012") == ["state.json", "state.safetensors"]


def test_last_two_checkpoints_are_kept(run):
    for iteration in (1, 2, 10, 11):
        run.save(iteration, tensors(iteration), {})
    assert names(run.path / "checkpoint") == ["00000010", "00000011"]
    assert run.checkpoints.load().tensors["a"][0] == 11


def test_saving_an_iteration_again_replaces_its_checkpoint(run):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    run.save(2, tensors(3), {"again": True})
    assert names(run.path / "checkpoint") == ["00000001", "00000002"]
    assert run.checkpoints.load().tensors["a"][0] == 3
    assert run.checkpoints.load().meta == {"again": True}


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
def test_flipped_byte_is_detected_and_previous_checkpoint_used(run, file):
    run.save(1, tensors(1), {"rate": 0.1})
    run.save(2, tensors(2), {"rate": 0.25})
    path = run.path / "checkpoint" / "00000002" / file
    whole = path.read_bytes()
    for index in range(len(whole)):
        for mask in (0x01, 0x80):
            path.write_bytes(whole[:index] + bytes([whole[index] ^ mask]) + whole[index + 1 :])
            checkpoint = run.checkpoints.load()
            assert (checkpoint.iteration, checkpoint.meta, len(checkpoint.problems)) == (1, {"rate": 0.1}, 1)
            assert checkpoint.tensors["a"][0] == 1
    path.write_bytes(whole)
    assert run.checkpoints.load().iteration == 2


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
def test_truncated_and_missing_files_are_detected(run, file):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    path = run.path / "checkpoint" / "00000002" / file
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert run.checkpoints.load().iteration == 1
    path.write_bytes(whole + b" ")
    assert run.checkpoints.load().iteration == 1
    path.unlink()
    assert run.checkpoints.load().iteration == 1
    assert f"{file}: No such file or directory" in run.checkpoints.load().problems[0]


def test_swapped_and_foreign_files_are_detected(run, tmp_path):
    other = RunFolder.create(tmp_path / "other", {"spec": {"seed": 1}})
    for folder in (run, other):
        folder.save(1, tensors(1), {})
        folder.save(2, tensors(2), {})
    one, two = (run.path / "checkpoint" / name for name in ("00000001", "00000002"))
    good = contents(two)

    def problem() -> str:
        checkpoint = run.checkpoints.load()
        assert checkpoint.iteration == 1
        (found,) = checkpoint.problems
        (two / "state.json").write_bytes(good["state.json"])
        (two / "state.safetensors").write_bytes(good["state.safetensors"])
        return found

    shutil.copy(one / "state.safetensors", two)
    assert problem().endswith("state.safetensors: damaged: the digest does not match the content")
    shutil.copy(one / "state.json", two)
    shutil.copy(one / "state.safetensors", two)
    assert problem().endswith("state.json: belongs to iteration 1")
    for file in good:
        shutil.copy(other.path / "checkpoint" / "00000002" / file, two)
    assert problem().endswith("00000002: belongs to another run")
    # A forger may fix the digest; a newer format is reported as such, not as damage.
    newer = json.loads(good["state.json"]) | {"version": 2}
    (two / "state.json").write_text(json.dumps(newer))
    assert problem().endswith("written by a newer version (format 2; supported: up to 1)")
    assert run.checkpoints.load().iteration == 2


class Payload:
    """Create a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_malicious_file_is_rejected_without_executing_it(run, tmp_path, write):
    """Reject it even if its digest matches."""
    run.save(1, tensors(1.0), {})
    with (tmp_path / "evil").open("wb") as file:
        write(Payload(tmp_path / "executed"), file)
    evil = (tmp_path / "evil").read_bytes()
    folder = run.path / "checkpoint" / "00000001"
    (folder / "state.safetensors").write_bytes(evil)
    (folder / "state.json").write_bytes(encode_state(1, hashlib.sha256(evil).hexdigest(), run.checkpoints.identity, {}))
    with pytest.raises(UsageError, match="not a safetensors file"):
        run.checkpoints.load()
    (folder / "state.json").write_bytes(evil)
    with pytest.raises(UsageError, match="not JSON"):
        run.checkpoints.load()
    (run.path / "metrics.jsonl").write_bytes(evil + b"\n")
    with pytest.raises(UsageError, match="line 1 is damaged"):
        run.metrics.rows()
    (run.path / "config.json").write_bytes(evil)
    with pytest.raises(UsageError, match="not JSON"):
        RunFolder.open(run.path)
    assert not (tmp_path / "executed").exists()


def test_error_if_no_checkpoint_is_usable(run):
    with pytest.raises(UsageError, match=r"no checkpoint: the run ended before the first one"):
        run.checkpoints.load()
    run.save(3, tensors(1), {})
    (run.path / "checkpoint" / "00000003" / "state.json").write_text("[]")
    with pytest.raises(UsageError, match=r"no usable checkpoint: .*state\.json: not the state of a checkpoint"):
        run.checkpoints.load()


def test_loading_while_another_process_trains(run, monkeypatch):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    load = Checkpoints._load

    def late(self, iteration):
        monkeypatch.setattr(Checkpoints, "_load", load)
        run.save(3, tensors(3), {})
        run.save(4, tensors(4), {})
        return load(self, iteration)

    monkeypatch.setattr(Checkpoints, "_load", late)
    loaded = RunFolder.open(run.path).checkpoints.load()
    assert (loaded.iteration, loaded.problems) == (4, ())


def test_training_from_before_a_damaged_checkpoint_deletes_it(run):
    for iteration in (10, 20):
        run.save(iteration, tensors(iteration), {})
    (run.path / "checkpoint" / "00000020" / "state.json").write_text("")
    run.save(15, tensors(15), {})
    assert names(run.path / "checkpoint") == ["00000010", "00000015"]


@pytest.mark.parametrize("after", [0, 100, 400, 500])
def test_full_disk_keeps_existing_checkpoints(run, monkeypatch, after):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    before = contents(run.path)
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        with pytest.raises(UsageError, match=r"00000003: No space left on device$"):
            run.save(3, tensors(3), {})
    assert contents(run.path) == before
    assert names(run.path / "checkpoint") == ["00000001", "00000002"]
    run.save(3, tensors(3), {})
    assert run.checkpoints.load().iteration == 3


def test_non_finite_metadata_is_rejected(run):
    run.save(1, tensors(1), {})
    with pytest.raises(TrainingError, match=r"meta\.best is nan"):
        run.save(2, tensors(2), {"best": float("nan")})
    assert names(run.path / "checkpoint") == ["00000001"]


def test_leftovers_of_a_kill_are_cleaned_up(run):
    run.save(1, tensors(1), {})
    (run.path / "checkpoint" / ".00000002.0a1b2c3d.tmp").mkdir()
    assert run.checkpoints.load().iteration == 1
    run.save(2, tensors(2), {})
    assert names(run.path / "checkpoint") == ["00000001", "00000002"]


def test_best_checkpoint_of_every_kept_checkpoint_is_kept(tmp_path):
    """Training may have to continue from either of the two, and then differently, with other learning rates."""
    run = RunFolder.create(tmp_path / "run", CONFIG)
    run.best.write(2, tensors(2), {})
    run.save(3, tensors(3), {})
    for iteration in (4, 5):
        run.best.write(iteration, tensors(iteration), {})
    assert run.best.iterations() == [2, 4, 5]
    run.save(6, tensors(6), {})
    assert run.best.iterations() == [2, 5]
    run.best.write(8, tensors(8), {})
    run.save(9, tensors(9), {})
    assert run.checkpoints.iterations() == [6, 9] and run.best.iterations() == [5, 8]
    assert run.load_best().iteration == 8
    run.rewind(6)
    assert run.best.iterations() == [5] and run.load_best().tensors["a"][0] == 5
