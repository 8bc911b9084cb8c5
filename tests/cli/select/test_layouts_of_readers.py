"""Layouts, encodings and new files that people who tried the command found wrong."""

from contextlib import suppress
from datetime import date

import numpy as np
import openpyxl
import pandas as pd
import pytest

from envs.automl import apply
from envs.automl.reading import read_dataset
from qrl.common.errors import UsageError
from tests.support.tables import BODY, read_column, repeated


def test_a_header_that_begins_with_a_number_sign(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("#,name,hp,t\n" + "".join(f"{i},n{i % 3},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(90)))
    assert {"name", "hp"} <= {*read_dataset(path, "t", rows=1000).frame.columns}
    path.write_text("# exported 2021,4\nx,hp,t\n" + "".join(f"{i % 9},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(90)))
    assert {"x", "hp"} == {*read_dataset(path, "t", rows=1000).frame.columns}


@pytest.mark.parametrize("separator", [",", "  "])
def test_lines_with_too_few_cells_are_told(separator, tmp_path):
    path = tmp_path / "table.csv"
    rows = [(str(i % 5), str(i % 7), "ab"[i % 2]) for i in range(60)]
    lines = [separator.join(row) for row in (("v", "w", "t"), *rows)]
    path.write_text("\n".join([*lines, "", "# a comment", separator.join("3a")]) + "\n")
    notes = read_dataset(path, "t", rows=1000).notes
    assert any("fewer cells than the header, the last ones count as missing: 1 (line 64)" in note for note in notes)
    path.write_text("\n".join(lines) + "\n")
    assert not any("fewer cells" in note for note in read_dataset(path, "t", rows=1000).notes)


@pytest.mark.parametrize(
    ("cells", "encoding"),
    [
        (["Köln", *["Bonn"] * 70], "cp1252"),
        (["Orléans", "Nîmes", "Besançon"], "cp1252"),
        (["Logroño", "Málaga"], "latin-1"),
        (["£5", "£7.50", "£12"], "cp1252"),
        (["3 €", "7 €"], "cp1252"),
        (["20°", "25°"], "latin-1"),
        (["Łódź", "Kraków", "Gdańsk", "Wrocław"], "cp1250"),
        (["København", "Helsingør", "Ærøskøbing"], "cp1252"),
        (["Rød", "Blå", "Grøn"], "cp1252"),
        (["Forlì", "Cantù", "città"], "cp1252"),
        (["août", "Œuvre", "cœur"], "cp1252"),
        (["opções", "São Paulo"], "cp1252"),
        (["Åre", "Malmö"], "cp1252"),
        (["Þingvellir", "Ísafjörður"], "cp1252"),
        (["Põlva", "Võru"], "cp1252"),
        (["història", "català"], "cp1252"),
        (["12 m³", "nº 4", "¿Qué?"], "cp1252"),
        (["±5", "×"], "cp1252"),
        (["Iğdır", "Şanlıurfa"], "cp1254"),
        (["Győr", "Pécs", "Hódmezővásárhely"], "cp1250"),
        (["Jiří", "Říha"], "cp1250"),
        (["Galaţi", "Timişoara", "Bacău"], "cp1250"),
        (["Petrović", "Jović"], "cp1250"),
        (["Děčín", "Plzeň", "kůň"], "cp1250"),
        (["Győr", "szőlő"], "cp1250"),
        (["bărbat", "femeie"], "cp1250"),
        (["evet", "hayır"], "cp1254"),
        (["[Москва]", "Казань_a"], "cp1251"),
        (["Højbjerg", "Núñez", "Suárez"], "cp1252"),
        (["Jørgensen", "Martín", "François"], "cp1252"),
        (["Camões", "Sé", "maçãs"], "cp1252"),
        (["ESPAÑOL", "Peñ.", "año"], "cp1252"),
        (["træ", "Tromsøya"], "cp1252"),
        (["Šibenik", "Čakovec", "Đakovo"], "cp1250"),
        (["Żółty", "Śląsk"], "cp1250"),
        (["Zielona Góra", "Toruń"], "cp1250"),
        (["Київ", "Львів", "Їжак"], "cp1251"),
        (["Да", "Нет"], "cp1251"),
        (["はい", "いいえ"], "cp932"),
        (["臺北", "高雄"], "big5"),
        (["Plzeň", "České Budějovice", "Ústí nad Labem"], "cp1250"),
        (["Москва", "Казань"], "cp1251"),
        (["Москва", "Казань"], "koi8_r"),
        (["Αθήνα", "Πάτρα"], "cp1253"),
        (["İstanbul", "Eskişehir", "Muğla"], "cp1254"),
        (["東京", "大阪", "横浜市"], "cp932"),
        (["北京", "上海", "广州市"], "gb18030"),
        (["서울", "부산"], "cp949"),
    ],
)
def test_encodings(cells, encoding, tmp_path):
    found = read_column(tmp_path, repeated(cells), encoding)
    if found.frame["v"].dtype.kind == "f":
        assert found.frame["v"].min() >= 3
    else:
        assert found.frame["v"].tolist() == repeated(cells)


@pytest.mark.parametrize(
    ("above", "separator", "skipped"),
    [
        ("Sales report 2023,,\n,,\n", ",", 2),
        ("Report\t\t\n", "\t", 1),
        ('"Konto:";"DE12 3456"\n', ";", 1),
        ("Kontoauszug;DE12 3456\nZeitraum;1.1. - 2.2.\n\n", ";", 3),
        ("sep=;\n", ";", 1),
        ("sep=\t\n", "\t", 1),
    ],
)
def test_lines_above_the_header(above, separator, skipped, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(above + f"x,z,y\n{BODY}".replace(",", separator))
    found = read_dataset(path, "y", rows=100)
    assert (found.reading.separator, found.reading.skipped) == (separator, skipped)
    assert found.frame["z"].tolist() == [i * 7 % 50 for i in range(60)]
    assert f"lines above the header, left out: {skipped}" in found.notes


def test_a_separator_that_is_said_beside_decimal_commas(tmp_path):
    path = tmp_path / "table.csv"
    body = "".join(f"{i % 9},5;{i * 7 % 50},25;{'ab'[i % 2]}\n" for i in range(60))
    path.write_text(f"sep=;\nx;z;y\n{body}")
    assert read_dataset(path, "y", rows=100).frame["z"].tolist() == [i * 7 % 50 + 0.25 for i in range(60)]


def test_headers_of_files_that_are_all_text(tmp_path):
    path = tmp_path / "table.csv"
    for header, names in (("label,,", ["Unnamed: 1", "Unnamed: 2"]), (",,label", ["Unnamed: 0", "Unnamed: 1"])):
        rows = [["ab"[i % 2], "pqr"[i % 3], "uv"[i // 2 % 2]] for i in range(60)]
        lines = [",".join(row if header[0] == "l" else row[::-1]) for row in rows]
        path.write_text("\n".join([header, *lines]) + "\n")
        found = read_dataset(path, "label", rows=100)
        assert [*found.frame] == names
        path.write_text("\n".join(["A title,,", header, *lines]) + "\n")
        assert apply.read_table(path, found.reading).shape == (60, 3)


@pytest.mark.parametrize("header", [[None, "z", "y"], ["x", 2019, "y"], ["x", 0, "y"], ["x", "z", "y"]])
@pytest.mark.parametrize("above", [[], [["A report"], ["Station", "Bonn"], []]])
@pytest.mark.parametrize("dated", [False, True])
def test_headers_of_workbooks(header, above, dated, tmp_path):
    book = openpyxl.Workbook()
    rows = ([f"r{i % 5}", date(2021, 1, 1 + i % 28) if dated else i * 7 % 50, "ab"[i % 2]] for i in range(60))
    for row in (*above, header, *rows):
        book.active.append(row)
    book.save(tmp_path / "table.xlsx")
    found = read_dataset(tmp_path / "table.xlsx", "y", rows=100).frame
    assert {name.split(": day")[0].split(": week")[0] for name in found} == {
        str(header[0] or "Unnamed: 0"),
        str(header[1]),
    }
    assert len(found) == 60


def test_titles_of_a_workbook(tmp_path):
    path, frame = tmp_path / "table.xlsx", pd.DataFrame({"x": range(60), "y": ["a", "b"] * 30})
    frame["x"] = frame["x"] * 7 % 50
    with pd.ExcelWriter(path) as writer:
        frame.to_excel(writer, index=False, startrow=3)
        writer.sheets["Sheet1"].cell(1, 1, "Quarterly report")
    found = read_dataset(path, "y", rows=100)
    assert found.frame["x"].tolist() == frame["x"].tolist() and "lines above the header, left out: 3" in found.notes


@pytest.mark.parametrize("footer", ["Total,99,\nSource: WHO 2023,,\n", "60 rows,,\n", "Gesamt: 60 Zeilen,,\n"])
def test_lines_below_the_table_do_not_decide_on_kinds(footer, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"x,z,y\n{BODY}{footer}")
    found = read_dataset(path, "y", rows=100)
    assert found.frame["x"].tolist() == [i % 9 for i in range(60)] and [*found.frame] == ["x", "z"]


def test_long_cells_and_long_whole_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "a" * 140_000 + ",a\n" + "1,b\n2,a\n" * 40)
    assert any("(line 2)" in note for note in read_dataset(path, "y", rows=100).notes)
    frame = pd.DataFrame({"x": [2**60 + i % 3 for i in range(60)], "y": ["a", "b"] * 30})
    assert read_dataset(frame, "y", rows=100).frame["x"].nunique() == 3


@pytest.mark.parametrize(
    ("above", "columns"),
    [
        (",label\n", ["Unnamed: 0", "label"]),
        ("label,,\n", ["label", "Unnamed: 1", "Unnamed: 2"]),
        ('"Source","World Bank"\n\nplace,label,2019\n', ["place", "label", "2019"]),
        ('"A title\nof two lines",,\nplace,label,n\n', ["place", "label", "n"]),
        ('"A title\nof two lines"\nplace,label,n\n', ["place", "label", "n"]),
        ("Station,Bonn,\nplace,label,n\n", ["place", "label", "n"]),
        ("sep=,\n\ufeffplace,label,n\n", ["place", "label", "n"]),
        (
            '"How?\n1 = not\n2 = little\n3 = much\n4 = very",label,n\n',
            ["How?\n1 = not\n2 = little\n3 = much\n4 = very", "label", "n"],
        ),
    ],
)
def test_headers(above, columns, tmp_path):
    path, values = tmp_path / "table.csv", [i * 7 % 50 for i in range(60)]
    cells = {"place": [f"p{i % 3}" for i in range(60)], "label": ["a", "b"] * 30}
    rows = zip(*(cells.get(name, values) for name in columns), strict=True)
    path.write_text(above + "".join(",".join(map(str, row)) + "\n" for row in rows))
    found = read_dataset(path, "label", rows=100)
    assert [*found.frame] == [name for name in columns if name != "label"] and len(found.frame) == 60
    assert found.frame.iloc[:, -1].tolist() == values


def test_an_open_quote_in_the_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f'"x,z,y\n{BODY}')
    with pytest.raises(
        UsageError, match=r"a name in the header has \d+ characters \(x,z,y 0,0,a .*is a quote left open"
    ):
        read_dataset(path, "y", rows=100)


@pytest.mark.parametrize("n_titles", [0, 1, 5])
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_new_files_may_have_other_titles(suffix, n_titles, tmp_path):
    frame = pd.DataFrame({"x": [i * 7 % 50 for i in range(60)], "z": [i % 9 for i in range(60)], "y": ["a", "b"] * 30})

    def write(name, table, n_rows):
        path = tmp_path / f"{name}{suffix}"
        if suffix == ".csv":
            path.write_text("A title,,\n" * n_rows + table.to_csv(index=False))
        else:
            with pd.ExcelWriter(path) as writer:
                table.to_excel(writer, index=False, startrow=n_rows)
                for row in range(n_rows):
                    writer.sheets["Sheet1"].cell(1 + row, 1, "A title")
        return path

    reading = read_dataset(write("first", frame, 2), "y", rows=100).reading
    new = apply.read_table(write("new", frame, n_titles), reading)
    assert apply.inputs(new, reading.columns)["x"].tolist() == frame["x"].tolist()
    with pytest.raises(ValueError, match=r"^missing column 'z'"):
        apply.check_columns(apply.read_table(write("less", frame[["x", "y"]], n_titles), reading), reading.columns)


def test_new_files_that_are_empty_or_in_another_encoding(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"x,z,y\n{BODY}")
    reading = read_dataset(path, "y", rows=100).reading
    for content, message in (
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("x,z,y\n1,2,ä".encode("cp1252"), "is not in utf-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"table.csv {message}"):
            apply.read_table(path, reading)


def test_damaged_workbooks_and_parquet_files_are_one_line(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": [i * 7 % 50 for i in range(60)], "y": ["a", "b"] * 30})
    frame.to_excel(tmp_path / "table.xlsx", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    for path in (tmp_path / "table.xlsx", tmp_path / "table.parquet"):
        whole, n_refused = path.read_bytes(), 0
        for _ in range(40):
            content = bytearray(whole)
            for place in rng.integers(4, len(content), 20):
                content[place] ^= 1 + rng.integers(255)
            path.write_bytes(content)
            with suppress(UsageError):
                read_dataset(path, "y", rows=100)
                n_refused -= 1
            n_refused += 1
        assert n_refused > 20


def test_an_empty_sheet_is_named(tmp_path):
    openpyxl.Workbook().save(tmp_path / "table.xlsx")
    with pytest.raises(UsageError, match=r"table.xlsx: its sheet, 'Sheet', is empty"):
        read_dataset(tmp_path / "table.xlsx", "y", rows=100)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda frame: frame[frame["num"] > 10], ["num", "more"]),
        (lambda frame: frame.set_index("num"), ["more", "num"]),
        (lambda frame: frame.set_index(["num", frame.index]), ["more", "num"]),
        (lambda frame: frame.set_index("y"), ["num", "more"]),
    ],
)
def test_an_index_with_a_name_is_a_column_of_a_parquet_file(change, names, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"num": np.arange(90) % 30 * 1.5, "more": np.arange(90) % 7 * 1.0, "y": ["p", "q"] * 45})
    change(frame).to_parquet(path)
    found = read_dataset(path, "y", rows=1000)
    assert list(found.frame) == names
    assert (apply.read_table(path, found.reading)["num"].to_numpy() == found.frame["num"].to_numpy()).all()
