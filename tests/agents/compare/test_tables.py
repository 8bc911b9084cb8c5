"""Tables of a comparison: on the terminal, as CSV and as LaTeX."""

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest

from agents.compare.api import compare
from agents.compare.format import duration_text, estimate_text, number_text, quantity_text
from agents.compare.scores import Estimate
from agents.compare.tables import csv_text, latex_escaped, latex_text
from tests.support.compared_runs import saved_group

STAIRS = [[s / 3, s + 2.0] for s in range(5)]
NASTY = 'a_b & 50% #1 {x} ~ ^ \\ <b> | "q" $ − τ 日'


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    saved_group(folder, "a", STAIRS, model=NASTY)
    saved_group(folder, "b", [[a + 1, b - 2] for a, b in STAIRS], model="plain, with comma", returns=(1.0, 9.0, 5.0))
    return compare(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number_text(-1234.5, 1), "−1,234.5"),
        (number_text(-0.001, 2, sign=True), "0.00"),
        (number_text(float("inf"), 2), "not reached"),
        (estimate_text(Estimate(1.0, 0.5, 1.5), 2, sign=True), "+1.00 [+0.50, +1.50]"),
        (estimate_text(Estimate(1.0, None, None), 2), "1.00"),
        (quantity_text(630_012.6), "630,013"),
        (quantity_text(1.2345e7), "12.3 million"),
        (duration_text(59.96), "60.0 s"),
        (duration_text(250.0), "4 min 10 s"),
        (duration_text(3599.7), "1 h 0 min"),
    ],
)
def test_numbers_as_texts(text, expected):
    assert text == expected


def test_terminal_table_keeps_to_the_width(comparison):
    for width in (110, 160):
        blocks = comparison.table(width).split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("group")]
        assert all(len(line) <= width for table in tables for line in table)
        assert {len(table) for table in tables} == {3}
    assert len([block for block in comparison.table(1000).split("\n\n") if block.startswith("group")]) == 2
    first = comparison.table().splitlines()
    assert first[0] == "navigation: 2 test tasks, 5 seeds each"
    assert first[1] == f"{comparison.sections[0].finding}"
    few = (
        "warning: few seeds: 5; a headline claim needs 10 or more\nwarning: few tasks: 2; a claim about new tasks needs"
    )
    assert few in comparison.table()


def test_csv_read_back_equals_the_comparison(comparison, tmp_path):
    comparison.save(tmp_path / "table.csv")
    frame = pd.read_csv(tmp_path / "table.csv", float_precision="round_trip")
    rows = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    for group, row, read in zip(comparison.sections[0].groups, rows, frame.to_dict("records"), strict=True):
        assert row["group"] == read["group"] == group.label and row["model"] == group.model
        assert (read["mean_first"], read["iqm"]) == (group.first.mean.value, group.at.iqm.value)
        assert (read["mean"], read["mean_low"], read["mean_high"]) == (
            group.at.mean.value,
            group.at.mean.low,
            group.at.mean.high,
        )
        assert (read["n_seeds"], read["n_tasks"], read["compared_at"]) == (5, 2, 1)
        assert float(row["sample_complexity"]) == group.sample_complexity.value
        assert read["worst_decile"] == group.at.worst_decile
    assert (
        rows[0]["difference"] == ""
        and float(rows[1]["difference"]) == comparison.sections[0].groups[1].difference.value
    )
    assert len({len(row) for row in csv.reader(io.StringIO(csv_text(comparison)))}) == 1


def test_latex_rows_have_the_columns_that_are_declared(comparison):
    text = latex_text(comparison)
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 2
    for columns, body in re.findall(r"\\begin{tabular}{(l?r*)}\n(.*?)\\end{tabular}", text, flags=re.DOTALL):
        rows = [line for line in body.splitlines() if line.strip() != r"\hline"]
        assert len(rows) == 3
        for row in rows:
            assert row.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
            bare = re.sub(r"\\[{}]", "", row)
            assert bare.count("{") == bare.count("}") and len(re.findall(r"(?<!\\)\$", row)) % 2 == 0
    assert all(ord(each) < 128 for each in latex_escaped(NASTY)) and "U+65E5" in latex_escaped(NASTY)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX engine on this machine")
def test_latex_compiles_without_packages(comparison, tmp_path):
    body = latex_text(comparison)
    (tmp_path / "t.tex").write_text(f"\\documentclass{{article}}\n\\begin{{document}}\\tiny\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_names_from_files_cannot_control_the_terminal(tmp_path):
    saved_group(tmp_path, "a", STAIRS[:1], model="\x1b[31mred\nline", env="\x1b[2Jclear", config={"engine": "a\x07"})
    saved_group(tmp_path, "b", STAIRS[:1], model="b", env="\x1b[2Jclear")
    text = compare(tmp_path).table()
    assert all(each.isprintable() for each in text.replace("\n", ""))
    assert "\\x1b[31mred line" in text and "\\x1b[2Jclear: 2 test tasks" in text
