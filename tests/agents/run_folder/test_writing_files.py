"""Files are written atomically."""

import json
import os
from pathlib import Path

import pytest

from qrl.common import files as file_tools
from qrl.common.errors import TrainingError, UsageError
from qrl.common.files import to_json, write_atomically
from tests.support.run_folders import full_disk, names


def test_files_are_complete_or_absent(run, monkeypatch):
    write_atomically(run.path / "evaluation.json", to_json({"mean": [1.5]}).encode())
    with monkeypatch.context() as patch:
        full_disk(patch, 5)
        with pytest.raises(UsageError, match=r"evaluation\.json: No space left on device$"):
            write_atomically(run.path / "evaluation.json", to_json({"mean": [2.5]}).encode())
        with pytest.raises(UsageError, match=r"adaptation\.png: No space left on device$"):
            write_atomically(run.path / "adaptation.png", b"0123456789")
    assert json.loads((run.path / "evaluation.json").read_text()) == {"mean": [1.5]}
    assert names(run.path) == [".config-copy.json", ".lock", "config.json", "evaluation.json"]
    with pytest.raises(TrainingError, match=r"mean\[0\] is inf"):
        write_atomically(run.path / "evaluation.json", to_json({"mean": [float("inf")]}).encode())
    with pytest.raises(UsageError, match="No such file or directory"):
        write_atomically(run.path / "no/such/folder", b"")


def test_real_full_device(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left on device"):
            file_tools.write_all(descriptor, b"x")
    finally:
        os.close(descriptor)


def test_partial_writes_are_completed(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(file_tools.os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    file_tools.write_atomically(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_links_are_followed_and_only_regular_files_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    for name in ("old", "new"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    (tmp_path / "far" / "old").write_bytes(b"old")
    for name in ("old", "new"):
        file_tools.write_atomically(tmp_path / name, b"data")
        assert (tmp_path / name).is_symlink() and (tmp_path / "far" / name).read_bytes() == b"data"
    assert names(tmp_path / "far") == ["new", "old"]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in (("far", "not a regular"), ("pipe", "not a regular"), ("loop", "symbolic links")):
        with pytest.raises(UsageError, match=message):
            file_tools.write_atomically(tmp_path / name, b"data")
    assert names(tmp_path) == ["far", "loop", "new", "old", "pipe"]


def test_files_obey_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        file_tools.write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
