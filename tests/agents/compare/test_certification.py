"""Certificates of groups: counts over all seeds, seeds above the ceiling, and the statement about all groups."""

import math

import pytest

from agents.compare.api import compare
from agents.compare.certification import family_wise_log10_p
from qrl.common.errors import UsageError
from tests.support.compared_runs import saved_run, section_of
from tests.support.quantum_data import certificate


def saved(folder, name, *counts, n=20_000, **changes):
    """Write a run for each number of successes after adaptation, at the ceiling before it."""
    return [
        saved_run(
            folder / f"{name}-seed{seed}",
            seed,
            [[2 / 3, count / n], [2 / 3, count / n]],
            model=name,
            certificate=certificate(n * 2 // 3, count, n=n, **changes),
        )
        for seed, count in enumerate(counts)
    ]


@pytest.fixture
def folder(tmp_path):
    saved(tmp_path, "coherent", 14_900, 14_950, 13_000)
    saved(tmp_path, "measured", 13_300, 13_350, 13_333)
    return tmp_path


def test_all_seeds_count(folder):
    coherent = section_of(folder).group("coherent").certificate
    assert coherent.pooled.n_successes == 14_900 + 14_950 + 13_000 and coherent.pooled.n_episodes == 60_000
    assert (coherent.n_above, coherent.median_rate) == (2, 14_900 / 20_000)  # 13,000 of 20,000 is below 2/3
    assert coherent.pooled.advantage == pytest.approx((42_850 / 60_000 - 2 / 3) * 12)
    assert coherent.pooled.log10_p_value < -130


def test_compared_x_chooses_the_counts(folder):
    before = section_of(folder, at=0).group("coherent").certificate
    assert before.pooled.n_successes == 3 * 13_333


def test_totals_of_trials_whatever_x(tmp_path):
    trial = {"axis": "episodes", "x": [1, 2], "episodes": [0, 1]}
    saved_run(
        tmp_path / "run", 0, [[0.6, 0.8], [0.6, 0.8]], certificate=certificate(6, 8, n=10, of_trials=True), **trial
    )
    assert section_of(tmp_path, at=1).groups[0].certificate.pooled.n_successes == 14


def test_table_in_text_csv_and_page(folder, tmp_path):
    comparison = compare(folder)
    text = comparison.table(200)
    (row,) = [line for line in text.splitlines() if line.startswith("coherent") and "42,850" in line]
    assert row.split()[1:] == ["60,000", "42,850", "0.7142", "[0.7105,", "0.7178]", "57.0", "%", *row.split()[8:]]
    assert row.split()[-4:] == ["0.7450", "2", "of", "3"]
    assert "Ceiling of any classical memory: 0.6667, 0 % of the gap; optimum: 0.7500, 100 %" in text
    assert "over the 2 groups together" in text and "at least one exceeds the ceiling" in text
    comparison.save(tmp_path / "out.csv")
    head, first, _ = (tmp_path / "out.csv").read_text().splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert (cells["successes"], cells["certified_episodes"], cells["seeds_above"]) == ("42850", "60000", "2")
    comparison.save(tmp_path / "out.html")
    assert "42,850" in (tmp_path / "out.html").read_text()
    comparison.save(tmp_path / "out.json")


def test_family_wise_p_value_by_hand(tmp_path):
    """The smallest of two p-values counts twice."""
    saved(tmp_path, "a", 13_400)
    saved(tmp_path, "b", 13_300)
    section = section_of(tmp_path)
    own = [each.pooled.log10_p_value for each in section.certificates]
    assert family_wise_log10_p(section.certificates) == pytest.approx(min(own) + math.log10(2))
    assert "none exceeds the ceiling at the level 0.001" in compare(tmp_path).table(500)


def test_few_episodes_have_no_p_value(tmp_path):
    saved(tmp_path, "coherent", 90, n=100)
    text = compare(tmp_path).table(500)
    assert "No p-value where there are fewer than 20,000 episodes" in text and "p-value:" not in text
    saved_run(tmp_path / "other", 0, [[0.0, 1.0], [0.0, 1.0]])
    assert len(compare(tmp_path).sections) == 2  # a run without a ceiling is of another task setting


def test_other_data_have_no_table(tmp_path):
    saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 1.0]])
    assert section_of(tmp_path).certificates == () and "Ceiling" not in compare(tmp_path).table()


def test_different_ceilings_are_not_compared(tmp_path):
    saved(tmp_path, "a", 14_000)
    saved(tmp_path, "b", 14_000, ceiling=0.6)
    comparison = compare(tmp_path)
    assert [section.setting for section in comparison.sections] == [
        f"classical ceiling {2 / 3}",
        "classical ceiling 0.6",
    ]
    seed = saved_run(
        tmp_path / "a-seed1", 1, [[0.5, 0.7], [0.5, 0.7]], model="a", certificate=certificate(10, 14_000, ceiling=0.6)
    )
    with pytest.raises(UsageError, match=r"the seeds of .* differ in the ceiling of a classical memory") as error:
        compare(tmp_path)
    assert str(seed) in str(error.value)
