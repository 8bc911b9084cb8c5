"""`run.py select`: numbers, dates, text and layouts as people write them."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from envs.automl import apply
from envs.automl.reading import read_dataset
from qrl.common.errors import UsageError
from tests.support.select_command import rows, run_select, write

pytestmark = pytest.mark.usefixtures("in_empty_folder")
N = 60


def column(cells, separator=",", others=(), **options):
    """Column `a` as it is read, and the notes, from a file with further columns `b`, ..., and the target `y`."""
    cells = [cells[i % len(cells)] for i in range(N)] if len(cells) < N else list(cells)
    lists = [cells, *([each[i % len(each)] for i in range(len(cells))] for each in others)]
    frame = pd.DataFrame({chr(97 + i): each for i, each in enumerate(lists)} | {"y": np.arange(len(cells)) % 2})
    frame["z"] = np.random.default_rng(0).integers(0, 9, len(frame))
    path = write(frame.to_csv(index=False, sep=separator))
    dataset = read_dataset(path, "y", rows=1000, **options)
    return dataset.frame.get("a"), [note for note in dataset.notes if "'a'" in note and "alone" not in note], dataset


@pytest.mark.parametrize(
    ("cells", "values", "how"),
    [
        (["1,250", "31,690", "1,234,567", "12"], [1250, 31690, 1234567, 12], "thousands commas"),
        (["12,34,567", "1,23,456.5", "999"], [1234567, 123456.5, 999], "thousands commas"),
        (["1.630.475", "20.000", "315"], [1630475, 20000, 315], "thousands points"),
        (["0,5", "1.234,25", "-3"], [0.5, 1234.25, -3], "decimal commas, thousands points"),
        (["1 234 567,8", "12 345,0", "7"], [1234567.8, 12345, 7], "decimal commas, thousands blanks"),
        (["1\u00a0234.5", "2\u202f000\u202f000", "7"], [1234.5, 2000000, 7], "thousands blanks"),
        (["1'234.50", "7", "1'000'000"], [1234.5, 7, 1000000], "thousands apostrophes"),
        (["33.50%", "5%", "100 %"], [33.5, 5, 100], "in %"),
        (["33,5 %", "5,25 %", "0"], [33.5, 5.25, 0], "decimal commas, in %"),
        (["−2.5%", "+3%", "1e2%"], [-2.5, 3, 100], "in %"),
        (
            ["$2,989.68", "($4,822.07)", "$7"],
            [2989.68, -4822.07, 7],
            "thousands commas, in $, brackets as minus",
        ),
        (["€ 1.234,50", "-€ 5,00", "€ 7"], [1234.5, -5, 7], "decimal commas, thousands points, in €"),
        (["USD 5", "USD -6.50", "(USD 7)"], [5, -6.5, -7], "in USD, brackets as minus"),
        (["5 kg", "6.5 kg", "70"], [5, 6.5, 70], "in kg"),
        (["20°C", "-3.5°C", "0°C"], [20, -3.5, 0], "in °C"),
        (["1.2k", "950", "3M"], [1200, 950, 3e6], "factors k, M"),
        (["5-", "7.25-", "3"], [-5, -7.25, 3], "minus at the end"),
        (["1e5", "2.5E-3", ".5"], [1e5, 2.5e-3, 0.5], ""),
        (["1,5e3", "2,5E-3", ",5"], [1500, 2.5e-3, 0.5], "decimal commas"),
    ],
)
def test_numbers(cells, values, how):
    read, notes, _ = column(cells)
    np.testing.assert_allclose(read[: len(values)], values, rtol=1e-12)
    assert notes == ([f"column 'a': numbers, {how}"] if how else [])


@pytest.mark.parametrize(
    ("cells", "others", "options", "value", "note"),
    [
        (["1.126", "2.315"], [["0,87", "1,5"]], {}, 1126, "numbers, thousands points"),
        (["1.126", "2.315"], [["0.87", "1.5"]], {}, 1.126, None),
        (["1.126", "0.315"], [["0,87", "1,5"]], {}, 1.126, None),  # the column decides
        (["1,126", "2,315"], [["0.87", "1.5"]], {}, 1126, "numbers, thousands commas"),
        (["1.126", "2.315"], [["x", "y"]], {}, 1.126, "'1.126' is read as 1.126; --decimal comma reads it as 1126"),
        (["1.126", "2.315"], [["x", "y"]], {"decimal": "comma"}, 1126, "numbers, thousands points"),
        (["1.126", "315", "12"], [["x", "y"]], {}, 1126, "--decimal point reads it as 1.126"),
        (["1.126", "31500"], [["x", "y"]], {}, 1.126, "--decimal comma reads it as 1126"),
        (["1,126", "2,315"], [["x", "y"]], {}, 1126, "--decimal comma reads it as 1.126"),
        (["1,126", "2,315"], [["x", "y"]], {"decimal": "comma"}, 1.126, "numbers, decimal commas"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_open_decimal_marks(cells, others, options, value, note, separator):
    """The column decides, then the option, then the file; only what is open is said to be."""
    read, notes, _ = column(cells, separator, others, **options)
    assert read[0] == value
    assert any(note in each for each in notes) if note else not notes


def test_whatever_a_person_writes_is_read_back_or_told():
    """Tables in random conventions: decimal mark, thousands mark, affix, places; every value is equal, or told."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(60):
        decimal = rng.choice([".", ","])
        group = rng.choice(["", ".,"[decimal == "."], " ", "'"])
        places, affix, style = rng.integers(0, 5), rng.choice(["{}", "{}%", "${}", "{} kg"]), rng.choice(["-", "()"])
        values = np.round(rng.normal(size=N) * 10.0 ** rng.integers(0, 7), places)

        def written(value, places=places, group=group, decimal=decimal, affix=affix, style=style):
            text = f"{abs(value):,.{places}f}".replace(",", "g").replace(".", decimal).replace("g", group)
            text = affix.format(text)
            return text if value >= 0 else f"({text})" if style == "()" else f"-{text}"

        read, notes, _ = column([written(value) for value in values], rng.choice([",", ";", "\t", "|"]))
        if read is None or not np.allclose(read, values, rtol=1e-12, atol=0):
            told += 1
            assert any("--decimal" in note for note in notes), (decimal, group, places, affix)
    assert told < 10


