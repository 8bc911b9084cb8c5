"""Readings that people who tried the command found wrong."""

from datetime import date

import numpy as np
import openpyxl
import pandas as pd
import pytest

from envs.automl import apply
from envs.automl.reading import read_dataset
from qrl.common.errors import UsageError


def read(tmp_path, cells, encoding="utf-8"):
    rows = [f'"{cell}",{"ab"[i % 2]}' for i, cell in enumerate(cells)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["v,t", *rows]) + "\n", encoding=encoding)
    return read_dataset(path, "t", rows=1000)


def repeated(cells, n=90):
    return [cells[i % len(cells)] for i in range(n)]


def test_times_are_those_of_the_clock_there(tmp_path):
    cells = [f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}T00:{i % 60:02d}:00+02:00" for i in range(90)]
    found = read(tmp_path, cells)
    assert found.frame["v: day"].tolist() == [1 + i % 28 for i in range(90)]
    assert found.frame["v: month"].tolist() == [1 + i % 12 for i in range(90)]


def test_times_of_frames_are_those_of_the_clock_there():
    from envs.automl.apply import date_part, dates

    times = pd.Series(pd.date_range("2021-03-10 00:30", periods=5, freq="D", tz="Europe/Berlin"))
    assert date_part(dates(times, ""), "day").tolist() == [10, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("cells", "values", "told"),
    [
        (["679.-", "1,281.-", "45.50", "7.--"], [679, 1281, 45.5, 7], "a dash for no cents"),
        (["72,50", "48,-", "604,–"], [72.5, 48, 604], "a dash for no cents"),
        (["1.280,64-", "315,20", "7,10"], [-1280.64, 315.2, 7.1], "minus at the end"),
        (["1", "1.333", "1.667", "2", "2.333", "3", "4.667"], [1, 1.333, 1.667, 2, 2.333, 3, 4.667], "--decimal comma"),
        (["1", "1,333", "1,667", "3"], [1, 1.333, 1.667, 3], "--decimal point"),
        (["315", "1.571", "2.250", "999"], [315, 1571, 2250, 999], "--decimal point"),
        (["$2.2bn", "$378m", "$950m"], [2.2e9, 378e6, 950e6], "factors $bn, $m"),
        (["7,3 Mio. €", "2,1 Mrd. €"], [7.3e6, 2.1e9], "factors Mio. €, Mrd. €"),
        (["7,3 Mio.", "2,5 Mio."], [7.3, 2.5], "decimal commas, in Mio."),
        (["5 m", "7 m", "12"], [5, 7, 12], "in m"),
        (["3k", "5m", "12"], [3000, 5e6, 12], "factors k, m"),
        (["$(5.20)", "$7.10", "($2)"], [-5.2, 7.1, -2], "in $, brackets as minus"),
        (["007", "012", "123"], [7, 12, 123], "leading zeros"),
        (["$3m", "$324,000", "$4m"], [3e6, 324_000, 4e6], "factors $m"),
        (["5k", "4,517", "7k"], [5000, 4517, 7000], "factors k"),
        (["7 Mio. €", "771.000 €"], [7e6, 771_000], "factors Mio. €"),
        (["72/min", "58 /min"], [72, 58], "in /min"),
        (["7.6 ˚C", "18.8 ˚C"], [7.6, 18.8], "in ˚C"),
        (["794 ₪", "12 ₪"], [794, 12], "in ₪"),
        (["22.3”", "17”"], [22.3, 17], "in ”"),
        (["5 kg/m2", "7 kg/m2"], [5, 7], "in kg/m2"),
        (["$5/month", "$7/month"], [5, 7], "in $/month"),
        (["<100", "100", "57", "12"], [100, 100, 57, 12], "'<100' and '100' are the same number"),
        (["Rs.50", "Rs. 1,234.50", "Rs.967"], [50, 1234.5, 967], "in Rs"),
        (["kr.500", "kr.75"], [500, 75], "in kr"),
        (["50/-", "87:-", "12"], [50, 87, 12], "a dash for no cents"),
        (["<0.5", "0.7", "1.2", "> 9"], [0.5, 0.7, 1.2, 9], "limits such as '<0.5' as their numbers"),
        (["30+", "12", "17"], [30, 12, 17], "limits such as '30+'"),
        (["1.1", "1.10", "1.2"], [1.1, 1.1, 1.2], "'1.1' and '1.10' are the same number"),
        ([*map(str, range(10, 30)), "#NV"], [*range(10, 30), np.nan], "'#NV' counts as missing"),
    ],
)
def test_numbers(cells, values, told, tmp_path):
    found = read(tmp_path, repeated(cells))
    np.testing.assert_array_equal(found.frame["v"], repeated(values))
    assert any(told in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    "cells",
    [
        ["1998", "1990-", "1989-", "2001"],
        ["1", "2-", "3", "1-", "2"],
        ["97e0", "45e2", "15e9", "88"],
        [str(9007199254740993 + i) for i in range(30)],
        ["5A-", "7A-", "12A-"],
        ["7½", "8", "8½"],
        ["5²", "13⁵", "7"],
        ["<50K", ">=50K"],
        ["2004/05", "2005/06", "2009/10"],
        ["192.168.100.200", "192.168.100.201", "192.168.101.203"],
    ],
)
def test_codes_are_no_numbers(cells, tmp_path):
    found = read(tmp_path, repeated(cells))
    assert found.frame["v"].tolist() == repeated(cells)


