"""The statistics of the comparison with controls, by hand."""

import dataclasses
import shutil

import pytest

from agents.cli.evaluate import run_evaluation
from agents.cli.options import EvaluateOptions
from benchmarks import controls
from benchmarks.shared import common
from benchmarks.shared import runs as benchmark_runs
from benchmarks.shared.runs import Job, finished, publish, train
from benchmarks.shared.statistics import differences, t_interval
from qrl.common.files import from_json


def rows(*means):
    return [{"evaluation": {"x": [0, 1], "mean": [0.0, mean]}} for mean in means]


def test_t_intervals_are_students():
    # Mean 2, standard deviation 1, three numbers: t(0.975, 2) = 4.302653 times 1 / sqrt(3).
    found = t_interval([1.0, 2.0, 3.0])
    assert found["mean"] == 2 and found["high"] - 2 == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert found["low"] == pytest.approx(2 - 4.302653 / 3**0.5, rel=1e-6)
    assert t_interval([5.0, 5.0])["low"] is None  # the same episodes, not two seeds
    assert t_interval([5.0]) == {"mean": 5.0, "low": None, "high": None}


def test_differences_are_paired_by_seed():
    """Seeds differ widely but the controls by 1 in every seed: the paired interval is narrow."""
    found = differences(rows(11.0, 21.0, 31.01), rows(10.0, 20.0, 30.0))[1]
    assert found["mean"] == pytest.approx(1.0, abs=0.01) and found["high"] - found["low"] < 0.1


def test_target_is_for_quantum_policies_of_at_most_100_parameters():
    def row(value, size):
        return {"seeds": [{"n_policy_parameters": size}], "over_seeds": [{"mean": value}] * 4}

    found = controls.targets(
        "navigation",
        {
            "maml reuploading": row(-12.0, 64),
            "maml unentangled": row(-11.0, 64),
            "maml strongly_entangling": row(-5.0, 101),
            "maml mlp": row(-4.0, 59),
        },
    )
    assert found["after 1"] == {"least": -11.7, "best": "maml unentangled", "mean": -11.0, "pass": True}
    assert found["after 3"]["pass"] is False


def test_controls_differ_from_the_reference_only_as_named():
    reference = controls.CONTROLS[controls.REFERENCE].spec("navigation", 0, {}, quick=False)
    for name, control in controls.CONTROLS.items():
        spec = control.spec("navigation", 0, {}, quick=False)
        assert name.startswith(spec.agent) and (spec.model in name or spec.agent == "random")
        iterations = int(name.rpartition(" ")[2]) if name[-1].isdigit() and control.like else reference.iterations
        assert (spec.seed, spec.iterations, spec.env_config) == (0, iterations, reference.env_config)
        assert set(control.learning) == ({"entropy_bonus"} if "explores" in name else set())
        for option, value in {**vars(reference.agent_config), **control.learning}.items():
            if spec.agent in ("maml", "finetune") and hasattr(spec.agent_config, option):
                assert getattr(spec.agent_config, option) == value, (name, option)


@pytest.mark.slow
def test_only_fully_trained_and_evaluated_runs_count_as_finished(tmp_path):
    spec = controls.CONTROLS["maml mlp"].spec("navigation", 0, {}, quick=True)
    spec = dataclasses.replace(spec, iterations=3, checkpoint_every=1, eval_episodes=2)
    job = Job("navigation", "maml mlp", 0, spec, tmp_path / "run", "tests")
    train(job, overwrite=False)
    assert finished(job)
    whole = (job.folder / "evaluation.json").read_bytes()

    run_evaluation(EvaluateOptions(run=job.folder, tasks=2))
    assert not finished(job), "an evaluation on other tasks is in its place"
    train(job, overwrite=False)
    assert finished(job) and (job.folder / "evaluation.json").read_bytes() == whole

    shutil.rmtree(job.folder / "checkpoint" / "00000003")
    assert not finished(job), "its last iteration is missing"
    train(job, overwrite=False)
    assert finished(job) and (job.folder / "evaluation.json").read_bytes() == whole


def test_remeasuring_one_part_keeps_the_others(tmp_path, monkeypatch):
    results, runs = tmp_path / "benchmarks" / "results", tmp_path / "runs"
    for module in (common, benchmark_runs):
        monkeypatch.setattr(module, "RESULTS", results)
        monkeypatch.setattr(module, "RUNS", runs)
    drawn = []

    def measured(draft=False, **parts):
        publish("some", parts, ("a", "b", "c"), lambda every, path: drawn.append((list(every), path)), draft=draft)

    measured(c=3, b=2)
    measured(a=1, b=20)
    assert from_json(results / "some.json")["results"] == {"a": 1, "b": 20, "c": 3}
    assert drawn == [(["b", "c"], tmp_path / "docs" / "some.png"), (["a", "b", "c"], tmp_path / "docs" / "some.png")]
    measured(a=100, draft=True)
    assert from_json(results / "some.json")["results"]["a"] == 1
    assert from_json(runs / "some.json")["results"] == {"a": 100}
    assert drawn[-1] == (["a"], runs / "some.png")
