"""Readings that people who tried the command found wrong."""

import numpy as np
import pandas as pd
import pytest

from envs.automl.reading import read_dataset
from tests.support.tables import BODY, read_column, repeated

MANY = [*map(str, range(10, 30))]
"""Numbers that are too many to be classes."""


def test_times_are_those_of_the_clock_there(tmp_path):
    cells = [f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}T00:{i % 60:02d}:00+02:00" for i in range(90)]
    found = read_column(tmp_path, cells)
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
        (["<10", *MANY], [10, *range(10, 30)], "'<10' and '10' are the same number"),
        (["Rs.50", "Rs. 1,234.50", "Rs.967"], [50, 1234.5, 967], "in Rs"),
        (["kr.500", "kr.75"], [500, 75], "in kr"),
        (["50/-", "87:-", "12"], [50, 87, 12], "a dash for no cents"),
        (["<0.5", "> 99", *MANY], [0.5, 99, *range(10, 30)], "limits such as '<0.5' as their numbers"),
        (["30+", *MANY], [30, *range(10, 30)], "limits such as '30+'"),
        ([*MANY, "#NV"], [*range(10, 30), np.nan], "'#NV' counts as missing"),
        (["8.695e+04", "3.570e+05"], [86_950, 357_000], ""),
        (["8,695e+04", "3,570e+05", "315"], [86_950, 357_000, 315], "decimal commas"),
        (["-1,234e+01", "7,5"], [-12.34, 7.5], "decimal commas"),
        (["$ 13,535.20", "$ -", "$ 7.10"], [13535.2, np.nan, 7.1], "'$ -' counts as missing"),
        (["13.535,20 €", "-   €", "7,10 €"], [13535.2, np.nan, 7.1], "counts as missing"),
        (["1.1", "1.10", "1.2"], [1.1, 1.1, 1.2], "'1.1' and '1.10' are the same number"),
    ],
)
def test_numbers(cells, values, told, tmp_path):
    found = read_column(tmp_path, repeated(cells))
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
        ["0", "1", "2", "3+"],
        ["<5", "5", "6"],
        ["2004/05", "2005/06", "2009/10"],
        ["192.168.100.200", "192.168.100.201", "192.168.101.203"],
    ],
)
def test_codes_are_no_numbers(cells, tmp_path):
    found = read_column(tmp_path, repeated(cells))
    assert found.frame["v"].tolist() == repeated(cells)


def test_two_digit_years_are_told(tmp_path):
    cells = [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{45 + i % 30}" for i in range(90)]
    assert any("years of two digits are read as 1969 to 2068" in note for note in read_column(tmp_path, cells).notes)


def test_the_order_of_two_digit_years_is_told_to_be_open(tmp_path):
    cells = [f"{18 + i % 5}-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(90)]
    assert any("--dates day-first or month-first" in note for note in read_column(tmp_path, cells).notes)


@pytest.mark.parametrize("bad", ["2021-02-30", "0000-00-00", "today"])
def test_one_cell_that_is_no_date_is_missing(bad, tmp_path):
    cells = [bad, *(f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(89))]
    found = read_column(tmp_path, cells)
    assert found.frame["v: month"].tolist()[1:] == [1 + i % 12 for i in range(89)]
    assert any(repr(bad) in note and "counts as missing" in note for note in found.notes), found.notes


def test_months_have_no_weekday(tmp_path):
    cells = [f"{2015 + i % 7}/{1 + i % 12:02d}" for i in range(90)]
    assert {"v: year", "v: month"} == {*read_column(tmp_path, cells).frame.columns}


def test_results_of_games_are_no_times(tmp_path):
    assert read_column(tmp_path, repeated(["4:4", "1:0", "2:3"])).frame["v"].tolist() == repeated(["4:4", "1:0", "2:3"])


def test_frames_may_repeat_an_index():
    from envs.automl.apply import Column, numbers

    cells = pd.Series(["1,234.5", "2,000", "7"], index=[0, 0, 1], dtype=object)
    assert numbers(cells, Column("v", "number")).tolist() == [1234.5, 2000, 7]


def test_an_en_dash_is_a_minus(tmp_path):
    assert read_column(tmp_path, repeated(["–5", "7", "3.5"])).frame["v"].tolist() == repeated([-5, 7, 3.5])


def test_dates_in_several_orders_are_named(tmp_path):
    found = read_column(tmp_path, repeated(["2021-03-05", "25.04.2021", "2022-11-25"]))
    assert any("60 of 90 cells are dates (%Y-%m-%d), but not '25.04.2021' (line 3)" in note for note in found.notes)


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
        (["31.12.9999" if i % 5 == 0 else f"05.01.202{i % 4}" for i in range(90)], {"year", "weekday"}),
        ([f"{2540 + i % 4}-01-05" for i in range(90)], {"year", "weekday"}),
        (["0000-00-00" if i % 9 == 0 else f"202{i % 4}-01-05" for i in range(90)], {"year", "weekday"}),
    ],
)
def test_dates(cells, parts, tmp_path):
    assert {*read_column(tmp_path, cells).frame.columns} == {f"v: {part}" for part in parts}


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


def test_exponents_beside_columns_with_the_other_decimal_mark(tmp_path):
    rows = "".join(f"0,{13 + i};{1 + i}.695e+04;{'pq'[i % 2]}\n" for i in range(80))
    path = tmp_path / "table.csv"
    path.write_text(f"share;sum;y\n{rows}")
    found = read_dataset(path, "y", rows=1000)
    assert found.frame["sum"].tolist()[:3] == [16_950, 26_950, 36_950]
