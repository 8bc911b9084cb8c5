"""Warnings of a comparison: each objection once, and none where there is nothing to object to."""

import pytest

from agents.compare.api import compare
from tests.support.compared_runs import VERSIONS, saved_group, saved_run

TEN = [[float(seed), seed + 2.0] for seed in range(10)]


def warnings_of(tmp_path, first, second, n_seeds=10):
    saved_group(tmp_path, "a", TEN[:n_seeds], **first)
    saved_group(tmp_path, "b", TEN[:n_seeds], **second)
    return compare(tmp_path).warnings


def test_a_fair_comparison_has_no_warning(tmp_path):
    first = {"model": "mlp", "model_options": {"depth": 2}}
    assert warnings_of(tmp_path, first, {"model": "quantum", "model_options": {"n_wires": 4}}) == ()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"iteration": 3}, {"iteration": 9}, "budgets differ: iterations (iterations 3: 3, iterations 9: 9)"),
        (
            {"returns": (1.0, 2.0)},
            {"model": "b", "returns": (1.0, 2.0, 3.0)},
            "budgets differ: environment steps (mlp: 200, b: 300)",
        ),
        (
            {},
            {"model": "b", "episodes": [0, 20]},
            "budgets differ: experience before the compared return (mlp: 10 episodes, b: 20 episodes); "
            "episodes of an evaluation per step: 10, 20",
        ),
        (
            {"env_options": {"horizon": 50}, "config": {"spec": {"env_config": {"horizon": 50}}}},
            {"env_options": {"horizon": 99}, "config": {"spec": {"env_config": {"horizon": 99}}}},
            "tasks differ: env.horizon 50 and 99; no differences are shown across them",
        ),
        ({}, {"model": "b", "seed_of_evaluation": 5}, "evaluations differ in their seed: the tasks are the same"),
        (
            {"model": "a", "options": {"lr": 0.1}},
            {"model": "b", "options": {"lr": 0.2}},
            "tuning differs: besides the model, groups differ in agent.lr; "
            "the effect of one cannot be told from that of the other",
        ),
        (
            {"config": {"engine": "fused"}},
            {"model": "b", "config": {"engine": "native"}},
            "runs were made by different versions: engine fused, native",
        ),
        (
            {"config": {"commit": 40 * "a"}},
            {"model": "b", "config": {"commit": 40 * "b" + "+changes", "versions": VERSIONS | {"torch": "2.9"}}},
            "runs were made by different versions: commit aaaaaaaaaa, bbbbbbbbbb+changes; torch 2.13.0, 2.9",
        ),
    ],
)
def test_each_objection_is_one_line(tmp_path, first, second, expected):
    changes = dict(second)
    if seed := changes.pop("seed_of_evaluation", 0):
        saved_group(tmp_path, "a", TEN, **first)
        for index, row in enumerate(TEN):
            run = saved_run(tmp_path / f"b{index}", index, [[0.0, score] for score in row], **changes)
            table = run / "evaluation.json"
            table.write_text(table.read_text().replace('"seed": 0', f'"seed": {seed}'))
        found = compare(tmp_path).warnings
    else:
        found = warnings_of(tmp_path, first, changes)
    assert len(found) == 1 and found[0].startswith(expected)


def test_few_seeds(tmp_path):
    (few,) = warnings_of(tmp_path / "few", {}, {"model": "b"}, n_seeds=9)
    assert few == "few seeds: 9; a headline claim needs 10 or more"
    (too_few,) = warnings_of(tmp_path / "too few", {}, {"model": "b"}, n_seeds=1)
    assert too_few == "too few seeds for a claim: 1 seed; intervals are shown from 5 seeds on"


def test_unequal_seeds(tmp_path):
    saved_group(tmp_path, "a", TEN)
    for seed, row in enumerate(TEN, start=1):
        saved_run(tmp_path / f"b{seed}", seed, [[0.0, score] for score in row], model="b")
    (found,) = compare(tmp_path).warnings
    assert found.startswith("seeds differ between groups (mlp: 10, b: 10); paired differences use the seeds")


def test_other_numbers_of_tasks_give_no_difference(tmp_path):
    saved_group(tmp_path, "a", TEN)
    saved_group(tmp_path, "b", [[*row, 1.0] for row in TEN], model="b")
    comparison = compare(tmp_path)
    (found,) = comparison.warnings
    assert found == "tasks differ: evaluated on 2, 3 tasks; evaluate all runs on the same"
    other = comparison.sections[0].group("b")
    assert other.difference is None and other.improvement is None
    assert "was not evaluated on the tasks and seeds" in comparison.sections[0].finding


def test_learning_curves_of_trials_and_of_episodes_share_no_threshold(tmp_path):
    trial = {"axis": "episodes", "x": [1, 2], "episodes": [0, 10], "agent": "rl2"}
    (found,) = warnings_of(tmp_path, {}, trial)
    assert (
        found == "learning curves differ in scale (maml: return of an episode, rl2: return of a trial); no Ŝ is shown"
    )
    section = compare(tmp_path).sections[0]
    assert section.target.threshold is None
    assert all(group.sample_complexity is None for group in section.groups)


def test_a_full_grid_is_no_objection(tmp_path):
    for model in ("a", "b"):
        for rate in (0.1, 0.2):
            saved_group(tmp_path, f"{model}{rate}", TEN, model=model, options={"lr": rate})
    assert compare(tmp_path).warnings == ()


def test_unknown_options(tmp_path):
    saved_group(tmp_path, "a", TEN)
    saved_group(tmp_path, "b", TEN, model="b", without_options=True)
    assert "tuning is unknown: the options of b are not in the run folders" in compare(tmp_path).warnings
