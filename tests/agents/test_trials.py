"""Trials: consecutive episodes of a lane, the transitions a recurrent agent observes, and its learning curve."""

import json

import numpy as np
import pytest
import torch

import envs
from agents.core.agent import InContextAgent
from agents.core.collect import collect, collect_episodes
from agents.core.spec import Spec
from agents.experiment import returns as returns_module
from agents.experiment.api import load
from agents.experiment.evaluation import adaptation_curve, with_references
from agents.experiment.references import references
from agents.experiment.returns import EvaluationPlan
from agents.experiment.start import run_training
from agents.references import greedy, oracle
from agents.references.shared.bernoulli import optimum
from qrl.common.errors import UsageError
from tests.support.environments import Counter

N = 3
"""Episodes of a trial."""


class Scripted:
    """End lane 0's episodes at their first step, lane 1's at their second; the state is all observed transitions."""

    trial_episodes = N

    def begin(self, n_tasks, n_envs):
        return ()

    def act(self, state, observation, generator):
        # Counter ends with action 2. Its lanes take 1 and 2 in turn, lane 0 only 2.
        last = torch.tensor([len(state) % 2 + 1 if lane else 2 for lane in range(observation.shape[0])])
        return last[:, None], state

    def to_environment(self, action):
        return action

    def observe(self, state, action, reward, ended, observation):
        return (
            *state,
            (action[:, 0].tolist(), reward[:, 0].tolist(), ended[:, 0].tolist(), observation[:, 0, 0].tolist()),
        )

    def adapt(self, state, rollout):
        return state


def trial(n_lanes=2, seed=0):
    adapter, env = Scripted(), Counter(horizon=5).vectorise(n_lanes, 1)
    generator = torch.Generator().manual_seed(0)
    return collect(env, adapter, adapter.begin(n_lanes, 1), generator, seed=seed, n_tasks=n_lanes, n_episodes=N)


def test_lanes_continue_independently_until_their_last_episode_ends():
    rollout, _ = trial()
    assert isinstance(Scripted(), InContextAgent)
    assert rollout.episode[:, :, 0].T.tolist() == [[0, 1, 2, 2, 2, 2], [0, 0, 1, 1, 2, 2]]
    assert rollout.valid[:, :, 0].T.tolist() == [[True] * 3 + [False] * 3, [True] * 6]
    assert rollout.terminated[:, :, 0].T.tolist() == [[True] * 3 + [False] * 3, [False, True] * 3]
    assert not rollout.truncated.any() and rollout.n_steps == 9
    assert rollout.n_steps_by_episode(N)[:, :, 0].T.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_episodes_start_fresh_with_separate_returns():
    """Counter's state is sampled in [0, 1) and increases by 1 per step; the reward is the next state."""
    rollout, _ = trial()
    start = rollout.observation[:, :, 0, 0]
    first = torch.tensor([[True, True, True, False, False, False], [True, False] * 3]).T
    assert ((start >= 0) & (start < 1))[first].all() and len(start[first].unique()) == 6
    torch.testing.assert_close(rollout.reward[..., 0], torch.where(rollout.valid[..., 0], start + 1, 0.0))
    by_episode = rollout.returns_by_episode(N)[..., 0]
    torch.testing.assert_close(by_episode[:, 0], start[:3, 0] + 1)
    torch.testing.assert_close(by_episode[:, 1], 2 * start[::2, 1] + 3)
    torch.testing.assert_close(by_episode.sum(0), rollout.returns[:, 0])


def test_full_transition_is_observed_at_an_episode_end():
    rollout, received = trial()
    assert [row[0] for row in received] == [[2, 1], [2, 2]] * 3
    ended = [[True, False], [True, True], [True, False], [False, True], [False, False], [False, True]]
    assert [row[2] for row in received] == ended
    np.testing.assert_allclose([row[1] for row in received], rollout.reward[..., 0])
    # The observation after the step, not the first one of the next episode.
    start = rollout.observation[:, :, 0, 0]
    np.testing.assert_allclose([row[3][1] for row in received], start[:, 1] + 1)


def test_lanes_do_not_depend_on_the_ends_of_others():
    """Lane 1 is the same next to a lane that always ends earlier and next to lanes like itself."""
    two, three = trial(2)[0], trial(3)[0]
    assert torch.equal(two.episode[:, 1], three.episode[:, 1]) and torch.equal(three.valid[:, 1], three.valid[:, 2])


def test_scalar_environment_gives_the_same_trials():
    adapter = Scripted()
    env = Counter(horizon=5).make()
    generator = torch.Generator().manual_seed(0)
    adapter.act = lambda state, observation, generator: (torch.tensor([[len(state) % 2 + 1]]), state)
    rollout, received = collect_episodes(env, adapter, (), generator, n_episodes=N, max_steps=5, seed=0)
    assert rollout.reward.shape == (2, 1, N) and [row[2] for row in received] == [[False], [True]] * N
    np.testing.assert_allclose(np.ravel([row[1] for row in received]), rollout.reward[:, 0].T.flatten())
    assert (rollout.episode == 0).all(), "every episode has a lane of its own"


def test_curve_of_a_recurrent_agent_is_over_episodes(monkeypatch):
    distribution = envs.make("bandit", horizon=2)
    agent = references(distribution, 4)["thompson"]
    curve = adaptation_curve(agent, distribution, EvaluationPlan(n_tasks=30, episodes=5))
    assert (curve.axis, curve.x, curve.episodes) == ("episodes", [1, 2, 3, 4], [0, 1, 2, 3])
    assert curve.env_steps == [0, 2, 4, 6] and np.shape(curve.per_task) == (30, 4)
    assert curve.mean[3] > curve.mean[0]
    monkeypatch.setattr(returns_module, "MAX_LANES", 50)
    assert adaptation_curve(agent, distribution, EvaluationPlan(n_tasks=30, episodes=5)).env_steps == curve.env_steps


