"""What a run leaves behind survives flipped bits, cut files, full disks, kills and careless commands."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from agents.runs.checkpoints import Checkpoints, encode_state
from agents.runs.folder import RunFolder, check_target
from qrl.common import files as file_tools
from qrl.common.errors import TrainingError, UsageError
from qrl.common.files import to_json, write_whole

CONFIG = {"spec": {"env": "navigation", "seed": 0, "iterations": 150, "sizes": (1, 2)}, "versions": {"torch": "2"}}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "one", CONFIG)


def tensors(number: float) -> dict[str, torch.Tensor]:
    shared = torch.full((3,), number)
    # Views, shared memory, several types: what parameters and optimiser states really look like.
    return {"a": shared, "b": shared, "t": torch.arange(6.0).view(2, 3).T, "n": torch.tensor(7, dtype=torch.int64)}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def full_disk(monkeypatch, after: int = 0) -> None:
    """Let `after` bytes be written, then fail, in the middle of a write where that is where it ends."""
    left = after
    write = os.write

    def limited(descriptor, data):
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(descriptor, bytes(data[:left]))
        left -= count
        return count

    monkeypatch.setattr(file_tools.os, "write", limited)


# --- making and finding -----------------------------------------------------------------------------------------------


def test_what_is_created_can_be_opened(run):
    again = RunFolder.open(str(run.path))
    assert again.config == run.config
    assert again.config["spec"] == {"env": "navigation", "seed": 0, "iterations": 150, "sizes": [1, 2]}
    assert names(run.path) == [".lock", "config.json"]


def test_an_empty_folder_is_used_as_it_is(tmp_path):
    inode = tmp_path.stat().st_ino
    RunFolder.create(tmp_path, CONFIG)
    assert tmp_path.stat().st_ino == inode


def test_what_a_start_left_that_ended_before_its_configuration_is_no_obstacle(tmp_path, monkeypatch):
    one = tmp_path / "one"
    with monkeypatch.context() as patch:
        full_disk(patch, after=10)
        with pytest.raises(UsageError, match="No space left on device"):
            RunFolder.create(one, CONFIG)
    assert names(one) == [".lock"]
    (one / ".config.json.0a1b2c3d.tmp").write_bytes(b'{"sp')  # a kill leaves this too
    RunFolder.create(one, CONFIG)
    assert names(one) == [".lock", "config.json"]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / ".precious.tmp").touch()
    with pytest.raises(UsageError, match="not empty"):
        RunFolder.create(tmp_path / "two", CONFIG)


def test_of_two_starts_in_one_folder_one_gets_it(tmp_path, monkeypatch):
    """The other one makes its run between this one's look and its lock."""
    lock = RunFolder.lock

    def late(self):
        monkeypatch.setattr(RunFolder, "lock", lock)
        RunFolder.create(tmp_path / "one", {"spec": {"seed": 7}})
        return lock(self)

    monkeypatch.setattr(RunFolder, "lock", late)
    with pytest.raises(UsageError, match="exists and is not empty"):
        RunFolder.create(tmp_path / "one", CONFIG)
    assert RunFolder.open(tmp_path / "one").config["spec"] == {"seed": 7}


def test_an_existing_run_is_refused_and_untouched(run):
    run.metrics.append({"iteration": 1})
    before = contents(run.path)
    with pytest.raises(UsageError, match=r"exists and is not empty: give another --out, or --overwrite"):
        RunFolder.create(run.path, CONFIG)
    assert contents(run.path) == before


def test_overwriting_replaces_the_whole_run(run):
    run.metrics.append({"iteration": 1})
    run.save(1, tensors(1), {})
    write_whole(run.path / "evaluation.json", to_json({}).encode())
    write_whole(run.path / "evaluation-ood.json", to_json({}).encode())
    write_whole(run.path / "adaptation.png", b"")
    new = RunFolder.create(run.path, {"spec": {"seed": 5}}, overwrite=True)
    assert names(run.path) == [".lock", "config.json"]
    assert RunFolder.open(run.path).config == new.config
    assert new.config["spec"] == {"seed": 5}
    assert new.metrics.rows() == []


def test_only_a_run_folder_is_ever_overwritten(tmp_path, run):
    project = tmp_path / "project"
    project.mkdir()
    (project / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"is not a run folder: it has no config\.json"):
        RunFolder.create(project, CONFIG, overwrite=True)
    (project / "config.json").write_text('{"learning_rate": 0.1}')
    with pytest.raises(UsageError, match=r"config\.json was written by something else"):
        RunFolder.create(project, CONFIG, overwrite=True)
    shutil.copy(run.path / "config.json", project)
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex', not part of a run"):
        RunFolder.create(project, CONFIG, overwrite=True)
    assert (project / "thesis.tex").read_text() == "precious"


