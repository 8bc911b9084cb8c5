"""The adaptation curve: statistics by hand, tasks, and no leakage."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

import envs
from agents.experiment.evaluation import Curve, adaptation_curve, bootstrap_interval, paired_gain
from agents.experiment.returns import EvaluationPlan
from qrl.common.errors import UsageError


class Oracle:
    """Probe all four directions in the first episodes, infer the goal from the rewards, then go straight to it."""

    def begin(self, n_tasks, n_envs):
        return None

    def act(self, state, observation, generator):
        if state is None:
            probe = torch.tensor([[0.1, 0.0], [0.0, 0.1], [-0.1, 0.0], [0.0, -0.1]])
            return probe.expand(observation.shape[0], -1, -1).contiguous(), state
        return state[:, None] - observation, state

    def to_environment(self, action):
        return action

    def adapt(self, state, rollout):
        if state is not None:
            return state
        # |p - goal|^2 at the first step from the probes at +-0.1 on each axis.
        squares = rollout.reward[0].square()
        return torch.stack([(squares[:, 2] - squares[:, 0]) / 0.4, (squares[:, 3] - squares[:, 1]) / 0.4], -1)


def curve(**options) -> Curve:
    defaults = {"n_tasks": 12, "steps": 2, "episodes": 4}
    return adaptation_curve(Oracle(), envs.make("navigation", horizon=10), EvaluationPlan(**{**defaults, **options}))


def test_curve_shows_the_gain_of_adaptation():
    result = curve()
    assert result.x == [0, 1, 2] and result.episodes == [0, 4, 8] and result.axis == "gradient_steps"
    values = np.asarray(result.per_task)
    tasks = envs.make("navigation").sample(12, "test")
    goals = np.stack([tasks.goal_x.numpy(), tasks.goal_y.numpy()], -1)

    def straight(goal):
        position, total = np.zeros(2), 0.0
        for _ in range(10):
            position = position + np.clip(goal - position, -0.1, 0.1)
            total -= np.linalg.norm(goal - position)
            if (np.abs(goal - position) < 0.01).all():
                break
        return total

    np.testing.assert_allclose(values[:, 1], [straight(goal) for goal in goals], atol=1e-4)
    np.testing.assert_allclose(values[:, 1], values[:, 2], atol=1e-4)
    assert (values[:, 1] > values[:, 0]).all()
    # Four probes of ten steps a task; then four times the moves to the goal.
    moves = np.maximum(np.ceil((np.abs(goals).max(1) - 0.01) / 0.1), 1)
    assert result.env_steps == pytest.approx([0, 40, 40 + 4 * moves.mean()])


def test_statistics_by_hand():
    result = curve()
    values = np.asarray(result.per_task)
    np.testing.assert_allclose(result.mean, values.mean(0))
    middle = np.sort(values, axis=0)[3:9]
    np.testing.assert_allclose(result.iqm, middle.mean(0))
    np.testing.assert_allclose(result.worst_decile, values.min(0))  # a tenth of 12 tasks is one
    rng = np.random.default_rng(1)
    means = values[rng.integers(12, size=(20_000, 12))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    spread = values.std(0)
    assert (np.abs(np.array(result.ci_low) - low) < 0.03 * spread).all()
    assert (np.abs(np.array(result.ci_high) - high) < 0.03 * spread).all()


def test_bootstrap_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(0)
    low, high = bootstrap_interval(rng.normal(size=(60, 300)))
    covered = np.mean((np.array(low) < 0) & (np.array(high) > 0))
    # 300 independent intervals at about 94 % (the percentile bootstrap is slightly short): 3.5 standard errors.
    least = stats.binom(300, 0.94).ppf(0.0002)
    assert covered * 300 >= least


def test_paired_gain_uses_differences():
    result = dataclasses.replace(curve(), per_task=[[0.0, 1.0, 3.0], [100.0, 101.0, 103.0], [-50.0, -49.0, -47.0]])
    gain, low, high = paired_gain(result, 2)
    assert (gain, low, high) == (3.0, 3.0, 3.0)


def test_test_tasks_do_not_depend_on_the_seed_and_are_prefixes():
    first, other = curve(seed=0), curve(seed=1)
    assert first.per_task == other.per_task  # Oracle is deterministic: only the tasks could differ
    longer = curve(n_tasks=20)
    assert np.allclose(longer.per_task[:12], first.per_task)
    assert curve(split="train").per_task != curve(split="train", seed=1).per_task


def test_tasks_beyond_the_memory_limit_are_evaluated_in_chunks(monkeypatch):
    whole = curve()
    monkeypatch.setattr("agents.experiment.returns.MAX_LANES", 20)
    assert np.allclose(curve().per_task, whole.per_task)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_tasks": 1}, "at least 2 tasks"),
        ({"steps": 0}, "steps and episodes must be at least 1"),
        ({"split": "tets"}, "did you mean 'test'"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(UsageError, match=message):
        curve(**options)
