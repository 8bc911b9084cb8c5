"""`agents.tune`: trials, their scores, and what is written."""

import csv
import json
import math
import re

import numpy as np
import pytest

import agents
from agents.cli.train import parse_train
from agents.core.spec import Spec
from agents.experiment.returns import EvaluationPlan
from agents.tuning import search, training
from agents.tuning.record import Record
from agents.tuning.request import FIRST_HELD_OUT_SEED, FIRST_SEED
from agents.tuning.training import HELD_OUT, SCORES, Protocol, SeededRun
from envs.core.distribution import TaskDistribution
from qrl.common.errors import TrainingError, UsageError
from tests.agents.tuning.conftest import SMALL
from tests.support.killed_training import killed

IN_CONTEXT = SMALL | {
    "env": "bandit", "env_config": {}, "agent": "rl2", "model": "gru", "iterations": 1, "score_every": 0, "tune": None,
    "agent_config": {"meta_batch": 4, "episodes": 2},
}  # fmt: skip


@pytest.fixture
def made_up_scores(monkeypatch):
    """Scores that are known, and no training: minus the distance of the learning rate from 0.01 in decades."""
    calls = []

    def scores(self, tasks, stream):
        rate = self.spec.agent_config.lr_heads
        calls.append((self.spec.seed, rate, self.iteration, tasks, stream))
        return np.full(tasks, -abs(math.log10(rate / 0.01)))

    monkeypatch.setattr(SeededRun, "scores", scores)
    return calls


def test_a_search(folder):
    tuning = agents.tune("found", trials=4, **SMALL)
    assert [trial.number for trial in tuning.trials] == [0, 1, 2, 3]
    assert {trial.state for trial in tuning.trials} == {"complete"}
    assert tuning.trials[0].options == {"agent.lr-heads": 0.02, "agent.clip": 0.2}  # the defaults
    assert all(0.1 <= trial.options["agent.clip"] <= 0.4 for trial in tuning.trials)
    assert len({trial.options["agent.clip"] for trial in tuning.trials}) == 4
    assert tuning.score == max(trial.score for trial in tuning.trials)
    assert all([step for step, _ in trial.scores] == [2, 4] for trial in tuning.trials)
    assert all(trial.scores[-1][1] == trial.score for trial in tuning.trials)
    assert Record.read(tuning.path) == tuning.record
    rows = list(csv.DictReader((tuning.path / "trials.csv").read_text().splitlines()))
    assert [float(row["score"]) for row in rows] == [trial.score for trial in tuning.trials]
    assert [float(row["agent.clip"]) for row in rows] == [trial.options["agent.clip"] for trial in tuning.trials]
    assert sum(tuning.record.importance.values()) == pytest.approx(1)

    best = json.loads(tuning.config.read_text())
    spec, *_ = parse_train(["--config", str(tuning.config)])
    assert spec.to_json() == best["spec"]
    assert {
        name: best["spec"]["agent_config"][name.split(".")[1].replace("-", "_")] for name in tuning.best
    } == tuning.best
    assert spec.seed == 0 and spec.env_config.horizon == 3


def test_no_task_of_another_split_is_drawn(folder, monkeypatch):
    drawn = []
    sample = TaskDistribution.sample

    def spied(self, n, split, rng):
        drawn.append(split)
        return sample(self, n, split, rng)

    for each in TaskDistribution.__subclasses__():
        if "sample" in vars(each):
            monkeypatch.setattr(each, "sample", spied)
    monkeypatch.setattr(TaskDistribution, "sample", spied)
    agents.tune("found", trials=2, **SMALL | {"held_out_seeds": 1})
    assert set(drawn) == {"train"}


def test_streams_are_those_of_no_training_and_no_evaluation():
    def states(plan: EvaluationPlan):
        return {tuple(stream.generate_state(4)) for stream in plan.streams}

    plans = [EvaluationPlan(split="train", stream=stream) for stream in (None, SCORES, HELD_OUT)]
    plans.append(EvaluationPlan(split="train", training_seed=0))
    seen = [states(plan) for plan in plans]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 16


