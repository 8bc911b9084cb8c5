"""Comparison of run folders: groups, and numbers worked out by hand through the whole path."""

import json
import math

import pytest

import agents
from agents.compare.api import compare
from agents.compare.groups import differing_options
from qrl.common.errors import UsageError
from tests.support.compared_runs import curve_of, saved_group, saved_run

STAIRS = [[s, s + 2.0] for s in range(5)]
"""Returns [seed][task]: mean 3, sorted 0 1 2 2 3 3 4 4 5 6."""
HIGHER = [[a + 1, b + 1] for a, b in STAIRS]


@pytest.fixture
def study(tmp_path):
    saved_group(tmp_path, "a", STAIRS, model="mlp", policy={**POLICY, "n_parameters": 10})
    saved_group(tmp_path, "b", HIGHER, model="quantum", policy=POLICY, returns=(1.0, 9.0, 5.0))
    return tmp_path


CIRCUITS = [{"count": 2, "n_wires": 4, "depth": 7}]
POLICY = {"n_parameters": 30, "groups": {"angles": 30}, "circuits": CIRCUITS, "n_projected": 0, "engine": "torch"}


def section_of(*arguments, **options):
    (section,) = compare(*arguments, **options).sections
    return section


# --- groups -----------------------------------------------------------------------------------------------------------


def test_runs_that_differ_only_in_their_seed_are_one_group(study):
    section = section_of(study)
    assert [(group.label, group.n_seeds, group.seeds) for group in section.groups] == [
        ("mlp", 5, (0, 1, 2, 3, 4)),
        ("quantum", 5, (0, 1, 2, 3, 4)),
    ]
    assert section.reference == "mlp" and section.differing == ("model",)


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ({"options": {"inner_steps": 1}}, {"options": {"inner_steps": 2}}, ["inner-steps 1", "inner-steps 2"]),
        ({"agent": "maml"}, {"agent": "reptile"}, ["maml", "reptile"]),
        ({"agent": "maml"}, {"agent": "random", "model": ""}, ["maml, mlp", "random"]),
        ({"iteration": 3}, {"iteration": 5}, ["iterations 3", "iterations 5"]),
        ({"options": {"a": 1, "b": 1, "c": 1, "d": 1}}, {}, ["one", "two"]),
    ],
)
def test_labels_name_what_differs(tmp_path, first, second, labels):
    saved_group(tmp_path, "one", [[1.0, 2.0]], **first)
    saved_group(tmp_path, "two", [[1.0, 2.0]], **second)
    assert [group.label for group in section_of(tmp_path).groups] == labels


def test_one_configuration_is_labelled_with_agent_and_model(tmp_path):
    (group,) = section_of(saved_group(tmp_path, "one", STAIRS)).groups
    assert group.label == "maml, mlp"
    assert (group.difference, group.improvement, section_of(tmp_path).reference) == (None, None, "")


def test_seeds_that_end_early_by_their_patience_are_one_group(tmp_path):
    spec = {"spec": {"iterations": 9, "patience": 2}}
    for seed in (0, 1):
        saved_run(tmp_path / f"a{seed}", seed, [[0.0, 1.0], [0.0, 2.0]], iteration=5 + seed, config=spec)
    (group,) = section_of(tmp_path).groups
    assert group.n_seeds == 2 and group.options["iterations"] == 9


def start(path, checkpoint="last"):
    """Configuration of a run that starts from the weights of another."""
    origin = {"path": path, "checkpoint": checkpoint, "run": "a", "iteration": 3, "weights": "b"}
    return {"start_from": origin}


def test_runs_that_start_from_other_weights_are_other_groups(tmp_path):
    for name, config in (
        ("a", {}),
        ("b", start("/runs/first-seed1")),
        ("c", start("/runs/first-seed1", "best")),
        ("d", start("/runs/second")),
    ):
        saved_run(tmp_path / name, 0, [[0.0, 1.0], [0.0, 2.0]], config=config)
    # A seed that starts from another seed of one study is of the same configuration.
    saved_run(tmp_path / "e", 1, [[0.0, 1.0], [0.0, 2.0]], config=start("/runs/first-seed2"))
    section = section_of(tmp_path)
    assert [group.options.get("from") for group in section.groups] == [
        *(None, "/runs/first", "/runs/first/best", "/runs/second")
    ]
    assert [group.seeds for group in section.groups] == [(0,), (0, 1), (0,), (0,)] and section.differing == ("from",)
    assert [group.label for group in section.groups[:2]] == ["maml, mlp", "from /runs/first"]
    saved_run(tmp_path / "f", 0, [[0.0, 1.0], [0.0, 2.0]], config={"start_from": {"path": 3}})
    with pytest.raises(UsageError, match=r"f/config.json: start_from"):
        compare(tmp_path)


