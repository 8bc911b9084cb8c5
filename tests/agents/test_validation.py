"""Validation while training: the run is unchanged, the best checkpoint is kept, patience ends the run."""

import dataclasses
import json
import os
import random
import signal
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch

import agents
from agents import maml, reinforce, rl2
from agents.core.spec import Spec
from agents.experiment import validation
from agents.experiment.evaluation import curve_of
from agents.experiment.loop import Training
from agents.experiment.resume import run_resume
from agents.experiment.start import run_training
from agents.runs.folder import RunFolder
from agents.runs.metrics import Metrics
from agents.runs.validation import best_iteration, has_stopped
from envs.core.registry import ENVS
from qrl.common.errors import TrainingError, UsageError
from qrl.models import MODELS
from tests.support.killed_training import Killed, killed
from tests.support.maml_training import spec, training
from tests.support.run_folders import contents

pytestmark = pytest.mark.usefixtures("no_pictures")

TINY = MODELS.load("reuploading").Config(n_wires=2, n_layers=1)
FAST = maml.Config(meta_batch=2, episodes=2, epochs=1, inner_steps=1)


def small(**fields) -> Spec:
    """Eight short iterations; validations at 2, 4, 6 and 8; checkpoints at 3, 6 and 8."""
    steps = {"iterations": 8, "checkpoint_every": 3, "validate_every": 2, "validate_tasks": 3}
    place = dataclasses.replace(ENVS.load(fields.get("env", "navigation")).Config(), horizon=4)
    return spec(**{"model_config": TINY, "agent_config": FAST, "env_config": place, **steps, **fields})


def run(path, **fields) -> agents.Run:
    return run_training(small(**fields), path, quiet=True)


def quick(path, **fields) -> agents.Run:
    """Train REINFORCE for milliseconds an iteration."""
    config = reinforce.Config(meta_batch=2, episodes=2)
    small_net = MODELS.load("mlp").Config(hidden=(3,))
    place = ENVS.load("navigation").Config(horizon=4)
    return run(
        path, env_config=place, agent="reinforce", agent_config=config, model="mlp", model_config=small_net, **fields
    )


def meta(path) -> dict:
    """JSON part of a checkpoint without the wall-clock time."""
    content = json.loads((path / "state.json").read_text())["meta"]
    return {name: value for name, value in content.items() if name != "seconds"}


def assert_equal_runs(one, other, *, validated: bool) -> None:
    folders = ("checkpoint", "best") if validated else ("checkpoint",)
    for folder in folders:
        names = sorted(path.name for path in (one / folder).iterdir())
        assert names == sorted(path.name for path in (other / folder).iterdir())
        for name in names:
            tensors = [each / folder / name / "state.safetensors" for each in (one, other)]
            assert tensors[0].read_bytes() == tensors[1].read_bytes()
            assert meta(one / folder / name) == meta(other / folder / name)
    for name in ("metrics.jsonl", "evaluation.json", *(["validation.jsonl"] if validated else [])):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def rl2_spec() -> dict:
    config = dataclasses.replace(rl2.Config(), meta_batch=6, minibatches=1, episodes=3)
    return {"env": "bandit", "env_config": ENVS.load("bandit").Config(), "agent": "rl2", "model": "gru",
            "agent_config": config, "model_config": None}  # fmt: skip


