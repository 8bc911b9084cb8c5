"""`run.py select`: unusable input is rejected in one line."""

import gzip
from pathlib import Path

import pytest

from envs.automl import apply, reading
from envs.automl.reading import read_dataset
from tests.support.select_command import run_select, write

BODY = "".join(f"{i % 2},{i % 7},{i % 3}\n" for i in range(60))


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (f"y,a,b\n{BODY}", ("--target", "Y1"), "unknown column 'Y1'; did you mean 'y'?"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--ignore", "c"), "unknown column 'c'"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--ignore", "y"), "--ignore y: the target"),
        (f"y,a,b\n{BODY}", (), "select needs a column to predict"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--evaluations", "15"), "--evaluations must be at most 14"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--evaluations", "0"), "--evaluations must be at least 1"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--bins", "1"), "--bins must be at least 2"),
        (f"y,a,b\n{BODY}".replace("\n1", "\n0"), ("--target", "y"), "column 'y' has only one class, '0'"),
        (f"y,a,b\n{BODY[:60]}", ("--target", "y"), "10 rows with a target; at least 30 are needed"),
        ("y,a\n" + ",1\n" * 60, ("--target", "y"), "column 'y' has only missing values"),
        ("y,a,b\n" + "0,,7\n1,,7\n" * 60, ("--target", "y"), "no usable column is left (a: empty; b: constant"),
        ("y\n" + "0\n1\n" * 60, ("--target", "y"), "the target is the only column"),
        (
            "y,a\n" + "".join(f"{i / 7},{i % 3}\n" for i in range(60)),
            ("--target", "y"),
            "different numbers; only classification",
        ),
        (
            "y,a\n" + "".join(f"c{i},{i % 3}\n" for i in range(150)),
            ("--target", "y"),
            "150 different texts; at most 100",
        ),
        ("y,a\n" + "".join(f"c{i},{i % 3}\n" for i in range(60)), ("--target", "y"), "have at least two rows"),
        (
            "y,a\n" + "x,1\n2,2\n" * 60,
            ("--target", "y", "--bins", "3"),
            "--bins needs a numeric target, and 'y' has text",
        ),
        (f"1,2,3\n{BODY}", ("--target", "1"), "expected a header with the column names"),
        (f"y,a,a\n{BODY}", ("--target", "y"), "two columns are named 'a'"),
        (f"y,a\n{BODY}", ("--target", "y"), "the header has 2 columns, but the next line has 3"),
        (f"y,a,b\n{BODY}1,2,3,4\n", ("--target", "y"), "not a table: Expected 3 fields in line 62, saw 4"),
        (f'y,a,b\n{BODY}1,"2,3\n', ("--target", "y"), "not a table: EOF inside string"),
        ("", ("--target", "y"), "is empty"),
        ("y,a,b\n", ("--target", "y"), "0 rows with a target"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r" + bytes(range(256)), ("--target", "y"), "is not a text file"),
        (f"y,a\n{BODY}".encode("utf-16"), ("--target", "y"), "the header has 2 columns, but the next line has 3"),
        (gzip.compress(f"y,a\n{BODY}".encode()), ("--target", "y"), "is compressed by gzip: unpack it first"),
        (b"PK\x03\x04" + bytes(range(256)), ("--target", "y"), "is a ZIP archive or a workbook"),
        (f"y,a\n{BODY}", ("--targt", "y"), "unknown option --targt; did you mean --target?"),
        (f"y,a\n{BODY}", (), "select needs a column to predict"),
    ],
)
def test_unusable_input(content, options, message, capsys):
    assert run_select(write(content), *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("run.py: error: ")
    assert [each.name for each in Path().iterdir()] == ["x.csv"]


@pytest.mark.usefixtures("in_empty_folder")
def test_missing_or_irregular_files(capsys):
    Path("folder").mkdir()
    for name, message in (("folder", "folder: Is a directory"), ("nowhere.csv", "No such file or directory")):
        assert run_select(name, "--target", "y") == 2
        assert message in capsys.readouterr().err
    assert run_select("--target", "y") == 2
    assert "select needs FILE: usage is run.py select FILE" in capsys.readouterr().err


@pytest.mark.usefixtures("in_empty_folder")
def test_large_files_are_not_read_into_memory(capsys, monkeypatch):
    """2 GB of empty content are rejected at the start; so is a line without an end; columns are counted first."""
    with Path("large.csv").open("wb") as file:
        file.write(b"y,a\n")
        file.truncate(2 << 30)
    assert run_select("large.csv", "--target", "y") == 2
    assert "is not a text file" in capsys.readouterr().err
    assert run_select(write("y," + "a" * (5 << 20)), "--target", "y") == 2
    assert "a line is longer than 4 MiB" in capsys.readouterr().err
    wide = ",".join(f"c{i}" for i in range(2500))
    assert run_select(write(f"y,{wide}\n"), "--target", "y") == 2
    assert "2500 columns are too many; at most 2000 are supported" in capsys.readouterr().err
    # A random share of a file that is too large for memory, which best.py reads, too.
    path = write(f"y,a,b\n{BODY * 200}")
    monkeypatch.setattr(reading, "physical_memory", lambda: reading.MEMORY_PER_BYTE * path.stat().st_size)
    own = read_dataset(path, "y", rows=100)
    assert own.reading.share == 0.5 and own.n_rows == pytest.approx(6000, rel=0.05)
    assert f"the file is too large for memory: {own.n_rows} rows are read, a random 50%" in own.notes
    assert len(apply.read_table(path, own.reading, own.reading.share)) == own.n_rows


@pytest.mark.usefixtures("file")
def test_uncreatable_folder_is_reported_before_reading(capsys):
    assert run_select("nowhere.csv", "--target", "y", "--out", "/proc/nope") == 2
    assert capsys.readouterr().err.startswith("run.py: error: /proc/nope: ")
