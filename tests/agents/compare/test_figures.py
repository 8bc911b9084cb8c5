"""Panels of a comparison: what is drawn equals the numbers."""

import pytest
from matplotlib.figure import Figure

from agents.compare.api import compare
from agents.compare.figures import (
    MOST_BANDS,
    draw_adaptation,
    draw_intervals,
    draw_learning,
    draw_profiles,
    draw_tasks,
    task_pairs,
)
from agents.experiment.style import line_style
from tests.support.compared_runs import saved_group, saved_run

STAIRS = [[s, s + 2.0] for s in range(5)]


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    saved_group(folder, "a", STAIRS, model="a")
    saved_group(folder, "b", [[x + 1, y - 3] for x, y in STAIRS], model="b", returns=(1.0, 9.0, 5.0))
    return compare(folder).sections[0]


def drawn(draw, *arguments):
    axes = Figure().subplots()
    draw(axes, *arguments)
    return axes


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def band(axes, index):
    corners = axes.collections[index].get_paths()[0].vertices
    at = {x: corners[corners[:, 0] == x, 1] for x in set(corners[:, 0].tolist())}
    return {x: (min(ends), max(ends)) for x, ends in at.items()}


def test_adaptation_has_the_means_and_their_intervals(section):
    axes = drawn(draw_adaptation, section)
    assert lines(axes) == {"a": ([0, 1], [0, 3]), "b": ([0, 1], [0, 2])}
    mean = section.groups[0].at.mean
    assert band(axes, 0)[1.0] == pytest.approx((mean.low, mean.high))
    assert axes.get_xlabel() == "gradient steps of 10 episodes each"


def test_learning_is_against_environment_steps_with_the_threshold(section):
    axes = drawn(draw_learning, section)
    found = lines(axes)
    assert found["b"] == ([100, 200, 300], [1, 9, 5])
    assert axes.get_ylabel() == "return on training tasks\nafter 1 gradient step"
    # 90 % of the way from 1 to 5.
    assert [each for name, (_, each) in found.items() if name.startswith("_")] == [[4.6, 4.6]]


def test_profiles_and_intervals(section):
    assert lines(drawn(draw_profiles, section))["a"][1] == [each.value for each in section.groups[0].profile.shares]
    axes = drawn(draw_intervals, section)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a"]
    points = [list(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert points == [[3], [2]]


def test_each_task_is_a_point(section, tmp_path):
    assert task_pairs(section, section.groups[0]) is None
    x, y, labels = task_pairs(section, section.groups[1])
    assert (x, y, labels) == ((2, 4), (3, 1), ("return of a", "return of b"))
    axes = drawn(draw_tasks, x, y, labels, 1)
    assert axes.collections[0].get_offsets().tolist() == [[2, 3], [4, 1]]
    alone = compare(saved_run(tmp_path / "run", 0, [[1.0, 5.0], [2.0, 4.0]])).sections[0]
    assert task_pairs(alone, alone.groups[0]) == ((1, 2), (5, 4), ("return, 0 steps", "return, 1 step"))


def test_a_single_seed_has_the_interval_of_its_evaluation(tmp_path):
    alone = compare(saved_run(tmp_path / "run", 0, [[1.0, 5.0], [2.0, 4.0]])).sections[0]
    assert band(drawn(draw_adaptation, alone), 0) == {0.0: (0.5, 2.5), 1.0: (3.5, 5.5)}


def test_many_groups_have_lines_without_bands(tmp_path):
    for index in range(MOST_BANDS + 1):
        saved_group(tmp_path, f"m{index}", STAIRS, model=f"m{index}")
    section = compare(tmp_path).sections[0]
    axes = drawn(draw_adaptation, section)
    assert len(axes.get_lines()) == MOST_BANDS + 1 and not axes.collections


def test_no_two_lines_look_the_same():
    looks = [str(sorted(line_style(index).items(), key=str)) for index in range(21)]
    assert len(set(looks)) == 21