CARTPOLE = {"env": "cartpole", "policy": {"normalisation": "running"}}
KINDS = {
    "maml": dict,
    "running normalisation": lambda: CARTPOLE,
    "shots": lambda: {"shots": 20, "noise": ("depolarizing=0.02",)},
    "rl2": rl2_spec,
    "pool": lambda: {
        "env": "CartPole-v1",
        "env_config": dataclasses.replace(
            ENVS.load("CartPole-v1").Config(), vary=("gravity=5:15",), horizon=5, workers=2
        ),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_validation_changes_no_bit_of_the_run(tmp_path, kind):
    fields = KINDS[kind]()
    run(tmp_path / "with", **fields)
    run(tmp_path / "without", **fields, validate_every=0)
    assert_equal_runs(tmp_path / "with", tmp_path / "without", validated=False)
    rows = RunFolder.open(tmp_path / "with").validation.rows()
    assert [row["iteration"] for row in rows] == [2, 4, 6, 8]
    assert not RunFolder.open(tmp_path / "without").validation.rows()


def test_rows_are_those_of_an_evaluation_on_validation_tasks(tmp_path):
    run(tmp_path / "run")
    last = agents.load(tmp_path / "run")
    curve = last.evaluate(tasks=3, split="validation")
    row = last.validations()[-1]
    assert row["mean"] == curve.mean and row["ci_low"] == curve.ci_low and row["x"] == [0, 1]
    assert row["score"] == curve.mean[-1]
    assert row["env_steps"] == last.metrics()[-1]["env_steps"]


@pytest.mark.usefixtures("unchecked")  # the type checks draw from Python's generator
def test_global_generators_are_restored():
    def states():
        _, numbers, position, *_ = np.random.get_state()
        return random.getstate(), (numbers.tolist(), position), torch.get_rng_state().tolist()

    made = training()
    before = states()
    with validation.undisturbed(made):
        random.random(), np.random.random(), torch.rand(1)
        assert all(now != then for now, then in zip(states(), before, strict=True))
    assert states() == before


@pytest.mark.parametrize(
    ("scores", "best", "stops"),
    [
        ({}, None, False),
        ({2: 1.0}, 2, False),
        ({2: 1.0, 4: 1.0, 6: 0.5}, 2, True),  # a tie is no improvement
        ({2: 1.0, 4: 0.0, 6: 1.5}, 6, False),
        ({2: 1.0, 4: 2.0, 6: 1.5}, 4, False),
        ({2: 1.0, 4: 2.0, 6: 1.5, 8: -3.0, 10: 0.0}, 4, True),
    ],
)
def test_best_iteration_and_patience_by_hand(scores, best, stops):
    assert best_iteration(scores) == best
    assert has_stopped(scores, 2) is stops
    assert not has_stopped(scores, 0)


@pytest.fixture
def planned(monkeypatch):
    return plan_scores(monkeypatch)


def plan_scores(monkeypatch) -> list[float]:
    """Scores of the validations after iterations 2, 4, 6, ... in place of measured ones."""
    scores = [1.0, 3.0, 2.0, 2.5, 9.0]

    def curve(*arguments, **options):
        made = curve_of(*arguments, **options)
        return dataclasses.replace(made, mean=[0.0, planned_score()])

    def planned_score() -> float:
        return scores[current[0].iteration // 2 - 1]

    current: list[Training] = []
    step = Training.step

    def remembered(self):
        current[:] = [self]
        return step(self)

    monkeypatch.setattr(Training, "step", remembered)
    monkeypatch.setattr(validation, "curve_of", curve)
    return scores


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Runs that ended after iteration 8, at their patience of 2, by their planned iterations: to be read only."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch:
        plan_scores(patch)
        patch.setattr("agents.experiment.report.draw", lambda *_: b"")
        for iterations in (8, 12, 20):
            quick(folder / str(iterations), iterations=iterations, patience=2)
    return {iterations: folder / str(iterations) for iterations in (8, 12, 20)}


def test_patience_ends_the_run_and_the_best_checkpoint_is_kept(tmp_path, planned, capsys):
    path = tmp_path / "run"
    trained = run(path, iterations=20, patience=2)
    assert trained.iteration == 8 and trained.evaluate(tasks=3, episodes=2).iteration == 8
    folder = RunFolder.open(path)
    assert [row["score"] for row in folder.validation.rows()] == planned[:4]
    assert folder.ended_early(8) and not folder.ended_early(6)
    best = agents.load(path, checkpoint="best")
    assert best.iteration == 4 and best.folder.best.iterations() == [4]
    assert json.loads((path / "evaluation.json").read_text())["iteration"] == 8
    capsys.readouterr()
    again = run_resume(path, quiet=True)
    assert again.iteration == 8
    end = f"{path} ended after iteration 8 of 20: the patience of 2 validations was exhausted"
    assert f"note: {end}; --patience 0, or a larger one, continues\n" in capsys.readouterr().err


def test_end_by_patience_names_the_best_iteration(tmp_path, planned, capsys):
    run_training(small(iterations=20, patience=2), tmp_path / "run")
    ended = "ended after iteration 8: 2 validations in a row without a better score; the best is that of iteration 4"
    assert ended in capsys.readouterr().err


@pytest.mark.parametrize(
    ("iterations", "changes", "message"),
    [
        (20, {"agent_config.lr_heads": 0.5}, "a change of agent_config.lr_heads would train nothing; --patience 0, or"),
        (
            20,
            {"agent_config.lr_heads": 0.5, "iterations": 30},
            "would train nothing; --patience 0, or a larger one",
        ),
        (
            20,
            {"iterations": 30},
            "a change of iterations would train nothing; --patience 0, or a larger",
        ),
        (20, {"patience": 1}, "a change of patience would train nothing; --patience 0, or a larger one, continues"),
        (20, {"agent_config.lr_heads": 0.5, "iterations": 8}, "continues, beyond 8, with --patience 0, or a larger on"),
        (8, {"agent_config.lr_heads": 0.5}, "would train nothing; --iterations N continues, beyond 8, with --patience"),
        (
            8,
            {"patience": 0},
            "is trained to its end, iteration 8: a change of patience would train nothing; --",
        ),
        (8, {"validate_every": 3}, "a change of validate_every would train nothing"),
    ],
)
def test_change_that_would_train_nothing_is_refused(ended, iterations, changes, message):
    """The run ends after iteration 8: at its patience of 2, in some cases also at its last iteration."""
    before = contents(ended[iterations])
    with pytest.raises(UsageError) as refused:
        run_resume(ended[iterations], changes=changes, quiet=True)
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert contents(ended[iterations]) == before


def test_changes_that_end_or_continue_a_run_are_made(tmp_path, planned):
    path = tmp_path / "run"
    quick(path, iterations=20, patience=2)
    larger = run_resume(path, changes={"agent_config.lr_heads": 0.5, "patience": 0}, iterations=9, quiet=True)
    assert larger.iteration == 9 and larger.spec.agent_config.lr_heads == 0.5
    with killed(after=9):
        run_resume(path, iterations=12, quiet=True)
    assert run_resume(path, changes={"patience": 1}, iterations=9, quiet=True).spec.iterations == 9


def test_best_checkpoint_holds_the_weights_of_its_iteration(tmp_path, planned):
    run(tmp_path / "run", iterations=8)
    whole = agents.load(tmp_path / "run", checkpoint="best")
    short = run(tmp_path / "short", iterations=8, checkpoint_every=4)  # two checkpoints: 4 and 8
    saved = short.folder.checkpoints._load(4)[0]
    for name, value in whole.agent.state_dict().items():
        assert torch.equal(value, saved[name])


MOMENTS = [
    (Training, "save_best", 4), (Metrics, "append", 4), (RunFolder, "save", 3), (RunFolder, "save", 6),
    (RunFolder, "save", 8), (RunFolder, "_drop_surplus_best", 6),
]  # fmt: skip


@contextmanager
def nothing_is_saved(*_):
    """A kill in place of an exception."""
    yield


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name", "iteration"), MOMENTS)
def test_killed_run_ends_in_the_same_bits(tmp_path, ended, planned, owner, name, iteration, when):
    original = getattr(owner, name)

    def stopped(self, *arguments):
        now = arguments[0] if owner is RunFolder and arguments else current[0].iteration
        is_moment = now == iteration and (owner is not Metrics or self.path.name == "validation.jsonl")
        if is_moment and when == "before":
            raise Killed
        original(self, *arguments)
        if is_moment:
            raise Killed

    current: list[Training] = []
    step = Training.step
    remember = lambda self: (current.__setitem__(slice(None), [self]), step(self))[1]  # noqa: E731
    with (
        mock.patch.object(owner, name, stopped),
        mock.patch.object(Training, "step", remember),
        mock.patch("agents.experiment.training._saved_before_errors", nothing_is_saved),
        pytest.raises(Killed),
    ):
        quick(tmp_path / "killed", iterations=12, patience=2)
    run_resume(tmp_path / "killed", quiet=True)
    assert_equal_runs(ended[12], tmp_path / "killed", validated=True)


def test_signal_postpones_a_validation_to_the_resume(tmp_path):
    run(tmp_path / "whole")
    step = Training.step

    def signalled(self):
        row = step(self)
        if self.iteration == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return row

    with mock.patch.object(Training, "step", signalled), pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")
    folder = RunFolder.open(tmp_path / "stopped")
    assert [row["iteration"] for row in folder.validation.rows()] == [2]
    assert folder.checkpoints.iterations() == [3, 4]
    run_resume(tmp_path / "stopped", quiet=True)
    for name in ("validation.jsonl", "metrics.jsonl", "evaluation.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_failing_validation_ends_the_run_after_a_checkpoint(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise TrainingError("the policy diverged")

    monkeypatch.setattr(validation, "curve_of", failing)
    with pytest.raises(TrainingError, match=r"^validation after iteration 2: the policy diverged$"):
        run(tmp_path / "run")
    assert RunFolder.open(tmp_path / "run").checkpoints.iterations() == [2]


def test_damaged_rows_are_dropped_and_the_last_one_is_repeated(tmp_path, capsys):
    run(tmp_path / "run")
    file = tmp_path / "run" / "validation.jsonl"
    whole = file.read_text()
    file.write_text(whole.replace('{"iteration": 8', '{"iteration: 8'))
    run_resume(tmp_path / "run", quiet=True)
    assert "line 4 is damaged, dropped" in capsys.readouterr().err
    assert file.read_text() == whole


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patience": 2, "validate_every": 0}, "patience 2 needs validations: give validate-every"),
        ({"validate_every": -1}, "validate-every must be at least 0, not -1"),
        ({"validate_tasks": 1}, "validate-tasks must be at least 2, not 1"),
        ({"patience": -1}, "patience must be at least 0, not -1"),
    ],
)
def test_invalid_options(fields, message):
    with pytest.raises(UsageError, match=message):
        small(**fields)


@pytest.mark.usefixtures("unchecked")
def test_run_without_validation_has_no_best_checkpoint(tmp_path):
    run(tmp_path / "run", iterations=1, validate_every=0)
    with pytest.raises(UsageError, match="no best checkpoint: --validate-every N in training keeps one"):
        agents.load(tmp_path / "run", checkpoint="best")
    with pytest.raises(UsageError, match="unknown checkpoint 'bets'; did you mean 'best'"):
        agents.load(tmp_path / "run", checkpoint="bets")


def test_finite_family_is_told(tmp_path, capsys):
    config = ENVS.load("gridworld").Config()
    run(tmp_path / "run", env="gridworld", env_config=config, iterations=1)
    assert "note: gridworld has 17 different tasks in all: validation tasks are train tasks" in capsys.readouterr().err