def test_a_learning_rate_that_a_resume_has_changed_is_another_configuration(tmp_path):
    history = [{"iteration": 2, "changed": {"agent_config.lr_heads": {"from": 0.1, "to": 0.5}}}]
    longer = [{"iteration": 2, "changed": {"iterations": {"from": 2, "to": 3}}}]
    for seed, kept in enumerate(([], history, longer)):
        config = {"history": kept} if kept else {}
        saved_run(tmp_path / f"{seed}", seed, [[0.0, 1.0], [0.0, 2.0]], options={"lr_heads": 0.5}, config=config)
    groups = section_of(tmp_path).groups
    assert [group.seeds for group in groups] == [(0, 2), (1,)]
    assert groups[1].options["agent.lr-heads before"] == "0.1 until iteration 2"


def test_an_option_that_a_group_lacks_differs():
    assert differing_options([{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "c": None}]) == ["b"]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_mean_iqm_and_worst_decile_by_hand(study):
    first, second = section_of(study).groups
    assert first.first.mean.value == 0 and first.at.mean.value == 3
    # Ten scores: two go at each end; 2 2 3 3 4 4 stay.
    assert first.at.iqm.value == 3 and second.at.iqm.value == 4
    # With two tasks, the worst tenth is the worse task of each seed: 0 1 2 3 4.
    assert first.at.worst_decile == 2
    assert first.at.per_task == (2, 4)
    # Effects of seeds alone vary, with variance 2.5: a t-interval with four degrees of freedom, and the tasks' spread.
    assert first.at.mean.low is not None and first.at.mean.low < 3 - 2.776 * math.sqrt(2.5 / 5) + 1e-9
    assert [mean.value for mean in first.means] == [0, 3]


def test_difference_and_improvement_by_enumeration(study):
    first, second = section_of(study).groups
    assert first.difference is None and first.improvement is None
    assert (second.difference.value, second.difference.low, second.difference.high) == (1, 1, 1)
    # Each task: s + 1 against s'; of 25 pairs, 15 are greater and 4 are equal.
    assert second.improvement.value == pytest.approx(17 / 25)
    turned = section_of(study, "quantum").groups
    assert (turned[0].difference.value, turned[0].improvement.value) == (-1, pytest.approx(8 / 25))


def test_differences_are_paired_over_the_seeds_that_both_have(tmp_path):
    saved_group(tmp_path, "a", STAIRS, model="mlp")
    for seed in (17, 3, 4):
        saved_run(tmp_path / f"b-{seed}", seed, [[0.0, seed + 1.0], [0.0, seed + 1.0]], model="b")
    section = section_of(tmp_path)
    # Seed 3: 4 - (3 + 5) / 2 = 0; seed 4: 5 - (4 + 6) / 2 = 0; with seed 17, b would be higher.
    assert section.group("b").difference.value == 0
    assert any("seeds differ between groups (mlp: 5, b: 3)" in text for text in section.warnings)
    saved_group(tmp_path / "other", "c", [[1.0, 2.0]], model="c")
    (tmp_path / "other" / "c-seed0").rename(tmp_path / "c")
    assert section_of([tmp_path / "c", *(tmp_path / f"b-{s}" for s in (3, 17))]).group("b").difference is None


def test_below_five_seeds_there_are_points_without_intervals(tmp_path):
    saved_group(tmp_path, "a", STAIRS[:4], model="mlp")
    saved_group(tmp_path, "b", HIGHER[:4], model="quantum")
    section = section_of(tmp_path)
    estimates = [
        each
        for group in section.groups
        for each in (group.at.mean, group.at.iqm, group.difference, group.improvement, group.sample_complexity)
        if each is not None
    ]
    assert len(estimates) == 8 and all((each.low, each.high) == (None, None) for each in estimates)
    assert all(share.low is None for group in section.groups for share in group.profile.shares)
    assert "the seeds are too few for a claim" in section.finding


def test_profile_by_hand(study):
    profile = section_of(study).groups[0].profile
    # Thresholds go from the smallest return of any group, 0, to the largest, 7; 9 of 10 scores exceed 0, none 7.
    assert (profile.thresholds[0], profile.thresholds[-1], len(profile.thresholds)) == (0, 7, 101)
    assert (profile.shares[0].value, profile.shares[-1].value) == (pytest.approx(0.9), 0)
    # 3.5 is exceeded by 4 4 5 6.
    assert profile.shares[50].value == pytest.approx(0.4)


