"""Task settings: sections of groups that were evaluated alike."""

import math

import pytest

from agents.compare.api import compare
from qrl.common.errors import UsageError
from tests.support.compared_runs import HIGHER, STAIRS, saved_group, section_of


def test_shares_and_thresholds_are_of_one_task_distribution(tmp_path):
    def saved(name, horizon, scores, **changes):
        env = {"config": {"spec": {"env_config": {"horizon": horizon}}}, "env_options": {"horizon": horizon}}
        saved_group(tmp_path, name, scores, **env, **changes)

    saved("a", 10, STAIRS, references={"oracle": [0.0, 6.0]})
    saved("b", 10, HIGHER, model="b", returns=(2.0, 6.0, 6.0))
    saved("c", 99, STAIRS, references={"oracle": [0.0, 60.0]})
    saved("d", 99, STAIRS, model="b", returns=(9.0, 9.0, 9.0))
    comparison = compare(tmp_path)
    short, long = comparison.sections
    assert [section.name for section in comparison.sections] == ["navigation, horizon 10", "navigation, horizon 99"]
    assert [[group.label for group in section.groups] for section in comparison.sections] == [["mlp", "b"]] * 2
    # The optimum of the tasks is 6; 3 and 4 of it are reached. That of the longer ones is 60.
    assert [group.share.value for group in short.groups] == pytest.approx([0.5, 4 / 6])
    assert [group.share.value for group in long.groups] == pytest.approx([3 / 60, 3 / 60])
    # From the lowest start on these tasks, 1, to 6: a threshold of 5.5. On the longer ones, from 1 to 60.
    assert (short.target.threshold, long.target.threshold) == (5.5, pytest.approx(54.1))
    assert [each.sample_complexity.value for each in short.groups] == [math.inf, 100]
    assert [each.sample_complexity.value for each in long.groups] == [math.inf, math.inf]
    assert short.groups[1].difference.value == 1 and long.groups[1].difference.value == 0
    (note,) = comparison.notes
    assert note == "task settings of navigation differ (horizon 10; horizon 99): nothing is compared across them"
    with pytest.raises(UsageError, match="--threshold: a return means the same in one task setting only; there are 2"):
        compare(tmp_path, threshold=3.0)
    # The reference may be chosen in each.
    assert [section.reference for section in compare(tmp_path, "b").sections] == ["b", "b"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"scores": [[*row, 1.0] for row in STAIRS]}, ["2 tasks", "3 tasks"]),
        ({"seed": 5}, ["evaluation seed 0", "evaluation seed 5"]),
        ({"episodes": [0, 20]}, ["10 episodes per step", "20 episodes per step"]),
        ({"env_options": {"goal": [1, 2]}}, ["goal None", "goal [1, 2]"]),
        (
            {"config": {"origins": {"env": {"digest": "c0ffee"}}}},
            ["digest of the code None", "digest of the code c0ffee"],
        ),
    ],
)
def test_groups_that_were_not_evaluated_alike_have_sections_of_their_own(tmp_path, changes, names):
    scores, seed = changes.pop("scores", STAIRS), changes.pop("seed", 0)
    saved_group(tmp_path, "a", STAIRS)
    for path in saved_group(tmp_path, "b", scores, model="b", **changes):
        table = path / "evaluation.json"
        table.write_text(table.read_text().replace('"seed": 0', f'"seed": {seed}'))
    comparison = compare(tmp_path)
    assert [section.setting for section in comparison.sections] == names
    assert all(section.reference == "" and len(section.groups) == 1 for section in comparison.sections)
    with pytest.raises(UsageError, match="no group 'c'"):
        compare(tmp_path, "c")
    assert "1 of 2 task settings have no group 'mlp': the first is taken there" in compare(tmp_path, "mlp").notes


def test_agents_without_gradient_steps_join_the_only_setting_like_theirs(tmp_path):
    trial = {"axis": "episodes", "x": [1, 2], "episodes": [0, 1], "agent": "rl2"}
    saved_group(tmp_path, "a", STAIRS)
    saved_group(tmp_path, "b", STAIRS, **trial)
    assert [group.agent for group in section_of(tmp_path).groups] == ["maml", "rl2"]
    saved_group(tmp_path, "c", STAIRS, model="c", episodes=[0, 20])
    settings = [section.setting for section in compare(tmp_path).sections]
    assert settings == ["10 episodes per step", "no gradient steps", "20 episodes per step"]


def test_environments_of_one_study_have_sections_of_their_own(tmp_path):
    saved_group(tmp_path, "n", STAIRS)
    saved_group(tmp_path, "b", HIGHER, env="bandit", model="quantum")
    comparison = compare(tmp_path)
    assert [section.env for section in comparison.sections] == ["bandit", "navigation"]
    assert all(text.startswith(("bandit: ", "navigation: ")) for text in comparison.warnings)
    with pytest.raises(UsageError, match=r"different environments cannot share a table: navigation .*, bandit "):
        compare([tmp_path / "n-seed0", tmp_path / "b-seed0"])


def test_environments_of_one_study_may_be_given_one_by_one(tmp_path):
    saved_group(tmp_path, "n", STAIRS)
    saved_group(tmp_path, "b", HIGHER, env="bandit")
    runs = [path for path in tmp_path.iterdir() if path.is_dir()]
    (tmp_path / "study.json").touch()
    assert len(compare(runs).sections) == 2