def test_the_same_command_continues_a_search(folder, made_up_scores):
    first = agents.tune("found", trials=2, **SMALL)
    n_calls = len(made_up_scores)
    assert agents.tune("found", trials=2, **SMALL).record == first.record
    assert len(made_up_scores) == n_calls
    more = agents.tune("found", trials=3, **SMALL)
    assert more.trials[:2] == first.trials and len(more.trials) == 3
    whole = agents.tune("whole", trials=3, **SMALL)
    assert more.trials == whole.trials


def test_a_killed_trial_is_continued_and_ends_alike(folder):
    with killed(after=3):
        agents.tune("found", trials=2, **SMALL)
    record = Record.read(folder / "found")
    assert record.trials[0].state == "running"
    steps = []
    step = training.Training.step

    def counted(self):
        steps.append((self.spec.seed, self.iteration))
        return step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "step", counted)
        tuning = agents.tune("found", trials=2, **SMALL)
    assert [iteration for _, iteration in steps] == [3, 0, 1, 2, 3]  # the rest of the first trial, then the second
    assert tuning.trials == agents.tune("whole", trials=2, **SMALL).trials
    states = [
        (folder / name / "trial-0000/seed10000/checkpoint/00000004/state.safetensors").read_bytes()
        for name in ("found", "whole")
    ]
    assert states[0] == states[1]


def test_trials_that_are_worse_are_pruned(folder, made_up_scores, monkeypatch):
    monkeypatch.setattr(search, "STARTUP", 1)
    tuning = agents.tune("found", trials=8, **SMALL | {"tune": ["agent.lr-heads"]})
    pruned = [trial for trial in tuning.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        median = np.median([each.scores[0][1] for each in tuning.trials[: trial.number] if each.state == "complete"])
        assert [step for step, _ in trial.scores] == [2] and trial.scores[0][1] < median and trial.score is None
    assert tuning.score == max(each.score for each in tuning.trials if each.score is not None)


def test_scores_are_means_over_seeds_on_tasks_of_their_own(folder, made_up_scores):
    agents.tune("found", trials=1, **SMALL | {"tune_seeds": 2})
    assert made_up_scores == [
        (seed, 0.02, iteration, 2, SCORES) for iteration in (2, 4) for seed in (FIRST_SEED, FIRST_SEED + 1)
    ]


def test_the_comparison_pairs_tasks_and_seeds(folder, monkeypatch):
    def scores(self, tasks, stream):
        better = self.spec.agent_config.clip != 0.2
        assert (stream == HELD_OUT) == (self.spec.seed >= FIRST_HELD_OUT_SEED)
        return 10 * self.spec.seed + np.arange(tasks) ** 2 + better * (2 + np.arange(tasks) / 10)

    monkeypatch.setattr(SeededRun, "scores", scores)
    tuning = agents.tune("found", trials=2, **SMALL | {"held_out_seeds": 5, "eval_tasks": 3})
    held = tuning.held_out
    assert (held.trial, held.tasks, held.seeds) == (1, 3, tuple(range(20_000, 20_005)))
    assert held.difference == pytest.approx(2.1)
    assert held.best - held.default == pytest.approx(2.1)
    assert held.low == pytest.approx(2.1 - 4.30265 * 0.1 / math.sqrt(3))  # t interval over three tasks; equal seeds
    assert Record.read(folder / "found").held_out == held
    again = agents.tune("found", trials=2, **SMALL | {"held_out_seeds": 5, "eval_tasks": 3})
    assert again.held_out == held


def test_damaged_scores_of_the_comparison_are_computed_again(folder, made_up_scores):
    options = SMALL | {"held_out_seeds": 4, "trials": 1, "tune": ["agent.lr-heads=0.009:0.011"]}
    held = agents.tune("found", **options).held_out
    assert held is not None
    damages = (None, 3, "text", [], [-1.0, 2.0], ["a", "b", "c"], [1.0, True, 2.0], [[1], [2], [3]])
    for file, scores in zip(folder.glob("found/held-out/*/scores.json"), damages, strict=True):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"scores": scores}))
    assert agents.tune("found", **options).held_out == held