def test_cost_is_read_from_the_run_folders(tmp_path):
    circuits = {"policy": POLICY}
    saved_group(tmp_path, "a", STAIRS, seconds=2.5, **circuits)
    run = tmp_path / "a-seed0"
    rows = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("".join(row[:-1] + ', "circuits": 50}\n' for row in rows))
    (group,) = section_of(run).groups
    assert (group.n_parameters, group.circuits, group.circuit_runs) == (30, "2 × 4 wires, depth 7", 150)
    assert (group.env_steps, group.seconds) == (300, 2.5)
    damaged = next(run.glob("checkpoint/*/state.json"))
    damaged.write_text(damaged.read_text().replace("2.5", "9.5"))
    (group,) = section_of(run).groups
    assert (group.env_steps, group.seconds) == (300, None)


def test_sample_complexity_by_hand(study):
    first, second = section_of(study, delta=0.8, epsilon=0.25).groups
    target = section_of(study, epsilon=0.25).target
    # Curves 1 2 3 and 1 9 5 of every seed: from the lowest start, 1, to the best end, 5; three quarters: 4.
    assert target.threshold == 4 and "best group's mean at the end of training (5.00)" in target.basis
    assert first.sample_complexity.value == math.inf
    # 9 and 5 exceed 4; the steps up to the first point do not succeed.
    assert (second.sample_complexity.value, second.sample_complexity.low) == (100, 100)
    assert first.learning.env_steps == (100, 200, 300)
    assert [each.value for each in second.learning.mean] == [1, 9, 5]


