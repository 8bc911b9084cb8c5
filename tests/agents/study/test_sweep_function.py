"""`agents.sweep`: a study from Python."""

from pathlib import Path

import pytest

import agents
from agents.experiment import report
from agents.study import executor as executors
from qrl.common.errors import TrainingError, UsageError
from tests.support.studies import InProcess

SMALL = {
    "iterations": 1, "agent_config": {"meta_batch": 2, "episodes": 3}, "env_config": {"horizon": 5}, "eval_tasks": 2,
    "eval_episodes": 2, "eval_steps": 1}  # fmt: skip


@pytest.fixture
def executor(monkeypatch, tmp_path):
    found = InProcess()
    monkeypatch.setattr(executors, "LocalProcesses", lambda: found)
    monkeypatch.setattr(report, "draw", lambda curves, rows: b"a picture")
    monkeypatch.chdir(tmp_path)
    return found


def test_a_study(executor, capsys):
    variants = {"plain": {}, "slow": {"agent": {"lr_heads": 0.001}}}
    arguments = {"models": ["mlp"], "seeds": [4, 2], "grid": {"agent.clip": [0.1, 0.2]}, "variants": variants, **SMALL}
    study = agents.sweep("study", progress=False, **arguments)
    assert study.names == tuple(
        f"navigation-maml-mlp-{variant}-clip{clip}-seed{seed}"
        for variant in ("plain", "slow")
        for clip in (0.1, 0.2)
        for seed in (4, 2)
    )
    assert study.paths[0] == Path("study", study.names[0])
    runs = study.runs()
    assert [run.spec.seed for run in runs] == [4, 2] * 4
    assert [run.spec.agent_config.lr_heads for run in runs[::4]] == [0.02, 0.001]
    assert [run.spec.agent_config.clip for run in runs[::2]] == [0.1, 0.2] * 2
    assert len(executor.words) == 8
    assert agents.sweep(study.path, progress=False, **arguments) == study
    assert len(executor.words) == 8
    assert "done" not in capsys.readouterr().err


def test_names_of_single_plug_ins(executor):
    study = agents.sweep(envs="navigation", agents="random", seeds=1, eval_tasks=2, eval_episodes=2, progress=False)
    assert study.paths == (Path("studies/navigation-random-reuploading/navigation-random-seed0"),)


def test_single_names_are_those_of_train(executor):
    study = agents.sweep("study", env="navigation", agent="maml", models=["mlp", "fourier"], progress=False, **SMALL)
    assert study.names == ("navigation-maml-mlp-seed0", "navigation-maml-fourier-seed0")
    assert [run.spec.env_config.horizon for run in study.runs()] == [5, 5]
    agents.sweep("study", envs=["navigation"], model="mlp", progress=False, **SMALL)
    assert len(executor.words) == 2  # both runs are there already


def test_failures_are_raised_after_all_runs(executor):
    submit = executor.submit

    def failing(job):
        ended = submit(job)
        if "mlp" in job.words:
            ended.code = 1
        return ended

    executor.submit = failing
    with pytest.raises(
        TrainingError, match=r"^1 of 2 runs failed: failed: navigation-maml-mlp-seed0: started; log: study"
    ):
        agents.sweep("study", models=["mlp", "fourier"], progress=False, **SMALL)
    assert len(executor.words) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"models": [object]},
            r"^models: <class 'object'> is no name: the runs of a sweep are other processes; give a",
        ),
        ({"envs": 3}, "^envs: 3 is no name"),
        ({"env": object()}, "^env: <object object at .*> is no name: the runs of a sweep are other processes; give a"),
        ({"agent": {"clip": 0.1}}, "^agent: {'clip': 0.1} is no name"),
        ({"model": ["mlp"]}, r"^model: expected a single name, found \['mlp'\]: give models$"),
        ({"env": "navigation", "envs": ["navigation"]}, "^env and envs: give one of the two$"),
        ({"env": "navigatoin"}, "did you mean 'navigation'"),
        ({"models": []}, "^models: expected at least one, found none: there would be no runs$"),
        ({"envs": ()}, "^envs: expected at least one, found none: there would be no runs$"),
        ({"agent_config": 3}, "^agent_config: a sweep takes a mapping of options, such as {'horizon': 50}, not 3"),
        ({"iterationz": 3}, "unknown option --iterationz; did you mean --iterations?"),
        ({"backend": object()}, "^options: backend: expected a number, a string, true, false or a list of them, found"),
        ({"grid": {"agent.clip": 1}}, "^grid: agent.clip: expected a list of values, found 1"),
        ({"grid": 3}, "^grid: expected a mapping by the names of options, found 3"),
        ({"variants": {"a": 3}}, "^variants: a: expected a mapping by the names of options, found 3"),
        ({"seeds": None}, "^seeds: expected a number of seeds, such as 10"),
        ({"jobs": 0}, "^jobs must be at least 1, not 0"),
    ],
)
def test_refusals(executor, unchecked, arguments, message):
    with pytest.raises(UsageError, match=message):
        agents.sweep("study", **arguments)
    assert not Path("study").exists()
