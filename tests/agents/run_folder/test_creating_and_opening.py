"""Run folders are created, replaced, locked and opened without touching anything else."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.runs.folder import RunFolder
from agents.runs.replacing import check_target
from qrl.common.errors import TrainingError, UsageError
from qrl.common.files import to_json, write_atomically
from tests.support.run_folders import CONFIG, contents, full_disk, names, tensors


def test_created_folder_can_be_opened(run):
    again = RunFolder.open(str(run.path))
    assert again.config == run.config
    assert again.config["spec"] == {"env": "navigation", "seed": 0, "iterations": 150, "sizes": [1, 2]}
    assert names(run.path) == [".config-copy.json", ".lock", "config.json"]


def test_empty_folder_is_used_in_place(tmp_path):
    inode = tmp_path.stat().st_ino
    RunFolder.create(tmp_path, CONFIG)
    assert tmp_path.stat().st_ino == inode


def test_start_aborted_before_its_configuration_is_no_obstacle(tmp_path, monkeypatch):
    one = tmp_path / "one"
    with monkeypatch.context() as patch:
        full_disk(patch, after=10)
        with pytest.raises(UsageError, match="No space left on device"):
            RunFolder.create(one, CONFIG)
    assert names(one) == [".lock"]
    (one / ".config.json.0a1b2c3d.tmp").write_bytes(b'{"sp')  # a kill leaves this behind, too
    RunFolder.create(one, CONFIG)
    assert names(one) == [".config-copy.json", ".lock", "config.json"]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / ".precious.tmp").touch()
    with pytest.raises(UsageError, match="not empty"):
        RunFolder.create(tmp_path / "two", CONFIG)


def test_only_one_of_two_concurrent_starts_gets_the_folder(tmp_path, monkeypatch):
    """The other process creates its run between this process's check and its lock."""
    lock = RunFolder.lock

    def late(self):
        monkeypatch.setattr(RunFolder, "lock", lock)
        RunFolder.create(tmp_path / "one", {"spec": {"seed": 7}})
        return lock(self)

    monkeypatch.setattr(RunFolder, "lock", late)
    with pytest.raises(UsageError, match="exists and is not empty"):
        RunFolder.create(tmp_path / "one", CONFIG)
    assert RunFolder.open(tmp_path / "one").config["spec"] == {"seed": 7}


def test_existing_run_is_rejected_and_untouched(run):
    run.metrics.append({"iteration": 1})
    before = contents(run.path)
    with pytest.raises(UsageError, match=r"exists and is not empty: give another --out, or --overwrite"):
        RunFolder.create(run.path, CONFIG)
    assert contents(run.path) == before


def test_overwriting_replaces_the_whole_run(run):
    run.metrics.append({"iteration": 1})
    run.save(1, tensors(1), {})
    write_atomically(run.path / "evaluation.json", to_json({}).encode())
    write_atomically(run.path / "evaluation-ood.json", to_json({}).encode())
    write_atomically(run.path / "adaptation.png", b"")
    new = RunFolder.create(run.path, {"spec": {"seed": 5}}, overwrite=True)
    assert names(run.path) == [".config-copy.json", ".lock", "config.json"]
    assert RunFolder.open(run.path).config == new.config
    assert new.config["spec"] == {"seed": 5}
    assert new.metrics.rows() == []


def test_only_run_folders_are_overwritten(tmp_path, run):
    project = tmp_path / "project"
    project.mkdir()
    (project / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"is not a run folder: it has no config\.json"):
        RunFolder.create(project, CONFIG, overwrite=True)
    (project / "config.json").write_text('{"learning_rate": 0.1}')
    with pytest.raises(UsageError, match=r"config\.json has another format"):
        RunFolder.create(project, CONFIG, overwrite=True)
    shutil.copy(run.path / "config.json", project)
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex', not part of a run"):
        RunFolder.create(project, CONFIG, overwrite=True)
    assert (project / "thesis.tex").read_text() == "precious"


