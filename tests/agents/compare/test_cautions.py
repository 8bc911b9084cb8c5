"""Warnings of a comparison: each objection once, and none where there is nothing to object to."""

import pytest

from agents.compare.api import compare
from agents.compare.cautions import identities
from tests.support.compared_runs import VERSIONS, saved_group, saved_run

TEN = [[float(seed), seed + 2.0] * 10 for seed in range(10)]
ORIGIN = {"path": "/runs/first", "checkpoint": "last", "run": "a", "iteration": 3, "weights": "b"}


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
        ({"iteration": 3}, {"iteration": 9}, "budgets differ: iterations ('iterations 3': 3, 'iterations 9': 9)"),
        (
            {"returns": (1.0, 2.0)},
            {"model": "b", "returns": (1.0, 2.0, 3.0)},
            "budgets differ: environment steps ('mlp': 200, 'b': 300)",
        ),
        (
            {"agent": "rl2", "axis": "episodes", "x": [1, 2], "episodes": [0, 5], "returns": ()},
            {"returns": ()},
            "budgets differ: experience before the compared return ('rl2': 5 episodes, 'maml': 10 episodes)",
        ),
        (
            {"model": "a", "options": {"lr": 0.1}},
            {"model": "b", "options": {"lr": 0.2}},
            "tuning differs: besides the model, groups differ in agent.lr; their effects cannot be separated",
        ),
        (
            {"model": "a", "options": {"lr": 0.1}, "config": {"start_from": ORIGIN}},
            {"model": "b", "options": {"lr": 0.1}, "config": {"start_from": ORIGIN}},
            "environment steps and Ŝ of 'a', 'b' leave out the training of the weights that they start from",
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
    found = warnings_of(tmp_path, first, second)
    assert len(found) == 1 and found[0].startswith(expected)


def test_seeds_that_were_evaluated_with_different_seeds(tmp_path):
    saved_group(tmp_path, "a", TEN)
    table = tmp_path / "a-seed4" / "evaluation.json"
    table.write_text(table.read_text().replace('"seed": 0', '"seed": 5'))
    (found,) = compare(tmp_path).warnings
    assert found.startswith("runs of 'maml, mlp' were evaluated with different seeds: the tasks are the same")


def test_tuning_of_one_agent_or_one_model_is_compared_among_its_groups(tmp_path):
    """With agents and models that differ, options of an agent are compared among its own groups."""
    saved_group(tmp_path, "a", TEN, model="a", options={"lr": 0.1})
    saved_group(tmp_path, "b", TEN, model="b", options={"lr": 0.2})
    saved_group(tmp_path, "c", TEN, model="b", agent="reptile", options={"lr": 0.3})
    (found,) = compare(tmp_path).warnings
    assert found.startswith("tuning differs: besides the agent and model, groups differ in agent.lr; ")
    saved_group(tmp_path / "models", "a", TEN, model_options={"depth": 2})
    saved_group(tmp_path / "models", "b", TEN, model_options={"depth": 3}, agent="reptile")
    saved_group(tmp_path / "models", "c", TEN, model="c", model_options={"depth": 9})
    (found,) = compare(tmp_path / "models").warnings
    assert found.startswith("tuning differs: besides the agent and model, groups differ in model.depth; ")


def test_runs_that_have_not_come_to_their_end(tmp_path):
    saved_group(tmp_path, "a", TEN, config={"spec": {"iterations": 9}})
    saved_group(tmp_path, "b", TEN, config={"spec": {"iterations": 3}}, model="b")
    comparison = compare(tmp_path)
    (found,) = comparison.warnings
    assert f"training has not come to its end: {tmp_path}/a-seed0 trained for 3 of 9 iterations, " in found
    assert found.endswith(" and 6 more; run.py resume RUN continues and evaluates it")
    (section,) = comparison.sections
    assert section.groups[0].label == "mlp" and section.reference == "b", "the first complete group"


def test_equal_results_of_several_seeds_count_as_one(tmp_path):
    saved_group(tmp_path, "a", TEN)
    alone = {"agent": "random", "model": "", "returns": (), "iteration": 0}
    saved_group(tmp_path, "r", [TEN[2]] * 5, **alone)
    comparison = compare(tmp_path)
    assert comparison.warnings == (
        "equal returns of all seeds on every task: 'random'; they count as one seed, without an interval",
    )
    mine, random = comparison.sections[0].groups
    assert (random.n_seeds, random.at.mean.value, random.at.mean.low, random.at.iqm.low) == (1, 3, None, None)
    # Ten seeds with means 1 to 10 against 3: each pairs with the copies.
    assert random.difference.value == 3 - 5.5 and random.difference.low is not None
    assert random.improvement.low is None
    # The copies are one result: against other copies, one difference.
    saved_group(tmp_path, "f", [TEN[4]] * 5, **alone | {"agent": "fixed"})
    both = compare(tmp_path, "random").sections[0].group("fixed")
    assert (both.difference.value, both.difference.low) == (2, None)


def test_few_tasks(tmp_path):
    saved_group(tmp_path, "a", [row[:19] for row in TEN])
    assert compare(tmp_path).warnings == ("few tasks: 19; a claim about new tasks needs 20 or more",)


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([4], "seed 4"),
        ([3, 0], "seeds 0 and 3"),
        ([0, 1, 2, 3, 17], "seeds 0 to 3 and 17"),
        ([0, 1, 3, 5, 6, 7], "seeds 0, 1, 3 and 5 to 7"),
        (["b", 1], "seeds b and 1"),
    ],
)
def test_seeds_are_named(seeds, text):
    assert identities(seeds) == text


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
    assert found.startswith("seeds differ between groups ('mlp': seeds 0 to 9, 'b': seeds 1 to 10); paired differences")


def test_learning_curves_of_trials_and_of_episodes_share_no_threshold(tmp_path):
    trial = {"axis": "episodes", "x": [1, 2], "episodes": [0, 10], "agent": "rl2"}
    (found,) = warnings_of(tmp_path, {}, trial)
    assert found == (
        "learning curves differ in scale ('maml': return of an episode, 'rl2': return of a trial); no Ŝ is shown"
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
    assert "tuning is unknown: the options of 'b' are not in the run folders" in compare(tmp_path).warnings
