"""Lookup tasks and their search policies, on a synthetic table."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from agents.core.context import BuildContext, build
from agents.core.spec import Spec
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.references import reference_agents
from agents.experiment.returns import EvaluationPlan
from agents.experiment.start import run_training
from agents.references import best_single, gaussian_ucb, nearest_tasks, oracle, portfolio, random_search
from envs.automl.lookup_tasks import LookupTasks, ScoreTable
from envs.core.tasks import Tasks
from qrl.common.errors import UsageError

GAINS = np.array([
    # a    b    c    d
    [0.5, 0.4, 0.0, 0.1],
    [0.5, 0.4, 0.0, 0.1],
    [0.0, 0.3, 0.2, 0.6],
    [0.1, 0.2, 0.4, 0.0],
    [0.2, 0.3, 0.4, 0.1],  # held out
    [-0.2, -0.1, 0.7, 0.1],  # held out
])  # fmt: skip
FEATURES = np.array([[0.0, 1.0], [0.2, 1.0], [2.0, 1.0], [4.0, 1.0], [3.9, 1.0], [90.0, 1.0]])
TABLE = ScoreTable(
    names=("p", "q", "r", "s", "t", "u"),
    candidates=("a", "b", "c", "d"),
    improvement=GAINS,
    features=FEATURES,
    n_train=4,
)


def family(horizon: int = 3, jitter: float = 0.0, **changes) -> LookupTasks:
    return LookupTasks("made_up", "row", horizon, dataclasses.replace(TABLE, **changes), jitter)


def search_policy(module, horizon: int = 3, **options):
    unused = lambda *_: None  # noqa: E731
    context = BuildContext(family(horizon), torch.device("cpu"), unused, unused)
    return module.build(module.Config(**options), context)


def order(module, row: int, **options) -> list[int]:
    """Candidates that a search policy evaluates in a row of the table, in order."""
    agent = search_policy(module, 4, **options)
    lanes = agent.family.vectorise(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": agent.family.task({"row": row})})
    generator, chosen = torch.Generator().manual_seed(0), []
    for _ in range(4):
        action, _ = agent.act(None, observation[None], generator)
        chosen.append(int(action))
        observation, *_ = lanes.step(action[0])
    return chosen


def test_return_is_the_improvement_of_the_best_evaluation() -> None:
    made = family()
    lanes = made.vectorise(2, 1)
    tasks = Tasks.from_rows([{"row": 4.0}, {"row": 5.0}])
    seen, _ = lanes.reset(seed=0, options={"tasks": tasks})
    spread = np.std([0, 0.2, 2, 4])
    centre = np.mean([0, 0.2, 2, 4])
    expected = [(3.9 - centre) / spread, 0, *[0] * 8, 0, 1]
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-6)
    assert float(seen[1, 0]) == 3, "cut off: unlike all that is known"
    rewards, ends = [], []
    for actions in ([1, 0], [0, 2], [2, 3]):
        seen, reward, terminated, truncated, _ = lanes.step(torch.tensor(actions))
        rewards.append(reward.tolist())
        ends.append((terminated | truncated).tolist())
    np.testing.assert_allclose(rewards, [[0.3, 0], [0, 0.7], [0.1, 0]], atol=1e-7)
    np.testing.assert_allclose(seen[0, 2:].numpy(), [1, 1, 1, 0, 0.2, 0.3, 0.4, 0, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(seen[1, 2:].numpy(), [1, 0, 1, 1, -0.2, 0, 0.7, 0.1, 0.7, 0], atol=1e-6)
    assert ends == [[False] * 2, [False] * 2, [True] * 2]


def test_repeated_evaluations_gain_nothing() -> None:
    lanes = family().vectorise(1, 1)
    lanes.reset(seed=0, options={"tasks": Tasks.from_rows([{"row": 0.0}])})
    assert [float(lanes.step(torch.tensor([0]))[1]) for _ in range(2)] == [0.5, 0]


def test_test_tasks_are_the_held_out_rows() -> None:
    made = family()
    assert sorted(row["row"] for row in made.sample(2, "test").rows()) == [4, 5]
    assert {row["row"] for row in made.sample(200, "train", np.random.default_rng(0)).rows()} == {0, 1, 2, 3}
    assert made.n_distinct("test") == 2 and made.n_distinct("train") == 4


def test_validation_tasks_lie_between_train_and_test_tasks() -> None:
    made = family(n_train=2, n_validation=2)
    assert sorted(row["row"] for row in made.sample(2, "validation").rows()) == [2, 3]
    assert sorted(row["row"] for row in made.sample(2, "test").rows()) == [4, 5]
    assert {row["row"] for row in made.sample(200, "train", np.random.default_rng(0)).rows()} == {0, 1}


def test_features_have_noise_per_episode_in_training_only() -> None:
    clear, noisy = family(), family(jitter=0.1)
    seen = {}
    for name, made in (("clear", clear), ("noisy", noisy)):
        lanes = made.vectorise(2, 2000)
        tasks = Tasks.from_rows([{"row": 2.0}, {"row": 4.0}])
        first, _ = lanes.reset(seed=0, options={"tasks": tasks})
        then, *_ = lanes.step(torch.zeros(4000, dtype=torch.int64))
        assert torch.equal(first[..., :2], then[..., :2]), "the same throughout an episode"
        seen[name] = first.unflatten(0, (2, 2000))
    assert torch.equal(seen["clear"][1], seen["noisy"][1]), "row 4 is held out"
    noise = (seen["noisy"] - seen["clear"])[0]
    assert noise[:, 2:].abs().max() == 0
    np.testing.assert_allclose(noise[:, :2].mean(0), 0, atol=4 * 0.1 / 2000**0.5)
    np.testing.assert_allclose(noise[:, :2].std(0), 0.1, rtol=0.08)
    with pytest.raises(UsageError, match="jitter must be finite and not negative, not -1"):
        family(jitter=-1.0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"improvement": GAINS[:, :3]}, "improvement for 6 names and 4 candidates must have shape (6, 4), not (6, 3)"),
        ({"features": FEATURES[:5]}, "features must be [6 tasks, feature], not of shape (5, 2)"),
        ({"features": FEATURES[:, 0]}, "features must be [6 tasks, feature], not of shape (6,)"),
        ({"improvement": np.full((6, 4), np.nan)}, "improvement must be finite"),
        ({"features": FEATURES.tolist()}, "features must be a NumPy array of numbers, not list"),
        ({"n_train": 4.0}, "n_train must be a whole number, not 4.0"),
        ({"n_train": 5}, "n_train must be from 2 to 4"),
        ({"n_train": 1}, "n_train must be from 2 to 4"),
        ({"n_train": 3, "n_validation": 2}, "n_train must be from 2 to 2"),
        ({"n_validation": 1}, "n_validation must be 0, or at least 2"),
        ({"names": tuple("ppqrst")}, "names has 'p' more than once"),
        ({"configurations": ({"x": 1},)}, "4 candidates need as many configurations, not 1"),
    ],
)
def test_mismatched_parts(changes, message) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        dataclasses.replace(TABLE, **changes)


def test_observations_of_any_gain_are_within_the_space() -> None:
    made = family(improvement=1000 * GAINS)
    assert made.observation_space.high[-2] == 700 and made.observation_space.low.min() == -700
    assert family().observation_space.high[-2] == 1


def test_invalid_options() -> None:
    with pytest.raises(UsageError, match=r"horizon \[evaluations\] must be at most 4, the number of candidates, not 5"):
        family(5)
    with pytest.raises(UsageError, match="row must be an integer from 0 to 5"):
        family().vectorise(1, 1).reset(options={"tasks": Tasks.from_rows([{"row": 7.0}])})


def test_best_single_is_the_best_mean_of_the_training_tasks() -> None:
    """Means in training: 0.275, 0.325, 0.15, 0.2."""
    assert order(best_single, 5) == [1, 1, 1, 1]
    assert order(best_single, 5, best_only=False) == [1, 0, 3, 2]


def test_portfolio_is_greedy() -> None:
    """b; then a adds 0.2 of 4, d 0.3, c 0.2; after d a adds 0.2 and c 0.2: a has the larger mean."""
    assert order(portfolio, 5) == [1, 3, 0, 2]
    assert portfolio.greedy_order(GAINS[:4]) == [1, 3, 0, 2]


def test_nearest_tasks_determine_the_order() -> None:
    """Nearest to row 4 are row 3, then row 2: fractions of the best [1/4, 1/2, 1, 0] and [0, 1/2, 1/3, 1]."""
    assert order(nearest_tasks, 4, neighbours=1) == [2, 1, 0, 3]
    assert order(nearest_tasks, 4, neighbours=2) == [2, 1, 3, 0]
    assert order(nearest_tasks, 4, neighbours=100) == order(nearest_tasks, 5, neighbours=4)


def test_random_search_is_without_replacement() -> None:
    agent = search_policy(random_search)
    lanes = agent.family.vectorise(1, 4000)
    observation, _ = lanes.reset(seed=0, options={"tasks": agent.family.task({"row": 0})})
    generator, chosen = torch.Generator().manual_seed(0), []
    for _ in range(3):
        action, _ = agent.act(None, observation[None], generator)
        chosen.append(action[0])
        observation, *_ = lanes.step(action[0])
    orders = torch.stack(chosen).mT
    assert all(len(set(row)) == 3 for row in orders.tolist())
    counts = torch.stack([(orders == a).float().mean(0) for a in range(4)])
    assert (counts - 0.25).abs().max() < 0.035


def test_gaussian_ucb_uses_the_conditional_normal() -> None:
    """Against the textbook formula for each subset of evaluated candidates."""
    agent = search_policy(gaussian_ucb, kappa=0.7, shrinkage=0.2, noise=0.05)
    mean, covariance = GAINS[:4].mean(0), np.cov(GAINS[:4].T)
    covariance = 0.8 * covariance + 0.2 * np.diag(np.diag(covariance))
    for subset in ([], [0], [1, 3], [0, 1, 2, 3]):
        tried = torch.zeros(1, 1, 4, dtype=torch.float64)
        tried[..., subset] = 1
        gains = tried * torch.tensor([0.3, -0.1, 0.2, 0.4], dtype=torch.float64)
        found = agent.acquisition(gaussian_ucb.Observation(torch.zeros(1, 1, 2), tried, gains), torch.Generator())[0, 0]
        inverse = np.linalg.inv(covariance[np.ix_(subset, subset)] + 0.05**2 * np.eye(len(subset)))
        gain = covariance[:, subset] @ inverse
        expected = mean + gain @ (gains[0, 0, subset].numpy() - mean[subset])
        variance = np.diag(covariance - gain @ covariance[subset])
        np.testing.assert_allclose(found.numpy(), expected + 0.7 * np.sqrt(variance), rtol=1e-6, atol=1e-9)


def test_curves_are_over_evaluations() -> None:
    """The oracle has the best gain from the first evaluation; the portfolio has the best gain so far."""
    made = family()
    curve = adaptation_curve(search_policy(portfolio), made, EvaluationPlan(n_tasks=2, episodes=2))
    assert curve.axis == "evaluations" and curve.x == [1, 2, 3] and curve.n_tasks == 2
    np.testing.assert_allclose(curve.mean, [(0.3 + 0) / 2, (0.3 + 0.1) / 2, (0.3 + 0.1) / 2], atol=1e-7)
    assert curve.env_steps == [0, 1, 2]
    curve = adaptation_curve(search_policy(oracle, episodes=1), made, EvaluationPlan(n_tasks=2, episodes=2))
    np.testing.assert_allclose(curve.mean, [0.55] * 3, atol=1e-7)


class EndsAtOnce(LookupTasks):
    """Lookup tasks whose episodes end before the horizon."""

    def transition(self, state, action, tasks):
        state, reward, _ = super().transition(state, action, tasks)
        return state, reward, torch.ones(len(state), dtype=torch.bool)


def test_curve_over_evaluations_is_constant_after_an_early_end() -> None:
    made = EndsAtOnce("made_up", "row", 3, TABLE, 0.0)
    curve = adaptation_curve(search_policy(portfolio), made, EvaluationPlan(n_tasks=2, episodes=2))
    assert curve.x == [1, 2, 3] and curve.mean[0] == curve.mean[1] == curve.mean[2] == pytest.approx(0.15)
    assert curve.env_steps == [0, 1, 1]


def test_no_memory_ablation_for_single_episode_trials() -> None:
    spec = Spec.default(env="algorithm_selection", agent="rl2", model="gru", threads=1)
    for episodes, expected in ((1, False), (2, True)):
        made, agent = build(
            dataclasses.replace(spec, agent_config=dataclasses.replace(spec.agent_config, episodes=episodes))
        )
        assert ("memory_reset" in reference_agents(agent, made)) == expected


def test_printed_summary_is_in_evaluations(tmp_path, capsys) -> None:
    spec = Spec.default(env="algorithm_selection", agent="best_single", eval_tasks=1000, threads=1)
    run_training(spec, tmp_path / "run", overwrite=False, command=[])
    shown = capsys.readouterr().out
    assert "note: the test split of algorithm_selection has 53 different tasks in all" in shown
    header = next(line for line in shown.splitlines() if "IQM" in line)
    assert header.split() == ["evaluations", "mean", "95", "%", "interval", "IQM", "worst", "10", "%"]
    assert "of oracle's " in shown and " (improvement of the best candidate so far, summed over evaluations): " in shown
