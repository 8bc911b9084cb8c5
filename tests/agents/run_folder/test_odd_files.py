"""Whatever stands in place of a file is answered in one line, at once."""

import os
import signal
import socket
import stat

import pytest

from agents.runs import replacing
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import read_spec
from qrl.common.errors import UsageError
from qrl.common.files import (
    MissingFileError,
    check_new_file,
    from_json,
    kind_of,
    parse_json,
    read_regular,
    write_atomically,
    write_folder,
)
from qrl.common.importing import read_source
from qrl.common.leftovers import sweep, temporary_file, temporary_folder
from qrl.noise.calibration import Calibration
from tests.support.run_folders import contents, names, tensors


def as_socket(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


ODD = {
    "pipe": (lambda path, _: os.mkfifo(path), "not a regular file"),
    "socket": (as_socket, "not a regular file"),
    "endless": (lambda path, _: path.symlink_to("/dev/zero"), "not a regular file"),
    "folder": (lambda path, _: path.mkdir(), "Is a directory"),
    "link to nothing": (lambda path, _: path.symlink_to("nothing"), "a link to nothing"),
    "link to itself": (lambda path, _: path.symlink_to(path.name), "symbolic links"),
    "huge": (lambda path, _: (path.touch(), os.truncate(path, 1 << 41)), "bytes are too many"),
}
LONG = 10
"""Limit of a test in which something may wait for ever [s]."""


@pytest.fixture(autouse=True)
def limit():
    """End a test that waits for a pipe: the alarm's default action ends the process, which nobody overlooks."""
    signal.alarm(LONG)
    yield
    signal.alarm(0)


@pytest.fixture(params=ODD)
def odd(request, monkeypatch):
    """Function that replaces a file by something odd and returns the expected message."""

    def replace(path):
        path.unlink(missing_ok=True)
        make, message = ODD[request.param]
        make(path, monkeypatch)
        return message

    return replace


@pytest.mark.parametrize(
    "read", [from_json, read_regular, Calibration.load, lambda path: read_source("env", path), read_spec]
)
def test_every_reader_answers_in_one_line(odd, read, tmp_path):
    path = tmp_path / "file.py"
    message = odd(path)
    if read is read_spec and message == "Is a directory":
        message = "config.json: No such file"  # a folder may be that of a run
    with pytest.raises(UsageError, match=message) as caught:
        read(path)
    assert "file.py" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
def test_checkpoint_with_something_odd_is_damaged(odd, file, run):
    run.save(1, tensors(1), {})
    run.save(2, tensors(2), {})
    message = odd(run.path / "checkpoint" / "00000002" / file)
    checkpoint = run.checkpoints.load()
    assert checkpoint.iteration == 1
    assert checkpoint.problems[0].startswith(str(run.path / "checkpoint" / "00000002" / file))
    assert message in checkpoint.problems[0]


def test_configuration_metrics_and_lock(odd, run):
    run.metrics.append({"iteration": 1})
    message = odd(run.path / "metrics.jsonl")
    refusing = [run.metrics.rows] if message == "bytes are too many" else [
        run.metrics.rows, run.metrics.sync, lambda: run.metrics.trim(0), lambda: run.metrics.append({"iteration": 2})
    ]  # fmt: skip
    for each in refusing:
        with pytest.raises(UsageError, match=message):
            each()
    message = odd(run.path / "config.json")
    with pytest.raises(UsageError, match=message):
        RunFolder.open(run.path)
    if odd(run.path / ".lock") != "bytes are too many":
        with pytest.raises(UsageError, match=r"\.lock: (not a regular file|Is a directory)"), run.lock():
            pass


def test_checkpoint_folder_that_is_none(run):
    for make in (os.mkfifo, lambda path: path.symlink_to("nothing"), lambda path: path.write_bytes(b"")):
        make(run.path / "checkpoint")
        with pytest.raises(UsageError, match=r"checkpoint: (Not a directory|a link to nothing)"):
            run.checkpoints.load()
        (run.path / "checkpoint").unlink()
    (run.path / "checkpoint" / "000000001").mkdir(parents=True)  # a digit too many, which names no checkpoint
    (run.path / "checkpoint" / "0000000١").mkdir()  # an Arabic digit
    assert run.checkpoints.iterations() == []


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_names_that_no_file_can_have(name, tmp_path):
    path = tmp_path / name
    for action in (
        RunFolder.open,
        read_spec,
        from_json,
        check_new_file,
        lambda path: write_atomically(path, b""),
        lambda path: RunFolder.create(path, {}),
    ):
        with pytest.raises(UsageError, match=r"is not the name of a file|File name too long"):
            action(path)
    assert names(tmp_path) == []


def test_kinds_and_sizes(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    found = {name: kind_of(tmp_path / name) for name in ("file", "link", ".", "nothing", "file/below")}
    assert found == {"file": "file", "link": "file", ".": "folder", "nothing": "missing", "file/below": "missing"}
    assert kind_of(tmp_path / "link", follow_links=False) == kind_of(tmp_path.joinpath("/dev/null")) == "other"
    assert read_regular(tmp_path / "link", most=5) == b"12345"
    with pytest.raises(UsageError, match=r"file: 5 bytes are too many; at most 4 are read$"):
        read_regular(tmp_path / "file", most=4)
    with pytest.raises(MissingFileError, match=r"nothing: No such file or directory$"):
        read_regular(tmp_path / "nothing")


def test_pipe_in_place_of_a_file_that_has_just_been_checked(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("qrl.common.files.kind_of", lambda *_, **__: "file")
    with pytest.raises(UsageError, match="not a regular file"):
        read_regular(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "key 'c' is given twice"),
        (b'["a\\u0000b"]', r"'a\\x00b' is not text"),
        (b'{"\\ud800": 1}', r"'\\ud800' is not text"),
        (b'["\xed\xa0\x80"]', "invalid continuation byte"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 levels deep"),
        (b'{"a": ' * 5000, "nested more than 100 levels deep"),
        (b"9" * 5000, "a whole number of 5000 digits is too large"),
        (b"1e400", "1e400 is not a finite number"),
    ],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_json_that_is_read(monkeypatch):
    monkeypatch.setattr("qrl.common.files.DEEPEST", 2)
    assert parse_json(b'"\\ud83d\\ude00\\\\u0000"') == "😀\\u0000"
    assert parse_json(b"-" + b"9" * 299) == -(10**299 - 1)
    assert parse_json(b'[[], {"a": 1}]') == [[], {"a": 1}] and parse_json(b"\xef\xbb\xbf{}") == {}
    with pytest.raises(ValueError, match="nested more than 2 levels"):
        parse_json(b"[[], [[]]]")


# --- leftovers of killed writers --------------------------------------------------------------------------------------


def test_leftovers_are_swept_up_and_files_of_living_writers_are_not(tmp_path):
    (tmp_path / ".a.json.00000000.tmp").write_bytes(b"left")
    (tmp_path / ".b.00000000.tmp").mkdir()
    (tmp_path / ".b.00000000.tmp" / "file").touch()
    for mine in (".a.json.tmp", "a.json.00000000.tmp", ".a.json.0000000g.tmp"):
        (tmp_path / mine).touch()
    with temporary_file(tmp_path / "a.json") as (living, _), temporary_folder(tmp_path / "b") as folder:
        sweep(tmp_path, "b")
        assert not (tmp_path / ".b.00000000.tmp").exists() and (tmp_path / ".a.json.00000000.tmp").exists()
        sweep(tmp_path)
        assert living.exists() and folder.exists() and not (tmp_path / ".a.json.00000000.tmp").exists()
    assert names(tmp_path) == [".a.json.0000000g.tmp", ".a.json.tmp", "a.json.00000000.tmp"]


def test_writing_sweeps_up_what_a_killed_writer_of_the_same_file_left(tmp_path):
    for left in (".e.json.00000000.tmp", ".other.00000000.tmp"):
        (tmp_path / left).touch()
    (tmp_path / ".out.00000000.tmp").mkdir()
    write_atomically(tmp_path / "e.json", b"{}")
    write_folder(tmp_path / "out", {"file": b""})
    assert names(tmp_path) == [".other.00000000.tmp", "e.json", "out"]


def test_writer_whose_file_is_swept_at_once_takes_another(tmp_path, monkeypatch):
    chosen = iter(["00000000", "00000001"])
    monkeypatch.setattr("qrl.common.leftovers.secrets.token_hex", lambda _: next(chosen))
    lock = os.open
    monkeypatch.setattr("qrl.common.leftovers.os.open", lambda path, *rest: (lock(path, *rest), swept(path))[0])

    def swept(path):
        if "00000000" in str(path):
            os.unlink(path)

    write_atomically(tmp_path / "file", b"data")
    assert contents(tmp_path) == {"file": b"data"}


def test_locking_a_run_sweeps_it_up(run):
    run.save(1, tensors(1), {})
    left = [run.path / ".config.json.00000000.tmp", run.path / "checkpoint" / ".00000002.00000000.tmp"]
    left[0].touch()
    left[1].mkdir()
    with run.lock():
        assert not any(path.exists() for path in left)
    assert stat.S_ISREG((run.path / ".lock").stat().st_mode)


# --- interrupted replacement ------------------------------------------------------------------------------------------


def interrupted(run, monkeypatch, after):
    """Overwrite a run and end as if killed after this many renames."""

    class Killed(BaseException):
        pass

    renamed, rename = [], os.rename

    def counted(source, target):
        if len(renamed) == after:
            raise Killed
        renamed.append(source)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", counted)
        patch.setattr(replacing, "restore", lambda path: None)  # a killed process tidies up nothing
        with pytest.raises(Killed):
            RunFolder.create(run.path, {"spec": {"seed": 5}}, overwrite=True)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_kill_while_results_are_set_aside_loses_nothing(after, run, monkeypatch):
    run.metrics.append({"iteration": 1})
    run.save(1, tensors(1), {})
    write_atomically(run.path / "evaluation.json", b"{}")
    before = contents(run.path)
    interrupted(run, monkeypatch, after)
    assert any(run.path.glob(".replaced-*"))
    again = RunFolder.open(run.path)
    assert again.config == run.config and again.checkpoints.load().iteration == 1
    assert contents(run.path) == before  # the copy of the configuration, too
    assert not any(run.path.glob(".replaced-*"))


def test_kill_after_the_new_configuration_keeps_the_new_run(run, monkeypatch):
    run.save(1, tensors(1), {})
    with monkeypatch.context() as patch:
        patch.setattr(replacing, "restore", lambda path: None)
        RunFolder.create(run.path, {"spec": {"seed": 5}}, overwrite=True)
    assert any(run.path.glob(".replaced-*"))
    assert RunFolder.open(run.path).spec == {"seed": 5}
    assert names(run.path) == [".config-copy.json", ".lock", "config.json"]


def test_what_is_set_aside_survives_a_damaged_configuration(run, monkeypatch):
    run.save(1, tensors(1), {})
    write_atomically(run.path / "evaluation.json", b"{}")
    interrupted(run, monkeypatch, 1)
    good = (run.path / "config.json").read_bytes()
    (run.path / "config.json").write_bytes(good.replace(b"150", b"151"))
    with run.lock():
        assert len([*run.path.glob(".replaced-*/*")]) == 2
    (run.path / "config.json").write_bytes(good)
    assert RunFolder.open(run.path).checkpoints.load().iteration == 1