def test_no_comparison_of_the_defaults_with_themselves(folder, made_up_scores):
    options = SMALL | {"tune": {"agent.lr-heads": [0.02, 0.2]}, "held_out_seeds": 5}
    tuning = agents.tune("found", trials=2, **options)
    assert tuning.best == {"agent.lr-heads": 0.02} and tuning.held_out is None
    assert not (folder / "found" / "held-out").exists()


def test_a_diverging_trial_is_one_with_bad_options(folder, monkeypatch, capsys):
    step = training.Training.step

    def diverging(self):
        if self.spec.agent_config.clip != 0.2 and self.iteration == 1:
            raise TrainingError("the loss is not finite")
        return step(self)

    monkeypatch.setattr(training.Training, "step", diverging)
    tuning = agents.tune("found", trials=3, **SMALL | {"progress": True})
    assert [trial.state for trial in tuning.trials] == ["complete", "diverged", "diverged"]
    assert tuning.trials[1].reason == "the loss is not finite"
    assert "trial 1 diverged (the loss is not finite); the best so far is trial 0" in capsys.readouterr().err

    monkeypatch.setattr(training.Training, "step", lambda self: step(self) if self.iteration > 9 else _diverge())
    with pytest.raises(TrainingError, match=r"^other: no trial came to its end; trial 0: diverged at once$"):
        agents.tune("other", trials=2, **SMALL)


def _diverge():
    raise TrainingError("diverged at once")


def test_options_that_do_not_go_together_are_refused_one_by_one(folder, made_up_scores):
    options = IN_CONTEXT | {"tune": ["agent.meta-batch=3,6", "agent.trials=1,2"]}
    options["agent_config"] = {"meta_batch": 6, "minibatches": 1}
    tuning = agents.tune("found", trials=16, **options)
    found = {(*trial.options.values(), trial.state) for trial in tuning.trials}
    assert {(3, 1, "complete"), (6, 1, "complete"), (6, 2, "complete"), (3, 2, "refused")} == found
    assert any("meta_batch must be a multiple of trials, 2, not 3" in trial.reason for trial in tuning.trials)


def test_conditional_options(folder, made_up_scores):
    tuning = agents.tune("found", trials=6, **SMALL | {"tune": ["agent.estimator=dice,lvc", "agent.dice-lambda"]})
    for trial in tuning.trials:
        assert ("agent.dice-lambda" in trial.options) == (trial.options["agent.estimator"] == "dice")
    assert {trial.state for trial in tuning.trials} == {"complete"}


def test_defaults_outside_the_ranges_are_no_trial(folder, made_up_scores):
    tuning = agents.tune("found", trials=1, **SMALL | {"tune": ["agent.lr-heads=0.1:0.2"]})
    assert 0.1 <= tuning.trials[0].options["agent.lr-heads"] <= 0.2
    assert tuning.record.defaults == {"agent.lr-heads": 0.02}


def test_agents_that_do_not_learn_can_be_tuned(folder):
    options = SMALL | {"agent": "scratch", "agent_config": {"episodes": 3}, "tune": None}
    tuning = agents.tune("found", trials=2, **options)
    assert (tuning.record.spec["agent"], tuning.record.spec["model"]) == ("scratch", "mlp")
    assert {name for trial in tuning.trials for name in trial.options} >= {"agent.inner-step-size"}
    assert {trial.state for trial in tuning.trials} == {"complete"}


