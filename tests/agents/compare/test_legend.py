"""Legends of the tables: numbers in words are those that were measured, and every output has them."""

import re

import pytest

from agents.compare.api import compare
from agents.compare.legend import UNDERCOVERAGE, UNDERCOVERAGE_OF_STEPS
from agents.compare.page.page import page_of
from agents.compare.tables import csv_text, latex_text
from benchmarks.shared.common import RESULTS
from qrl.common.files import LARGEST_RESULT, from_json
from qrl.common.trust import Trust
from tests.support.compared_runs import saved_group, saved_run

SCORES = [[float(seed + task) for task in range(3)] for seed in range(5)]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    saved_group(folder, "a", SCORES, model="a")
    saved_group(folder, "b", SCORES, model="b", returns=(1.0, 9.0, 5.0))
    (folder / "b-seed4" / "evaluation.json").unlink()
    saved_group(folder, "c", SCORES, model="c")
    return compare(folder)


def test_coverage_in_words_is_that_of_the_benchmark():
    rows = from_json(RESULTS / "coverage.json", LARGEST_RESULT)["results"]["rows"]

    def lowest(statistic, *seeds):
        found = [row["library"] for row in rows if row["statistic"] == statistic and row["seeds"] in seeds]
        return f"{min(found):.0f} %"

    expected = [lowest("mean", 5), lowest("mean", 20), lowest("IQM", 5, 10, 20), lowest("difference", 5, 10, 20)]
    assert re.findall(r"\d+ %", UNDERCOVERAGE) == expected


PARTS = (
    "Brackets: 95 % intervals over both seeds and tasks, from 5 seeds on",
    UNDERCOVERAGE,
    "worst 10 %: mean over the worst tenth of the tasks of each seed, averaged over seeds",
    "Differences from a are paired over tasks and common seeds",
    "spent while fewer than 80 % of the seeds exceed the threshold, relapses counted (Meyer et al. 2025)",
    "Threshold: a return of 4.60, 90 % of the way from the lowest mean at the start of training (1.00) to the best",
    f"Brackets: 90 % intervals over seeds, which cover down to {UNDERCOVERAGE_OF_STEPS}",
)


def test_terminal_latex_and_page_have_the_legend(comparison):
    terminal = re.sub(r"\s+", " ", comparison.table())
    page = re.sub(r"\s+", " ", page_of(comparison, Trust())).replace("\u00a0", " ")
    latex = latex_text(comparison)
    for part in PARTS:
        assert part in terminal and part in page
        plain = part.replace("%", r"\%").replace("δ", r"$\delta$")
        assert plain in latex.replace("{[}", "[")
    assert latex.count(r"\par{\footnotesize") == latex.count(r"\end{tabular}") == 2
    assert r"env steps below threshold, $\hat{S}$(0.1, 0.8)" in latex


def test_notes_are_in_latex_and_not_in_csv(comparison):
    (note,) = comparison.notes
    assert "b-seed4 is left out" in note
    assert f"% note: {note}" in latex_text(comparison).splitlines()
    assert "left out" not in csv_text(comparison)


def test_legend_of_one_run_says_nothing_about_seeds(tmp_path):
    text = compare(saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 2.0]])).table()
    assert "No intervals: those over seeds and tasks need 5 seeds" in text
    assert "averaged over seeds" not in text and UNDERCOVERAGE[:20] not in text and "relapses" not in text


def test_lines_that_sections_share_are_printed_once(tmp_path):
    saved_group(tmp_path, "a", SCORES)
    saved_group(tmp_path, "b", SCORES, env="bandit")
    assert compare(tmp_path).table(1000).count("IQM: interquartile mean of seeds") == 1