def test_overwriting_that_fails_loses_nothing(run, monkeypatch):
    run.metrics.append({"iteration": 1})
    run.save(1, tensors(1), {})
    before = contents(run.path)
    full_disk(monkeypatch, after=10)
    with pytest.raises(UsageError, match="No space left on device"):
        RunFolder.create(run.path, {"spec": {}}, overwrite=True)
    assert contents(run.path) == before
    assert names(run.path) == [".lock", "checkpoint", "config.json", "metrics.jsonl"]


def test_a_target_that_is_a_file_or_below_one(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError, match="exists and is not a folder"):
        RunFolder.create(tmp_path / "file", CONFIG, overwrite=True)
    with pytest.raises(UsageError, match=r"file/run: Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", CONFIG)
    with pytest.raises(UsageError, match="File name too long"):
        RunFolder.create(tmp_path / ("x" * 300), CONFIG)
    assert names(tmp_path) == ["file"]


def test_a_folder_without_permission(tmp_path, monkeypatch):
    # Root may write anywhere, so the refusal is staged where the system would make it.
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match=r"one: Permission denied$"):
        RunFolder.create(tmp_path / "one", CONFIG)
    assert names(tmp_path) == []


def test_checking_a_target_touches_nothing(tmp_path, run):
    check_target(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()
    check_target(run.path, overwrite=True)
    with pytest.raises(UsageError):
        check_target(run.path)


def test_a_configuration_that_is_not_finite_leaves_nothing(tmp_path):
    with pytest.raises(TrainingError, match=r"spec\.rates\[1\] is nan"):
        RunFolder.create(tmp_path / "one", {"spec": {"rates": [1.0, float("nan")]}})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run folder: it has no config.json"),
        ("", "not JSON or cut short"),
        ("[]", "not a run folder of this software"),
        ('{"format": "other", "version": 1}', "not a run folder of this software"),
        ('{"format": "qrl-run", "version": 2}', r"written by a newer version \(format 2, this reads 1\)"),
        ('{"format": "qrl-run", "version": 1}', "damaged or edited"),
        ('{"format": "qrl-run", "version": 1, "x": NaN}', "NaN is not a finite number"),
        ('{"format": "qrl-run", "version": 1, "x": 1e999}', "1e999 is not a finite number"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        RunFolder.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_folder(tmp_path):
    with pytest.raises(UsageError, match="there is no such run folder"):
        RunFolder.open(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        RunFolder.open(tmp_path / "file")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "config.json").write_bytes(b"\x80\x81")
    with pytest.raises(UsageError, match="not UTF-8"):
        RunFolder.open(tmp_path / "binary")


def test_every_change_of_a_value_in_the_configuration_is_noticed(run):
    path = run.path / "config.json"
    text = path.read_text()
    for old, new in [
        ('"seed": 0', '"seed": 1'),
        ('"iterations": 150', '"iterations": 151'),
        ("navigation", "cartpole"),
    ]:
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(UsageError, match="damaged or edited"):
            RunFolder.open(run.path)
    for length in range(len(text) - 2):
        path.write_text(text[:length])
        with pytest.raises(UsageError):
            RunFolder.open(run.path)


def test_only_the_number_of_iterations_can_be_changed(run):
    run.save(150, tensors(1), {})
    run.extend(300)
    again = RunFolder.open(run.path)
    assert again.config["spec"]["iterations"] == 300
    assert again.checkpoints.load().iteration == 150
    assert again.config == run.config
    assert {**again.spec, "iterations": 150} == run.config["spec"] | {"iterations": 150}


def test_one_process_at_a_time(run):
    program = (
        "import sys; from agents.runs.folder import RunFolder\n"
        "with RunFolder.open(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="is in use by another process"), run.lock():
            pass
        with pytest.raises(UsageError, match="is in use by another process"):
            RunFolder.create(run.path, CONFIG, overwrite=True)
        other.send_signal(signal.SIGKILL)
    with run.lock():  # A killed process holds nothing.
        pass


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_round_trip(run):
    rows = [{"iteration": i, "return_by_step": [-40.4, -11.7 / i], "env_steps": 10**12} for i in (1, 2, 3)]
    for row in rows:
        run.metrics.append(row)
    assert run.metrics.rows() == rows
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_stops_the_run_and_writes_nothing(run, bad):
    run.metrics.append({"iteration": 1})
    with pytest.raises(
        TrainingError, match=rf"^non-finite number: return_by_step\[1\] is {bad}, losses.policy is {bad}$"
    ):
        run.metrics.append({"iteration": 2, "return_by_step": [1.0, bad], "losses": {"policy": bad}})
    assert run.metrics.rows() == [{"iteration": 1}]


def test_a_torn_last_line_is_passed_over_and_cut_away(run):
    for i in (1, 2, 3):
        run.metrics.append({"iteration": i})
    path = run.path / "metrics.jsonl"
    with path.open("ab") as file:
        file.write(b'{"iteration": 4, "ret')
    assert [row["iteration"] for row in run.metrics.rows()] == [1, 2, 3]
    run.metrics.trim(2)
    assert path.read_bytes() == b'{"iteration": 1}\n{"iteration": 2}\n'
    run.metrics.append({"iteration": 3})
    assert [row["iteration"] for row in run.metrics.rows()] == [1, 2, 3]


def test_trimming_keeps_every_digit(run):
    rows = [{"iteration": i, "x": 1 / (3 + i), "y": 1e-300 * i} for i in (1, 2)]
    for row in rows:
        run.metrics.append(row)
    before = (run.path / "metrics.jsonl").read_bytes()
    run.metrics.trim(5)
    assert (run.path / "metrics.jsonl").read_bytes() == before
    run.metrics.trim(1)
    assert before.startswith((run.path / "metrics.jsonl").read_bytes())
    assert run.metrics.rows() == rows[:1]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"{}", b'{"iteration": "1"}', b'{"iteration": 2, "x": NaN}', b"\xff"])
def test_a_damaged_line_in_the_middle_is_named_and_dropped_on_resuming(run, line):
    path = run.path / "metrics.jsonl"
    path.write_bytes(b'{"iteration": 1}\n' + line + b'\n{"iteration": 3}\n')
    with pytest.raises(UsageError, match="line 2 is"):
        run.metrics.rows()
    (problem,) = run.metrics.trim(3)
    assert "line 2 is" in problem
    assert run.metrics.rows() == [{"iteration": 1}, {"iteration": 3}]
    assert run.metrics.trim(1) == []
    assert path.read_bytes() == b'{"iteration": 1}\n'


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_row_on_a_full_disk_is_not_there_at_all(run, monkeypatch, after):
    run.metrics.append({"iteration": 1})
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        with pytest.raises(UsageError, match=r"metrics\.jsonl: No space left on device$"):
            run.metrics.append({"iteration": 2})
    assert (run.path / "metrics.jsonl").read_bytes() == b'{"iteration": 1}\n'
    run.metrics.append({"iteration": 2})
    assert run.metrics.rows() == [{"iteration": 1}, {"iteration": 2}]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_round_trips_bit_by_bit(run):
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


def test_the_last_two_are_kept(run):
    for iteration in (1, 2, 10, 11):
        run.save(iteration, tensors(iteration), {})
    assert names(run.path / "checkpoint") == ["00000010", "00000011"]
    assert run.checkpoints.load().tensors["a"][0] == 11


def test_saving_the_same_iteration_again_replaces_it(run):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    run.save(2, tensors(3), {"again": True})
    assert names(run.path / "checkpoint") == ["00000001", "00000002"]
    assert run.checkpoints.load().tensors["a"][0] == 3
    assert run.checkpoints.load().meta == {"again": True}


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
def test_every_flipped_byte_is_recognised_and_the_checkpoint_before_used(run, file):
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
def test_every_cut_and_a_missing_file_are_recognised(run, file):
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


def test_swapped_and_foreign_files_are_recognised(run, tmp_path):
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
    assert problem().endswith("state.safetensors: damaged: its digest does not fit its content")
    shutil.copy(one / "state.json", two)
    shutil.copy(one / "state.safetensors", two)
    assert problem().endswith("state.json: belongs to iteration 1")
    for file in good:
        shutil.copy(other.path / "checkpoint" / "00000002" / file, two)
    assert problem().endswith("00000002: belongs to another run")
    # A careful forger may fix the digest; a newer format is told apart from damage.
    newer = json.loads(good["state.json"]) | {"version": 2}
    (two / "state.json").write_text(json.dumps(newer))
    assert problem().endswith("written by a newer version (format 2, this reads 1)")
    assert run.checkpoints.load().iteration == 2


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_malicious_file_is_refused_and_nothing_executed(run, tmp_path, write):
    """Also with the digest that fits it."""
    run.save(1, tensors(1.0), {})
    with (tmp_path / "evil").open("wb") as file:
        write(Payload(tmp_path / "executed"), file)
    evil = (tmp_path / "evil").read_bytes()
    folder = run.path / "checkpoint" / "00000001"
    (folder / "state.safetensors").write_bytes(evil)
    (folder / "state.json").write_bytes(encode_state(1, hashlib.sha256(evil).hexdigest(), run.checkpoints.identity, {}))
    with pytest.raises(UsageError, match="not a file of safetensors"):
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


def test_no_checkpoint_that_can_be_used(run):
    with pytest.raises(UsageError, match=r"there is no checkpoint: the run ended before its first one"):
        run.checkpoints.load()
    run.save(3, tensors(1), {})
    (run.path / "checkpoint" / "00000003" / "state.json").write_text("[]")
    with pytest.raises(UsageError, match=r"no checkpoint can be used: .*state\.json: not the state of a checkpoint"):
        run.checkpoints.load()


def test_loading_beside_a_process_that_trains(run, monkeypatch):
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


def test_training_on_from_before_a_damaged_checkpoint_drops_it(run):
    for iteration in (10, 20):
        run.save(iteration, tensors(iteration), {})
    (run.path / "checkpoint" / "00000020" / "state.json").write_text("")
    run.save(15, tensors(15), {})
    assert names(run.path / "checkpoint") == ["00000010", "00000015"]


@pytest.mark.parametrize("after", [0, 100, 400, 500])
def test_a_full_disk_leaves_the_checkpoints_there_were(run, monkeypatch, after):
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


def test_meta_that_is_not_finite_is_refused(run):
    run.save(1, tensors(1), {})
    with pytest.raises(TrainingError, match=r"meta\.best is nan"):
        run.save(2, tensors(2), {"best": float("nan")})
    assert names(run.path / "checkpoint") == ["00000001"]


def test_what_a_kill_left_behind_is_cleaned_up(run):
    run.save(1, tensors(1), {})
    (run.path / "checkpoint" / ".00000002.abcd.tmp").mkdir()
    assert run.checkpoints.load().iteration == 1
    run.save(2, tensors(2), {})
    assert names(run.path / "checkpoint") == ["00000001", "00000002"]


# --- other files ------------------------------------------------------------------------------------------------------


def test_files_are_whole_or_not_there(run, monkeypatch):
    write_whole(run.path / "evaluation.json", to_json({"mean": [1.5]}).encode())
    with monkeypatch.context() as patch:
        full_disk(patch, 5)
        with pytest.raises(UsageError, match=r"evaluation\.json: No space left on device$"):
            write_whole(run.path / "evaluation.json", to_json({"mean": [2.5]}).encode())
        with pytest.raises(UsageError, match=r"adaptation\.png: No space left on device$"):
            write_whole(run.path / "adaptation.png", b"0123456789")
    assert json.loads((run.path / "evaluation.json").read_text()) == {"mean": [1.5]}
    assert names(run.path) == [".lock", "config.json", "evaluation.json"]
    with pytest.raises(TrainingError, match=r"mean\[0\] is inf"):
        write_whole(run.path / "evaluation.json", to_json({"mean": [float("inf")]}).encode())
    with pytest.raises(UsageError, match="No such file or directory"):
        write_whole(run.path / "no/such/folder", b"")


def test_a_real_full_device(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left on device"):
            file_tools.write_all(descriptor, b"x")
    finally:
        os.close(descriptor)


def test_a_write_in_pieces_is_completed(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(file_tools.os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    file_tools.write_whole(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_link_is_written_through_and_only_regular_files_are_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    for name in ("old", "new"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    (tmp_path / "far" / "old").write_bytes(b"old")
    for name in ("old", "new"):
        file_tools.write_whole(tmp_path / name, b"data")
        assert (tmp_path / name).is_symlink() and (tmp_path / "far" / name).read_bytes() == b"data"
    assert names(tmp_path / "far") == ["new", "old"]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in (("far", "not a regular"), ("pipe", "not a regular"), ("loop", "symbolic links")):
        with pytest.raises(UsageError, match=message):
            file_tools.write_whole(tmp_path / name, b"data")
    assert names(tmp_path) == ["far", "loop", "new", "old", "pipe"]


def test_files_obey_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        file_tools.write_whole(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