def test_fraction_of_the_optimum_is_a_ratio_of_sums_over_the_same_tasks():
    distribution = envs.make("bandit")
    built = references(distribution, 4)
    assert list(built) == ["bayes", "thompson"]
    curves = {
        name: adaptation_curve(
            agent, distribution, EvaluationPlan(n_tasks=400, episodes=10), names=("bandit", name, "")
        )
        for name, agent in built.items()
    }
    compared = with_references(curves["thompson"], {"bayes": np.asarray(curves["bayes"].per_task)})
    mine, best = (np.asarray(curves[name].per_task).sum(1) for name in ("thompson", "bayes"))
    share, low, high = compared.fractions["bayes"]
    assert share == pytest.approx(mine.mean() / best.mean()) and compared.references == {"bayes": curves["bayes"].mean}
    # The delta method's standard error of a ratio of means over the same tasks.
    error = (mine - share * best).std() / best.mean() / 400**0.5
    assert (high - low) == pytest.approx(2 * 1.96 * error, rel=0.1) and low < share < high


def test_reference_of_long_trials_is_an_index_policy():
    assert list(references(envs.make("bandit"), 100)) == ["gittins", "thompson"]
    assert references(envs.make("navigation"), 3) == {}


def test_recurrent_run_saves_its_curve_with_the_optimum(tmp_path, capsys):
    spec = Spec.default(
        env="bandit", agent="greedy", agent_config=greedy.Config(episodes=3), eval_tasks=20, eval_episodes=2, threads=1
    )
    run_training(spec, tmp_path / "run", overwrite=False, command=[])
    shown = capsys.readouterr().out
    assert "bandit, greedy: 20 test tasks" in shown and "of bayes's" in shown and "gain from 1 to 3" in shown
    assert f"bayes, exactly, over all tasks: {optimum(5, 3).value:.3f}" in shown
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["axis"] == "episodes" and evaluation["x"] == [1, 2, 3] and evaluation["model"] == ""
    assert evaluation["references"].keys() == {"bayes", "thompson"} == evaluation["fractions"].keys()
    assert evaluation["exact"] == {"bayes": list(optimum(5, 3).by_pull)}
    assert load(tmp_path / "run").evaluate(tasks=20, episodes=2).to_json() == evaluation


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return {name: train_recurrent(tmp_path_factory.mktemp(name) / "run", name) for name in ("greedy", "oracle")}


def train_recurrent(path, name):
    config = {"greedy": greedy, "oracle": oracle}[name].Config(episodes=1)
    spec = Spec.default(env="bandit", agent=name, agent_config=config, eval_tasks=2, eval_episodes=1, threads=1)
    run_training(spec, path, overwrite=False, command=[], quiet=True)
    return load(path)


def test_recurrent_policy_adapts_and_keeps_learning(played):
    """It finds the only arm that pays and abandons it when it no longer does."""
    env = envs.make("bandit").make({"p": [0, 0, 0, 1, 0]})
    policy = played["greedy"].adapt(env, episodes=20)
    observation, _ = env.reset()
    assert policy.act(observation) == 3
    later = []
    for _ in range(60):
        policy.observe(observation, 0.0, ended=True)
        later.append(policy.act(observation))
    assert later[:5] == [3] * 5 and set(later) == {0, 1, 2, 3, 4}


def test_recurrent_policy_must_observe_every_transition(played):
    env = envs.make("bandit").make({"p": [0, 0, 0, 1, 0]})
    policy = played["greedy"].adapt(env, episodes=20)
    with pytest.raises(UsageError, match="call act first"):
        policy.observe(np.zeros(1), 1.0, True)
    policy.act(np.zeros(1))
    with pytest.raises(UsageError, match=r"report the last transition first, with observe\("):
        policy.act(np.zeros(1))
    with pytest.raises(UsageError, match="observe: the reward must be finite, not nan"):
        policy.observe(np.zeros(1), float("nan"), True)
    for wrong in (np.zeros(7), np.array([np.nan])):
        with pytest.raises(UsageError, match=r"an observation is \(1,\) finite numbers, not "):
            policy.observe(wrong, 1.0, True)
    policy.observe(np.zeros(1), 1.0, True)
    policy.act(np.zeros(1))


def test_options_invalid_for_recurrent_policies_are_rejected(played):
    with pytest.raises(UsageError, match="agent greedy adapts in context and takes no gradient steps"):
        played["greedy"].evaluate(steps=2)
    with pytest.raises(UsageError, match="agent oracle observes the task parameters"):
        played["oracle"].adapt()
    for wrong in ({"steps": 2}, {"steps": 0}, {"episodes": 0}):
        with pytest.raises(UsageError, match=r"with a memory, episodes must be at least 1 and steps 1 \(one trial\)"):
            played["greedy"].adapt(**{"episodes": 1, **wrong})
    assert played["greedy"].adapt(episodes=1).act(np.zeros(1)) in range(5)


def test_fraction_of_a_zero_reference_is_undefined(played):
    """Two tasks, one pull each: the reference's return is zero in some bootstrap resamples."""
    curve = played["greedy"].evaluate(tasks=2, episodes=1)
    compared = with_references(curve, {"other": np.zeros((2, 1)), "half": np.array([[1.0], [0.0]])})
    assert compared.references.keys() == {"other", "half"} and compared.fractions == {}
    json.dumps(compared.to_json(), allow_nan=False)
