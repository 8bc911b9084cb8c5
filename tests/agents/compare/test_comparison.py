"""Comparison of run folders: numbers worked out by hand through the whole path."""

import json
import math

import pytest

import agents
from agents.compare.api import compare
from agents.runs.seal import STUDY, sealed, write_sealed
from agents.study.study import Study
from qrl.common.errors import UsageError
from tests.support.compared_runs import HIGHER, POLICY, STAIRS, curve_of, saved_group, saved_run, section_of


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
    assert any(
        "seeds differ between groups ('mlp': seeds 0 to 4, 'b': seeds 3, 4 and 17)" in text for text in section.warnings
    )
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
    assert section.finding == (
        "mean returns after 1 gradient step: quantum 3.50, mlp 2.50; a difference needs 5 common seeds"
    )


def test_profile_by_hand(study):
    profile = section_of(study).groups[0].profile
    # Thresholds go from below the smallest return of any group, 0, to the largest, 7; 9 of 10 scores exceed 0, none 7.
    assert profile.thresholds[:2] == pytest.approx((-0.07, 0)) and profile.thresholds[-1] == 7
    assert len(profile.thresholds) == 102
    assert [profile.shares[i].value for i in (0, 1, -1)] == [1, pytest.approx(0.9), 0]
    # 3.5 is exceeded by 4 4 5 6.
    assert profile.shares[51].value == pytest.approx(0.4)


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


def test_a_group_alone_has_no_threshold_but_a_given_one(tmp_path):
    saved_group(tmp_path, "a", STAIRS, returns=(1.0, 4.0, 5.0))
    (group,) = section_of(tmp_path).groups
    assert group.sample_complexity is None
    assert "no threshold but its own end: give --threshold" in compare(tmp_path).table()
    # Returns 1 4 5 after 100, 200 and 300 steps: 3 is exceeded from the second point on, 4 from the third on.
    for threshold, steps in ((3.0, 100), (4.0, 200), (5.0, math.inf)):
        comparison = compare(tmp_path, threshold=threshold)
        assert comparison.sections[0].groups[0].sample_complexity.value == steps
        assert f"Threshold: a return of {threshold:.2f}, as given" in comparison.table()
    assert comparison.options == ("--threshold", "5.0")
    saved_group(tmp_path, "b", STAIRS, references={"oracle": [0.0, 6.0]}, model="b", returns=())
    assert section_of(tmp_path).target.threshold == 5.5  # from 1 to the optimum, although one group alone is trained


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


def test_json_holds_everything_and_is_strict(study, tmp_path):
    comparison = agents.compare(study)
    comparison.save(tmp_path / "all.json")
    content = json.loads((tmp_path / "all.json").read_text(), parse_constant=pytest.fail)
    assert (content["format"], content["version"]) == ("qrl-comparison", 1)
    group = content["sections"][0]["groups"][0]
    assert group["sample_complexity"] == {"value": "inf", "low": "inf", "high": "inf"}
    assert group["at"]["mean"]["value"] == 3 and group["members"][0]["seed"] == 0
    assert content["warnings"] == list(comparison.warnings)


def test_the_study_that_a_sweep_returns_is_compared(tmp_path):
    runs = {path.name: [] for name in ("a", "b") for path in saved_group(tmp_path, name, STAIRS, model=name)}
    write_sealed(tmp_path, sealed({"runs": runs}, STUDY), STUDY)
    whole = agents.compare(Study(tmp_path, tuple(runs)))
    assert (whole.studies, whole.paths, len(whole.sections[0].groups)) == ((tmp_path,), (tmp_path,), 2)
    part = Study(tmp_path, tuple(name for name in runs if name.startswith("b")))
    assert [group.model for group in agents.compare(part).sections[0].groups] == ["b"]
    assert agents.compare(part).paths == part.paths == agents.compare(part.paths).paths


def test_only_paths_are_compared(unchecked):
    for nothing in (3, None, [3], {"a": 1}):
        with pytest.raises(UsageError, match="expected the paths of run folders or studies, found"):
            compare(nothing)
    with pytest.raises(UsageError, match="give at least one run folder or study"):
        compare([])


@pytest.mark.parametrize("seed", [[0], "0", -1, None])
def test_seed_that_is_none_is_refused(tmp_path, seed):
    saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 2.0]], config={"spec": {"seed": seed}})
    with pytest.raises(UsageError, match=r"run/config.json: seed"):
        compare(tmp_path / "run")