def test_times_with_zones_in_a_format_of_a_country():
    cells = [f"{1 + i % 28:02d}.03.2020 {i % 24:02d}:15:00{'+01:00' if i % 2 else 'Z'}" for i in range(N)]
    _, _, dataset = column(cells)
    assert list(dataset.frame["a: hour"]) == [i % 24 for i in range(N)]
    assert any("dates (%d.%m.%Y %H:%M:%S)" in note for note in dataset.notes)


@pytest.mark.parametrize("word", ["-", "--", ".", "n/a", "#N/A", "#DIV/0!", "unknown", "–", "not measured", "?"])
def test_missing_marks_among_numbers(word):
    cells = [word if i % 20 == 3 else f"{i * 0.5}" for i in range(N)]
    read, notes, _ = column(cells)
    np.testing.assert_array_equal(read, [np.nan if i % 20 == 3 else i * 0.5 for i in range(N)])
    by_pandas = word in ("n/a", "#N/A", "?")
    assert notes == ([] if by_pandas else [f"column 'a': {word!r} counts as missing (3 cells, line 5)"])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["7½", *map(str, range(50))], "but not '7½' (line 2)"),
        (["5 kg", "300 g", "7 kg"], "various units (kg, g)"),
        (["5%", "0.5", "7%"], "various units (%, none)"),
        (["10-12", *map(str, range(50))], "but not '10-12' (line 2)"),
    ],
)
def test_cells_that_spoil_a_column_of_numbers_are_said(cells, said):
    _, notes, _ = column(cells)
    assert len(notes) == 1 and said in notes[0]


def test_cells_that_spoil_a_column_are_said_in_a_refusal(capsys):
    """Nothing is left to learn from."""
    body = "".join(f"{i / 7:.4f},{i % 2}\n" for i in range(100))
    assert run_select(write(f"x,label\n{body}1.5.2,1\n3-4,0\n"), "--target", "label") == 2
    error = capsys.readouterr().err
    assert "x: 100 of 102 cells are numbers, but not '1.5.2' (line 102), '3-4' (line 103)" in error