def test_learning_curves_are_on_validation_tasks_if_all_runs_have_them(study):
    def validate(run):
        rows = [{"iteration": 2, "env_steps": 200, "axis": "gradient_steps", "mean": [0.0, 6.0]}]
        (run / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    runs = sorted(study.iterdir())
    for run in runs[:-1]:
        validate(run)
    assert [each.value for each in section_of(study).groups[0].learning.mean] == [1, 2, 3]
    validate(runs[-1])
    learning = section_of(study).groups[0].learning
    assert learning.validated and learning.env_steps == (200,) and learning.mean[0].value == 6


def test_share_of_the_reference_lines_by_hand(tmp_path):
    trial = {"axis": "episodes", "x": [1, 2], "episodes": [0, 1], "agent": "rl2", "env": "bandit"}
    saved_group(tmp_path, "a", STAIRS, **trial, references={"bayes": [1.0, 7.0], "thompson": [1.0, 2.0]})
    (group,) = section_of(tmp_path).groups
    # Without random actions among the runs, 0 is a return of 0: 3 of 7.
    assert group.share.value == pytest.approx(3 / 7)
    saved_group(tmp_path, "r", [[1.0, 1.0]] * 5, agent="random", model="", returns=(), env="bandit")
    section = section_of(tmp_path)
    assert (section.lines.optimum_name, section.lines.zero_name) == ("bayes", "random")
    mine, random = section.groups
    assert (mine.share.value, random.share.value) == (pytest.approx((3 - 1) / (7 - 1)), 0)
    assert mine.share.high == pytest.approx((mine.at.mean.high - 1) / 6)
    exact = {"bayes": [1.0, 5.0]}
    saved_group(tmp_path / "e", "a", STAIRS, **trial, references={"bayes": [1.0, 7.0]}, exact=exact)
    assert section_of(tmp_path / "e").groups[0].share.value == pytest.approx(3 / 5)


def test_shares_and_thresholds_are_of_one_task_distribution(tmp_path):
    def saved(name, horizon, scores, **changes):
        env = {"config": {"spec": {"env_config": {"horizon": horizon}}}, "env_options": {"horizon": horizon}}
        saved_group(tmp_path, name, scores, **env, **changes)

    saved("a", 10, STAIRS, references={"oracle": [0.0, 6.0]})
    saved("b", 10, HIGHER, model="b", returns=(2.0, 6.0, 6.0))
    saved("c", 99, STAIRS, references={"oracle": [0.0, 60.0]})
    saved("d", 99, STAIRS, model="b", returns=(9.0, 9.0, 9.0))
    section = section_of(tmp_path)
    # The optimum of the tasks is 6; 3 and 4 of it are reached.
    assert [group.share and group.share.value for group in section.groups] == pytest.approx([0.5, 4 / 6, None, None])
    # From the lowest start on these tasks, 1, to 6: a threshold of 5.5.
    assert section.target.threshold == 5.5
    assert [each.sample_complexity and each.sample_complexity.value for each in section.groups] == [
        *(math.inf, 100, None, None)
    ]
    other = section_of(tmp_path, section.groups[2].label)
    assert other.lines.optimum == 60 and other.groups[0].share is None
    assert other.groups[2].share.value == pytest.approx(3 / 60)


def test_other_numbers_of_test_tasks_leave_the_sample_complexity(tmp_path):
    saved_group(tmp_path, "a", STAIRS, references={"oracle": [0.0, 6.0]})
    saved_group(tmp_path, "b", [[*row, 1.0] for row in STAIRS], model="b", returns=(2.0, 6.0, 6.0))
    first, second = section_of(tmp_path).groups
    assert first.share is not None and second.share is None
    assert second.sample_complexity.value == 100


def test_at_chooses_the_place_of_the_comparison(study):
    section = section_of(study, at=0)
    assert [group.at.x for group in section.groups] == [0, 0]
    assert section.groups[1].difference.value == 0
    with pytest.raises(UsageError, match=r"--at: 'mlp' was not evaluated at 7; it was at 0, 1"):
        compare(study, at=7)


def test_best_checkpoints_are_compared_where_they_were_evaluated(tmp_path, unchecked):
    saved_group(tmp_path, "a", STAIRS, config={"spec": {"iterations": 3}})
    with pytest.raises(UsageError, match=r"none of its 5 runs has been evaluated: no evaluation-best\.json"):
        compare(tmp_path, checkpoint="best")
    command = r"a-seed0 has no evaluation-best.json: run.py evaluate .*a-seed0 --split test --checkpoint best$"
    with pytest.raises(UsageError, match=command):
        compare(tmp_path / "a-seed0", checkpoint="best")
    for seed, row in enumerate(STAIRS):
        table = tmp_path / f"a-seed{seed}" / "evaluation-best.json"
        best = curve_of([[0.0, score + 1] for score in row], iteration=1 + seed % 2)
        table.write_text(json.dumps(best.to_json()))
    comparison = compare(tmp_path, checkpoint="best")
    (group,) = comparison.sections[0].groups  # one group, although the best iterations differ
    assert group.at.mean.value == 4 and section_of(tmp_path).groups[0].at.mean.value == 3
    assert comparison.options == ("--checkpoint", "best")
    assert "navigation: 2 test tasks, 5 seeds, best checkpoints" in comparison.table()
    with pytest.raises(UsageError, match=r"'beste'.*best"):
        compare(tmp_path, checkpoint="beste")


def test_the_last_common_place_is_compared(tmp_path):
    saved_run(tmp_path / "a", 0, [[0.0, 1.0], [0.0, 2.0]], model="a")
    saved_run(tmp_path / "b", 0, [[0.0, 1.0, 8.0], [0.0, 2.0, 9.0]], model="b")
    assert [group.at.mean.value for group in section_of(tmp_path).groups] == [1.5, 1.5]


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_finding_claims_no_more_than_the_intervals_allow(study, tmp_path):
    assert section_of(study).finding.endswith("+1.00 [+1.00, +1.00] higher than mlp")
    assert section_of(study, "quantum").finding.endswith("+1.00 [+1.00, +1.00] higher than mlp")
    noisy = tmp_path / "noisy"
    saved_group(noisy, "a", STAIRS, model="mlp")
    saved_group(noisy, "b", [[9.0, 0.0], [0.0, 9.0], [0.0, 0.0], [9.0, 9.0], [2.0, 2.0]], model="b")
    assert "cannot be told from zero" in section_of(noisy).finding


def test_json_holds_everything_and_is_strict(study, tmp_path):
    comparison = agents.compare(study)
    comparison.save(tmp_path / "all.json")
    content = json.loads((tmp_path / "all.json").read_text(), parse_constant=pytest.fail)
    assert (content["format"], content["version"]) == ("qrl-comparison", 1)
    group = content["sections"][0]["groups"][0]
    assert group["sample_complexity"] == {"value": "inf", "low": "inf", "high": "inf"}
    assert group["at"]["mean"]["value"] == 3 and group["members"][0]["seed"] == 0
    assert content["warnings"] == list(comparison.warnings)


def test_environments_of_one_study_have_sections_of_their_own(tmp_path):
    saved_group(tmp_path, "n", STAIRS)
    saved_group(tmp_path, "b", HIGHER, env="bandit", model="quantum")
    comparison = compare(tmp_path)
    assert [section.env for section in comparison.sections] == ["bandit", "navigation"]
    assert all(text.startswith(("bandit: ", "navigation: ")) for text in comparison.warnings)
    with pytest.raises(UsageError, match=r"different environments cannot share a table: navigation .*, bandit "):
        compare([tmp_path / "n-seed0", tmp_path / "b-seed0"])


def test_only_paths_are_compared(unchecked):
    for nothing in (3, None, [3], {"a": 1}):
        with pytest.raises(UsageError, match="expected the paths of run folders or studies, found"):
            compare(nothing)
    with pytest.raises(UsageError, match="give at least one run folder or study"):
        compare([])
