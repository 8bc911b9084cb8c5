"""`run.py select`: which algorithms are evaluated, in what order, and how they are ranked."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import rl2
from agents.select import command as select_command
from agents.select import search
from agents.select.search import CONTROL
from envs.automl import algorithms, scoring
from envs.automl.evaluation import Evaluator
from envs.automl.reading import read_dataset
from envs.automl.results import AlgorithmResult
from envs.automl.time_limit import TimeBudget
from tests.support.select_command import proposing_only, rows, run_select


@pytest.mark.usefixtures("file")
def test_ranking_of_evaluated_algorithms(scores, capsys):
    known, asked = scores
    assert run_select("data.csv", "--target", "y", "--evaluations", "14", "--out", "mine") == 0
    assert sorted(asked) == sorted(algorithms.ALGORITHMS), "each of them once"
    about = json.loads(Path("mine/best.json").read_text())
    assert [each["algorithm"] for each in about["ranking"]] == list(algorithms.ALGORITHMS)[::-1]
    assert [each["algorithm"] for each in sorted(about["ranking"], key=lambda each: each["evaluation"])] == asked
    best = about["best"]
    share = (rows()["y"] == "small").mean()
    assert best["accuracy"] == pytest.approx(0.63) and best["balanced_accuracy"] == pytest.approx(0.53)
    assert best["gain"] == pytest.approx(0.63 - share, abs=0.01)
    # Folds at -0.01, 0, 0, 0, +0.01: variance 0.0002 / 4, over 5 folds.
    assert best["standard_error"] == pytest.approx(math.sqrt(0.0002 / 4 / 5))


@pytest.mark.usefixtures("file")
def test_best_single_algorithm_is_evaluated_for_comparison(scores, capsys, monkeypatch):
    known, asked = scores
    family = select_command.selector_of(None).distribution.table
    single = family.candidates[int(np.argmax([family.improvement[: family.n_train][:, a].mean() for a in range(14)]))]
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only(*set(family.candidates) - {single}))
    assert run_select("data.csv", "--target", "y", "--evaluations", "1", "--out", "a") == 0
    first = asked[0]
    assert asked == list(dict.fromkeys([first, single, CONTROL])) and first != single
    out, difference = capsys.readouterr().out, known[first] - known[single]
    assert f"best proposed algorithm: {first}, accuracy {known[first]:.4f}" in out
    comparison = f"accuracy {known[single]:.4f}; difference {difference:+.4f} ± 0.0000"
    assert f"best single algorithm on the training datasets: {single}, {comparison}" in out
    about = json.loads(Path("a/best.json").read_text())
    assert about["best"]["accuracy"] == pytest.approx(max(known[first], known[single]))
    assert about["best_proposed"]["algorithm"] == first and about["best_single"]["algorithm"] == single
    apart = about["best_single"]["best_proposed_minus_this"]
    assert apart == {"mean": pytest.approx(difference), "standard_error": pytest.approx(0.0, abs=1e-12)}
    asked.clear()
    assert run_select("data.csv", "--target", "y", "--evaluations", "1", "--no-compare", "--out", "b") == 0
    assert asked == [first]


def test_evaluates_the_most_probable_untried_algorithm(monkeypatch):
    run_ = select_command.selector_of(None)
    agent = run_.agent
    assert isinstance(agent, rl2.RL2)
    observation = torch.zeros(1, 1, *run_.distribution.observation_space.shape)
    state = agent.begin(1, 1)
    inputs = agent.policy.inputs(observation, state.transition)
    mask = agent.policy.action_mask(observation.flatten(0, 1))
    distribution, _ = agent.policy.act(state.bound, inputs.flatten(0, 1), state.hidden.flatten(0, 1), mask)
    order = distribution["log_probs"][0].argsort(descending=True).tolist()
    assert int(agent.act_deterministically(state, observation)[0]) == order[0]
    for n_tried in range(3):
        observation[..., run_.distribution.invalid_action_slice][..., order[:n_tried]] = 1.0
        action, after = agent.act_deterministically(state, observation)
        assert int(action) not in order[:n_tried]
        torch.testing.assert_close(after.hidden, agent.act(state, observation, torch.Generator())[1].hidden)


@pytest.mark.usefixtures("file")
def test_selector_observes_the_same_as_in_training(scores, monkeypatch):
    """A dataset of the table, read from a file, gives the observations of the family for that row."""
    run_ = select_command.selector_of(None)
    family = run_.distribution
    row, evaluations = len(family.table.names) - 1, family.horizon
    features = family.table.features[row]
    base = 0.25
    constant = scoring.PipelineScores(np.full(5, base), np.full(5, base), 0.0, predicted=np.zeros(120, dtype=int))
    monkeypatch.setattr(scoring, "constant", lambda classes: constant)
    known, asked = scores
    known |= {name: base + float(family.table.improvement[row, a]) for a, name in enumerate(family.table.candidates)}
    seen = []
    mode = rl2.RL2.act_deterministically

    def watched(self, state, observation):
        action, after = mode(self, state, observation)
        seen.append((observation.clone(), state.transition.clone(), int(action)))
        return action, after

    monkeypatch.setattr(rl2.RL2, "act_deterministically", watched)
    dataset = read_dataset(Path("data.csv"), "y", rows=1000)
    events = search.screen(Evaluator(dataset, "accuracy", TimeBudget(None)), run_, features, evaluations, ())
    results = [each for each in events if isinstance(each, AlgorithmResult)]
    assert [each.name for each in results] == asked and len(set(asked)) == evaluations
    lanes, state = family.vectorise(1, 1), run_.agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for observed, transition_input, action in seen:
        torch.testing.assert_close(observed[0], observation, atol=1e-6, rtol=0)
        torch.testing.assert_close(transition_input, state.transition, atol=1e-6, rtol=0)
        chosen = torch.tensor([[action]])
        _, state = run_.agent.act(state, observation[None], torch.Generator())
        observation, reward, terminated, truncated, _ = lanes.step(chosen[0])
        state = run_.agent.observe(state, chosen, reward[None], (terminated | truncated)[None], observation[None])
    assert bool(truncated), "the trial is as long as in training"


@pytest.mark.usefixtures("file")
def test_custom_selector(scores, others, capsys):
    _, asked = scores
    three = ("data.csv", "--target", "y", "--evaluations", "3")
    assert run_select(*three, "--selector", others / "portfolio", "--no-compare") == 0
    known = select_command.selector_of(None).distribution.table
    best = np.zeros(known.n_train)
    for name in asked:
        added = np.maximum(known.improvement[: known.n_train], best[:, None]).mean(0)
        assert known.candidates[int(added.argmax())] == name
        best = np.maximum(best, known.improvement[: known.n_train][:, known.candidates.index(name)])
    assert len(asked) == 3 and json.loads(Path("select-data/best.json").read_text())["selector"]["agent"] == "portfolio"
    asked.clear()
    assert run_select(*three, "--selector", others / "best_single", "--out", "one", "--no-compare") == 0
    assert len(asked) == 1, "a repeated proposal is not evaluated again"


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oracle", "agent oracle needs to know the scores of all algorithms"),
        ("random", "agent random does not adapt between evaluations"),
        ("bandit", "must be a run of algorithm_selection, not of bandit"),
        ("nowhere", "no such run folder"),
    ],
)
def test_unusable_selectors(others, name, message, capsys):
    assert run_select("data.csv", "--target", "y", "--selector", others / name) == 2
    assert message in capsys.readouterr().err and not Path("select-data").exists()


@pytest.mark.usefixtures("file")
def test_failing_algorithms_rank_last(scores, monkeypatch, capsys):
    known, asked = scores
    score, failing = scoring.score, {"mlp"}

    def fails(make, frame, classes, **options):
        scored = score(make, frame, classes, **options)
        return dataclasses.replace(scored, failure="ValueError: no" * (make() in failing))

    monkeypatch.setattr(scoring, "score", fails)
    assert run_select("data.csv", "--target", "y", "--evaluations", "14") == 0
    about = json.loads(Path("select-data/best.json").read_text())
    assert known["mlp"] == max(known.values()) and about["best"]["algorithm"] == "ada_boost"
    assert about["ranking"][-1]["failure"] == "ValueError: no" and "failed: ValueError: no" in capsys.readouterr().out
    failing |= set(known)
    assert run_select("data.csv", "--target", "y", "--evaluations", "2", "--out", "none") == 2
    assert "all algorithms failed; " in capsys.readouterr().err and not Path("none").exists()