def test_in_context_agents(folder):
    tuning = agents.tune("found", trials=1, **IN_CONTEXT)
    assert tuning.trials[0].state == "complete"


def test_several_searches_in_one_storage(folder, made_up_scores):
    for model in ("mlp", "fourier"):
        agents.tune(f"of-{model}", trials=1, storage="journal:all.log", **SMALL | {"model": model})
    assert not (folder / "of-mlp/trials.log").exists()
    with pytest.raises(
        UsageError, match=r"holds a search with other options \(spec.iterations 4, now 5\): give another --storage$"
    ):
        agents.tune("else", trials=1, storage="journal:all.log", **SMALL | {"iterations": 5})
    assert not (folder / "else").exists()


def test_scores_at_each_rung():
    protocol = Protocol(seeds=(1,), tasks=2, score_every=4)
    assert [protocol.rungs(n) for n in (10, 8, 4, 3)] == [[4, 8, 10], [4, 8], [4], [3]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials must be at least 1, not 0"),
        ({"tune_tasks": 1}, "--tune-tasks must be at least 2, not 1"),
        ({"tune": ["agent.episodes"]}, "this option has no range of its own"),
        ({"tune": "agent.clip"}, "tune: expected a list of options"),
        ({"tune": {"agent.clip": 0.1}}, "tune: agent.clip: expected a list of choices, found 0.1"),
        ({"tune": []}, "--tune: expected at least one option, found none"),
        ({"env": 3}, "env: 3 is no name"),
        ({"overwrite": True}, "--overwrite is no option of a search"),
        ({"storage": "x.log"}, "did you mean journal:x.log?"),
        ({"agent": "maml", "model": "gru"}, "gru"),
        ({"seed": -1}, "seed"),
        ({"iterations": 0}, "iterations must be at least 1"),
    ],
)
def test_bad_arguments(folder, unchecked, changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        agents.tune("found", **{"trials": 1, **SMALL, **changes})
    assert not list(folder.iterdir())


def test_a_folder_of_something_else(folder, made_up_scores):
    (folder / "found").mkdir()
    (folder / "found/notes.txt").touch()
    with pytest.raises(UsageError, match=r"^found is no folder of a search and holds 'notes.txt': give another --out$"):
        agents.tune("found", trials=1, **SMALL)
    (folder / "file").touch()
    with pytest.raises(UsageError, match=r"^file exists and is not a folder"):
        agents.tune("file", trials=1, **SMALL)


def test_a_folder_has_one_search(folder, made_up_scores):
    agents.tune("found", trials=1, **SMALL)
    agents.tune(folder / "found", trials=1, storage=f"journal:{folder / 'found/trials.log'}", **SMALL)  # the same
    before = sorted(folder.rglob("*"))
    for changes in ({"model": "fourier"}, {"storage": "journal:x.log"}, {"storage": "sqlite:///x.db"}):
        message = (
            "is the folder of another search, navigation-maml-mlp in journal:.*found/trials.log: give another --out$"
        )
        with pytest.raises(UsageError, match=message):
            agents.tune("found", trials=1, **SMALL | changes)
    assert sorted(folder.rglob("*")) == before


def test_an_edited_record_and_how_to_go_on(folder, made_up_scores):
    tuning = agents.tune("found", trials=1, **SMALL)
    file = folder / "found/search.json"
    file.write_text(file.read_text().replace("complete", "pruned"))
    with pytest.raises(UsageError, match="delete it and start the search again"):
        agents.tune("found", trials=1, **SMALL)
    file.unlink()
    assert agents.tune("found", trials=1, **SMALL).record == tuning.record


def test_specs_of_trainings(folder, made_up_scores):
    agents.tune("found", trials=1, **SMALL)
    spec = Spec.from_json(json.loads((folder / "found/trial-0000/seed10000/config.json").read_text())["spec"])
    assert (spec.seed, spec.threads, spec.agent_config.lr_heads) == (FIRST_SEED, 1, 0.02)