@pytest.mark.parametrize(
    ("form", "parts"),
    [
        *itertools.product(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%b %d, %Y", "%d-%b-%y"], [4]),
        *itertools.product(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %I:%M %p"], [6]),
    ],
)
def test_dates_become_parts(form, parts):
    """The same as from Python's own calendar."""
    days = pd.date_range("2019-01-15 03:20", periods=N, freq="40D3h7min")
    _, notes, dataset = column(list(days.strftime(form)))
    names = apply.PARTS[:parts]
    assert [name for name in dataset.frame if name != "z"] == [f"a: {name}" for name in names]
    for name in names:
        np.testing.assert_array_equal(dataset.frame[f"a: {name}"], getattr(days, name))
    assert notes and f"read as {', '.join(names)}" in notes[0]


@pytest.mark.parametrize(("order", "month"), [("auto", 3), ("day-first", 4), ("month-first", 3)])
def test_open_order_of_day_and_month(order, month):
    cells = [f"{3 + i % 3}/{4 + i % 5}/20{10 + i % 7}" for i in range(N)]
    _, notes, dataset = column(cells, dates=order)
    assert dataset.frame["a: month"][0] == month
    assert any("order of day and month is open" in note for note in notes) == (order == "auto")
    _, notes, dataset = column(cells, others=[["25/12/2020", "24/12/2021"]])
    assert dataset.frame["a: month"][0] == 4, "as in the other column"


def test_free_text_is_counted():
    texts = [
        f"the {'prize' if i % 2 else 'dinner'} number {'free ' * (i % 3)} n{'abcdefghij'[i % 10]}x{'q' * i} "
        for i in range(N)
    ]
    _, notes, dataset = column(texts)
    np.testing.assert_array_equal(dataset.frame["a: prize"], np.arange(N) % 2)
    np.testing.assert_array_equal(dataset.frame["a: free"], np.arange(N) % 3)
    assert "the" not in dataset.reading.columns[0].parts, "a word in every row"
    assert "free text, read as counts of" in notes[0]


def test_json_is_said(capsys):
    frame = pd.DataFrame({"a": [json.dumps({"size": i, "of": [1, 2]}) for i in range(N)], "y": np.arange(N) % 2})
    assert run_select(write(frame.to_csv(index=False)), "--target", "y") == 2
    assert "a: JSON, whose fields are not read" in capsys.readouterr().err


BODY = "".join(f"{i * 0.5},{i % 7},{'ab'[i % 2]}\n" for i in range(N))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (f"x,z,y\n{BODY}", None),
        (f"x,z,y\n{BODY}".replace(",", "|"), "columns are separated by |"),
        (f"x,z,y\n{BODY}".replace(",", "  "), "columns are separated by blanks"),
        (f"x,z,y\n{BODY}".replace(",", " ").replace("\n", "  \n"), "columns are separated by blanks"),
        (f"# by the laboratory, 1 March\n# x\nx,z,y\n{BODY}", "lines above the header, left out: 2"),
        (f"Measurements\n\nx,z,y\n{BODY}", "lines above the header, left out: 2"),
        (f"sep=;\nx,z,y\n{BODY}".replace(",", ";"), "lines above the header, left out: 1"),
        (f"\ufeff x , z, y \n{BODY}", None),
        (
            f"x,z,y\n{BODY[:56]}x,z,y\n{BODY[56:]}x,z,y\n",
            "repeated headers and comments, left out: 2 (line 9, line 63)",
        ),
        (f"x,z,y\n{BODY}# end\n", "repeated headers and comments, left out: 1 (line 62)"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_layouts(text, note, encoding):
    if "# by" in text and encoding == "utf-16":
        text = text.replace("x,z", '"x",z', 1)
    dataset = read_dataset(write(text.removeprefix("\ufeff" * (encoding == "utf-16")).encode(encoding)), "y", rows=100)
    np.testing.assert_array_equal(dataset.frame["x"], np.arange(N) * 0.5)
    assert [each for each in dataset.notes if "alone" not in each] == ([note] if note else [])
    assert list(dataset.frame) == ["x", "z"] and dataset.n_rows == N


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("cp1252", "Größe Straße Überweisung"), ("cp1251", "возраст город Москва"), ("cp932", "名前 年齢 東京都")],
)
def test_encodings(encoding, words):
    words = words.split()
    body = "".join(f"{words[i % 3]},{i % 7},{i % 2}\n" for i in range(N))
    dataset = read_dataset(write(f"{words[0]},z,y\n{body}".encode(encoding)), "y", rows=100)
    assert set(dataset.frame[words[0]]) == set(words)
    assert any("not in UTF-8" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "-0.079,1.575,a\n" + BODY,
            "the first line, expected to have the column names, has data such as '-0.079'",
        ),
        ("y,y,x\n" + BODY, "two columns are named 'y'"),
        ('[{"y": 1}]', "is JSON"),
        ("<html><table>", "is a page or XML"),
        ("%PDF-1.4", "is a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook of an old format"),
        (b"PAR1 and nothing else", "not a Parquet file"),
        (",".join(["c"] * 500_000) + "\n", "499999 columns are too many"),
        (",".join(f"c{i}" for i in range(10**7)) + "\n", "a line is longer than 4 MiB"),
    ],
)
def test_unreadable_files(content, message, capsys):
    assert run_select(write(content), "--target", "y") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and [each.name for each in Path().iterdir()] == ["x.csv"]