def test_two_digit_years_are_told(tmp_path):
    cells = [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{45 + i % 30}" for i in range(90)]
    assert any("years of two digits are read as 1969 to 2068" in note for note in read(tmp_path, cells).notes)


def test_the_order_of_two_digit_years_is_told_to_be_open(tmp_path):
    cells = [f"{18 + i % 5}-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(90)]
    assert any("--dates day-first or month-first" in note for note in read(tmp_path, cells).notes)


@pytest.mark.parametrize("bad", ["2021-02-30", "0000-00-00", "today"])
def test_one_cell_that_is_no_date_is_missing(bad, tmp_path):
    cells = [bad, *(f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(89))]
    found = read(tmp_path, cells)
    assert found.frame["v: month"].tolist()[1:] == [1 + i % 12 for i in range(89)]
    assert any(repr(bad) in note and "counts as missing" in note for note in found.notes), found.notes


def test_months_have_no_weekday(tmp_path):
    cells = [f"{2015 + i % 7}/{1 + i % 12:02d}" for i in range(90)]
    assert {"v: year", "v: month"} == {*read(tmp_path, cells).frame.columns}


def test_results_of_games_are_no_times(tmp_path):
    assert read(tmp_path, repeated(["4:4", "1:0", "2:3"])).frame["v"].tolist() == repeated(["4:4", "1:0", "2:3"])


def test_a_header_that_begins_with_a_number_sign(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("#,name,hp,t\n" + "".join(f"{i},n{i % 3},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(90)))
    assert {"name", "hp"} <= {*read_dataset(path, "t", rows=1000).frame.columns}
    path.write_text("# exported 2021,4\nx,hp,t\n" + "".join(f"{i % 9},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(90)))
    assert {"x", "hp"} == {*read_dataset(path, "t", rows=1000).frame.columns}


def test_frames_may_repeat_an_index():
    from envs.automl.apply import Column, numbers

    cells = pd.Series(["1,234.5", "2,000", "7"], index=[0, 0, 1], dtype=object)
    assert numbers(cells, Column("v", "number")).tolist() == [1234.5, 2000, 7]


def test_an_en_dash_is_a_minus(tmp_path):
    assert read(tmp_path, repeated(["–5", "7", "3.5"])).frame["v"].tolist() == repeated([-5, 7, 3.5])


def test_dates_in_several_orders_are_named(tmp_path):
    found = read(tmp_path, repeated(["2021-03-05", "25.04.2021", "2022-11-25"]))
    assert any("60 of 90 cells are dates (%Y-%m-%d), but not '25.04.2021' (line 3)" in note for note in found.notes)


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
    found = read(tmp_path, repeated(cells), encoding)
    if found.frame["v"].dtype.kind == "f":
        assert found.frame["v"].min() >= 3
    else:
        assert found.frame["v"].tolist() == repeated(cells)


BODY = "".join(f"{i % 9},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(60))


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


@pytest.mark.parametrize("header", [[None, "z", "y"], ["x", 2019, "y"], ["x", "z", "y"]])
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


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        ([f"2023{1 + i % 12:02d}{1 + i % 28:02d}" for i in range(90)], {"month", "day", "weekday"}),
        ([f"2023{1 + i % 12:02d}{1 + i % 28:02d}1{i % 7}2030" for i in range(90)], {"month", "day", "weekday", "hour"}),
        ([f"00:{i % 3:02d}:{i % 60:02d}" for i in range(90)], {"minute", "second"}),
        ([f"{1 + i % 12}:0{i % 6} PM" for i in range(90)], {"hour", "minute"}),
        ([f"{1 + i % 28}. {1 + i % 12}. 2023" for i in range(90)], {"month", "day", "weekday"}),
        ([f"2023-{1 + i % 12:02d}" for i in range(90)], {"month"}),
        ([f"{1 + i % 28:02d}/Jan/2023:10:00:00 +0000" for i in range(90)], {"day", "weekday"}),
        (["99991231" if i % 9 == 0 else f"202{i % 4}0105" for i in range(90)], {"year", "weekday"}),
        (["0" if i % 9 == 0 else f"202{i % 4}0105" for i in range(90)], {"year", "weekday"}),
        (["0000-00-00" if i % 9 == 0 else f"202{i % 4}-01-05" for i in range(90)], {"year", "weekday"}),
    ],
)
def test_dates(cells, parts, tmp_path):
    assert {*read(tmp_path, cells).frame.columns} == {f"v: {part}" for part in parts}


def test_one_date_is_excluded_with_the_reason(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "d,x,y\n" + "".join(f"2023-01-05,{line}\n" for line in BODY.replace(",", ";").split()).replace(";", ",")
    )
    path.write_text(path.read_text().replace("d,x,y", "d,x,z,y"))
    assert read_dataset(path, "y", rows=100).dropped == {"d": "one date"}


def test_text_that_is_excluded_has_an_example(tmp_path):
    path = tmp_path / "table.csv"
    lines = BODY.split()
    path.write_text("d,x,z,y\n" + "".join(f"{1 + i} Januar 2022,{line}\n" for i, line in enumerate(lines)))
    assert read_dataset(path, "y", rows=100).dropped == {"d": "text that hardly ever repeats, such as '1 Januar 2022'"}


def test_classes_that_differ_in_case_are_told(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(f"{i % 9},{['Yes', 'yes', '<3', '3'][i % 4]}\n" for i in range(60)))
    notes = [note for note in read_dataset(path, "y", rows=100).notes if note.startswith("classes")]
    assert notes == ["classes 'Yes' and 'yes' differ only in case, but count as two classes"]


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