def test_failed_overwrite_loses_nothing(run, monkeypatch):
    run.metrics.append({"iteration": 1})
    run.save(1, tensors(1), {})
    before = contents(run.path)
    full_disk(monkeypatch, after=10)
    with pytest.raises(UsageError, match="No space left on device"):
        RunFolder.create(run.path, {"spec": {}}, overwrite=True)
    assert contents(run.path) == before
    assert names(run.path) == [".config-copy.json", ".lock", "checkpoint", "config.json", "metrics.jsonl"]


def test_target_that_is_a_file_or_inside_one(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError, match="exists and is not a folder"):
        RunFolder.create(tmp_path / "file", CONFIG, overwrite=True)
    with pytest.raises(UsageError, match=r"file/run: Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", CONFIG)
    with pytest.raises(UsageError, match="File name too long"):
        RunFolder.create(tmp_path / ("x" * 300), CONFIG)
    assert names(tmp_path) == ["file"]


def test_folder_without_permission(tmp_path, monkeypatch):
    # Root may write anywhere, so the permission error is simulated.
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


def test_non_finite_configuration_leaves_nothing(tmp_path):
    with pytest.raises(TrainingError, match=r"spec\.rates\[1\] is nan"):
        RunFolder.create(tmp_path / "one", {"spec": {"rates": [1.0, float("nan")]}})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run folder: it has no config.json"),
        ("", "not JSON, or truncated"),
        ("[]", "not a run folder of this software"),
        ('{"format": "other", "version": 1}', "not a run folder of this software"),
        ('{"format": "qrl-run", "version": 2}', r"written by a newer version \(format 2; supported: up to 1\)"),
        ('{"format": "qrl-run", "version": 1}', "damaged or edited"),
        ('{"format": "qrl-run", "version": 1, "x": NaN}', "NaN is not a finite number"),
        ('{"format": "qrl-run", "version": 1, "x": 1e999}', "1e999 is not a finite number"),
        ("[" * 100_000, "nested more than 100 levels deep"),
    ],
)
def test_folder_without_a_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        RunFolder.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_paths_that_are_not_folders(tmp_path):
    with pytest.raises(UsageError, match="no such run folder"):
        RunFolder.open(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        RunFolder.open(tmp_path / "file")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "config.json").write_bytes(b"\x80\x81")
    with pytest.raises(UsageError, match="not UTF-8"):
        RunFolder.open(tmp_path / "binary")


def test_every_changed_configuration_value_is_detected(run):
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


def test_only_the_number_of_iterations_may_change(run):
    run.save(150, tensors(1), {})
    run.change({"iterations": 300}, 0)
    again = RunFolder.open(run.path)
    assert again.config["spec"]["iterations"] == 300
    assert again.checkpoints.load().iteration == 150
    assert again.config == run.config
    assert {**again.spec, "iterations": 150} == run.config["spec"] | {"iterations": 150}


def test_folder_is_locked_by_one_process_at_a_time(run):
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
    with run.lock():  # A killed process holds no lock.
        pass


def test_forked_process_does_not_hold_the_lock(run):
    """Workers of environments may outlive a killed process for a moment, in the middle of a step."""
    reading, writing = os.pipe()
    forked, telling = os.pipe()
    with run.lock():
        child = os.fork()
        if child == 0:  # never returns
            os.close(writing)
            os.write(telling, b"x")
            os.read(reading, 1)
            os._exit(0)
        os.read(forked, 1)
        with pytest.raises(UsageError, match="is in use by another process"), run.lock():
            pass
    try:
        with run.lock():
            pass
    finally:
        for descriptor in (reading, writing, forked, telling):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_closed_lock_is_no_error(run):
    """Third-party code may close all descriptors of the process."""
    before = set(os.listdir("/dev/fd"))
    with run.lock():
        (descriptor,) = (int(name) for name in os.listdir("/dev/fd") if _is_lock(int(name), run.path))
        os.close(descriptor)
    assert set(os.listdir("/dev/fd")) == before


def _is_lock(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), (path / ".lock").stat())
    except OSError:
        return False