def test_typed_files(monkeypatch):
    """Parquet and Excel have the same columns as CSV; without the extra, one line says what to install."""
    frame = rows()
    frame["when"] = pd.date_range("2020-01-01", periods=len(frame), freq="9D")
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    frame.to_excel("t.xlsx", index=False)
    text = read_dataset(Path("t.csv"), "y", rows=1000)
    for name in ("t.parquet", "t.xlsx"):
        typed = read_dataset(Path(name), "y", rows=1000)
        pd.testing.assert_frame_equal(typed.frame, text.frame)
        assert typed.dropped == text.dropped
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        UsageError, match=r"t.parquet: reading parquet needs another package: pip install 'qrl-meta\[tables\]'"
    ):
        read_dataset(Path("t.parquet"), "y", rows=1000)


def test_numbers_of_a_workbook_are_taken_as_stored():
    """As text, 1.571 beside small whole numbers would be 1571; a class 1 with a missing one would be 1.0."""
    cells = [1.571 if i % 2 else i % 7 for i in range(N)]
    classes = [None, *(i % 2 for i in range(1, N))]
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=object), "y": classes, "z": np.arange(N) % 3 == 0})
    frame.to_excel("t.xlsx", index=False)
    frame.assign(x=frame["x"].astype(float)).to_parquet("t.parquet")
    for name in ("t.xlsx", "t.parquet"):
        own = read_dataset(Path(name), "y", rows=1000)
        assert list(own.frame["x"]) == cells[1:] and own.names == ("0", "1")
        assert list(own.frame["z"]) == list(frame["z"][1:].astype(float))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", [{}, {"sep": ";", "decimal": ","}, {"sep": "|"}])
def test_script_reads_new_files_in_the_same_way(change):
    """Dates, words, thousands and missing marks: best.py has the inputs of the selection."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=N).round(2), "y": np.arange(N) % 2})
    frame["when"] = pd.date_range("2020-01-01", periods=N, freq="9D").strftime("%d.%m.%Y")
    point = change.get("decimal", ".")
    frame["people"] = [f"{i * 977:,}".replace(",", ".,"[point == "."]) if i % 9 else "-" for i in range(N)]
    frame["text"] = [f"this is {'free' if i % 3 else 'dear'} of n{i}" for i in range(N)]
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, **change)
    path = write("# one\n# two\n" + buffer.getvalue())
    assert run_select(path, "--target", "y", "--evaluations", "1", "--no-compare", "--out", "o") == 0
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    own = read_dataset(path, "y", rows=1000)
    pd.testing.assert_frame_equal(names["columns"](path)[list(own.frame)], own.frame)
    assert own.frame["people"][3] == 3 * 977
    # A new file without the target and without the comments.
    write(frame.drop(columns="y").to_csv(index=False, **change), "new.csv")
    new = names["columns"]("new.csv")
    pd.testing.assert_frame_equal(new[list(own.frame)], own.frame)
    best = json.loads(Path("o/best.json").read_text())["best"]
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)


def test_a_name_that_is_not_utf_8(capsys):
    """One line before anything is read."""
    assert run_select(write(f"x,z,y\n{BODY}", "odd\udcff.csv"), "--target", "y") == 2
    assert "bytes that are not UTF-8" in capsys.readouterr().err
