"""The cross-entropy method: updates by hand, optima found, episode boundaries; and GRAPE, which knows the task."""

import math
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import agents
import envs
from agents import cross_entropy
from agents.core.agent import OpenLoopAgent
from agents.core.collect import collect, collect_episodes
from agents.core.context import build
from agents.core.rollout import Rollout
from agents.core.spec import Spec
from agents.cross_entropy import Search
from agents.experiment.returns import EvaluationPlan, evaluate_returns
from agents.references import grape
from envs.bandit import Config as BanditConfig
from envs.qubit_control import Config as QubitConfig
from qrl.common.errors import UsageError


def searcher(env: str = "qubit_control", env_config=None, **options):
    config = cross_entropy.Config(**options)
    given = {} if env_config is None else {"env_config": env_config}
    return build(Spec.default(env=env, agent="cross_entropy", agent_config=config, **given))


def rollout_of(action: Tensor, reward: Tensor, valid: Tensor | None = None) -> Rollout:
    """Rollout of actions [time, task, env, ...]; observations do not matter."""
    valid = torch.ones_like(reward, dtype=torch.bool) if valid is None else valid
    no = torch.zeros_like(valid)
    return Rollout(
        torch.zeros(*reward.shape, 2), action, reward, valid, no, no, torch.zeros_like(valid, dtype=torch.int64)
    )


# -- updates by hand ---------------------------------------------------------------------------------------------------


def test_update_of_continuous_actions_by_hand() -> None:
    """The best two of four episodes are the elite: 0.2 and 0.6 in the first slot, mean 0.4, standard deviation 0.2."""
    _, agent = searcher(env_config=QubitConfig(horizon=2), elite_fraction=0.5, smoothing=0.75, initial_std=0.8)
    state = agent.begin(1, 4)
    assert state.values["mean"].tolist() == [[[0.0, 0.0]] * 2] and state.values["std"].unique().tolist() == [
        pytest.approx(0.8)
    ]
    x = torch.tensor([[0.2, -1.0, 0.6, 1.0], [0.5, 0.0, 0.5, 0.0]])[:, None]
    reward = torch.tensor([[0.0, 0.0, 1.0, 0.5], [2.0, 0.0, 0.5, 0.5]])[:, None]  # returns 2, 0, 1.5, 1
    after = agent.adapt(state, rollout_of(torch.stack([x, -x], dim=-1), reward))
    torch.testing.assert_close(after.values["mean"][0], torch.tensor([[0.3, -0.3], [0.375, -0.375]]))
    std = torch.tensor([0.75 * 0.2 + 0.25 * 0.8, 0.25 * 0.8])
    torch.testing.assert_close(after.values["std"][0], std[:, None].expand(2, 2))


def test_update_of_discrete_actions_by_hand() -> None:
    """Frequencies in the elite: all episodes with at least the return of the second best, here three."""
    _, agent = searcher("bandit", BanditConfig(arms=3), elite_fraction=0.5, smoothing=0.5)
    state = agent.begin(2, 4)
    action = torch.tensor([[[0, 1, 1, 2], [0, 1, 2, 2]]])
    reward = torch.tensor([[[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    after = agent.adapt(state, rollout_of(action, reward)).values["probability"][:, 0]
    expected = [[1 / 6 + 1 / 6, 1 / 6 + 1 / 3, 1 / 6], [1 / 6 + 1 / 8, 1 / 6 + 1 / 8, 1 / 6 + 1 / 4]]
    torch.testing.assert_close(after, torch.tensor(expected))


def test_steps_not_reached_by_the_elite_are_unchanged() -> None:
    _, agent = searcher(env_config=QubitConfig(horizon=4), elite_fraction=0.5, smoothing=1.0, initial_std=0.5)
    valid = torch.tensor([[True] * 4, [True, False, True, True], [False, False, True, True]])[:, None]
    reward = torch.tensor([[3.0, 2.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4])[:, None]
    action = torch.full((3, 1, 4, 2), 0.25)
    action[1, 0, 1] = 99.0  # padding
    after = agent.adapt(agent.begin(1, 4), rollout_of(action, reward, valid)).values
    assert after["mean"][0, :, 0].tolist() == [0.25, 0.25, 0.0, 0.0]
    assert after["std"][0, :, 0].tolist() == [0.0, 0.0, 0.5, 0.5]


def test_elite_has_at_least_two_episodes_unless_there_is_only_one() -> None:
    _, agent = searcher(env_config=QubitConfig(horizon=1))
    action, reward = torch.tensor([[[[0.1] * 2, [0.3] * 2, [0.9] * 2]]]), torch.tensor([[[2.0, 1.0, 0.0]]])
    after = agent.adapt(agent.begin(1, 3), rollout_of(action, reward)).values
    torch.testing.assert_close(after["mean"][0, 0], torch.tensor([0.2, 0.2]))
    single = agent.adapt(agent.begin(1, 1), rollout_of(action[:, :, :1], reward[:, :, :1])).values
    assert single["std"].max() == 0


# -- acting ------------------------------------------------------------------------------------------------------------


def test_actions_are_sampled_from_the_distribution_of_their_step() -> None:
    _, agent = searcher("navigation")
    begun = agent.begin(1, 1)
    values = {name: value.clone() for name, value in begun.values.items()}
    values["mean"][0, 1], values["std"][0, 1] = torch.tensor([0.5, -0.25]), torch.tensor([0.1, 0.05])
    seen, generator = torch.zeros(1, 20_000, 2), torch.Generator().manual_seed(0)
    first, state = agent.act(Search(values, 0), seen, generator)
    second, state = agent.act(state, seen, generator)
    assert state.step == 2 and first.abs().max() == 1, "cut off at the ends of the range"
    assert float((first.abs() == 1).double().mean()) == pytest.approx(2 * 0.158655, abs=0.01)  # beyond one deviation
    for column, mean, std in ((0, 0.5, 0.1), (1, -0.25, 0.05)):
        assert float(second[0, :, column].mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(20_000))
        assert float(second[0, :, column].std()) == pytest.approx(std, rel=0.03)
    moved = agent.to_environment(second)  # 0.1 m a step
    torch.testing.assert_close(moved, 0.1 * second)


def test_discrete_actions_start_at_the_first_action_of_the_space() -> None:
    distribution, agent = searcher("bandit", BanditConfig(arms=3))
    distribution.action_space = gym.spaces.Discrete(3, start=5)
    spec = Spec.default(env="bandit", agent="cross_entropy")
    agent = cross_entropy.Discrete(spec.agent_config, _setting(distribution), distribution.action_space)
    values = {"probability": torch.tensor([[[0.2, 0.0, 0.8]], [[1.0, 0.0, 0.0]]])}
    drawn, _ = agent.act(Search(values, 0), torch.zeros(2, 10_000, 1), torch.Generator().manual_seed(0))
    assert float((drawn[0] == 0).double().mean()) == pytest.approx(0.2, abs=0.02) and not (drawn == 1).any()
    assert not drawn[1].any() and agent.to_environment(drawn).unique().tolist() == [5, 7]


def _setting(distribution):
    from agents.core.context import BuildContext

    def none(*_, **__):
        raise NotImplementedError

    return BuildContext(distribution, torch.device("cpu"), none, none)


class Countdown(gym.Env):
    """Ends after 2, 3, 4, ... steps; keeps the actions of each episode."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Box(-1.0, 1.0, (2,))

    def __init__(self) -> None:
        self.episodes: list[list[float]] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes.append([])
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action):
        self.episodes[-1].append(round(float(action[0]), 3))
        over = len(self.episodes[-1]) == len(self.episodes) + 1
        return np.zeros(2, dtype=np.float32), 0.0, over, False, {}


def plan(agent) -> Search:
    """Plan of 0.0, 0.1, 0.2, ... in the steps of an episode, deterministic."""
    steps = 0.1 * torch.arange(agent.horizon)
    return Search({"mean": steps[None, :, None].expand(1, -1, 2), "std": torch.zeros(1, agent.horizon, 2)}, 0)


def test_every_episode_starts_with_the_first_action() -> None:
    _, agent = searcher(env_config=QubitConfig(horizon=5))
    env, generator = Countdown(), torch.Generator()
    assert isinstance(agent, OpenLoopAgent)
    begun = replace(plan(agent), step=3)  # regardless of earlier actions
    collect_episodes(env, agent, begun, generator, n_episodes=3, max_steps=5, seed=0)
    assert env.episodes == [[0.0, 0.1], [0.0, 0.1, 0.2], [0.0, 0.1, 0.2, 0.3]]
    lanes = envs.make("qubit_control", horizon=5).vectorise(1, 2)
    rollout, _ = collect(lanes, agent, begun, generator, seed=0, n_tasks=1)
    torch.testing.assert_close(rollout.action[:, 0, 0, 0], 0.1 * torch.arange(5))


def test_open_loop_policies_must_observe_episode_ends(tmp_path) -> None:
    config = QubitConfig(horizon=3)
    run = agents.train(
        tmp_path / "run", env="qubit_control", env_config=config, agent="cross_entropy", progress=False, eval_tasks=2,
        eval_episodes=4, threads=1,
    )  # fmt: skip
    policy = run.adapt(episodes=4, steps=2)
    seen = np.zeros(2, dtype=np.float32)
    first = [policy.act(seen) for _ in range(3)]
    with pytest.raises(
        UsageError, match="has actions for the 3 steps of an episode only: report the end of an episode with observe"
    ):
        policy.act(seen)
    policy.observe(seen, 0.5, True)
    again = [policy.act(seen) for _ in range(2)]
    policy.observe(seen, 0.5, False)
    again.append(policy.act(seen))
    # After two updates from the best two of four episodes, actions of the same step are close to each other.
    assert all(run.distribution.action_space.contains(action) for action in first + again)
    mean = policy._state.values["mean"][0].numpy()
    np.testing.assert_allclose(first, mean, atol=4 * float(policy._state.values["std"].max()) + 1e-6)


# -- optima found ------------------------------------------------------------------------------------------------------


def test_finds_a_pulse_for_each_device_and_narrows() -> None:
    distribution, agent = searcher()
    found = evaluate_returns(
        agent, distribution, EvaluationPlan(n_tasks=20, steps=3, episodes=40, split="test", seed=0)
    ).per_task.mean(0)
    assert found[0] == pytest.approx(0.5, abs=0.05) and (np.diff(found) > 0).all() and found[3] > 0.95


def test_bandit_arms_are_weighted_by_powers_of_their_reward() -> None:
    """All rewarded pulls are the elite, so an update multiplies an arm's probability by its mean: Σ p^(k+1) / Σ p^k."""
    distribution, agent = searcher("bandit", BanditConfig(arms=3))
    found = evaluate_returns(
        agent, distribution, EvaluationPlan(n_tasks=20, steps=3, episodes=2000, split="test", seed=0)
    ).per_task
    p = distribution.sample(20, "test").p.numpy()
    expected = np.stack([(p ** (k + 1)).sum(1) / (p**k).sum(1) for k in range(4)], axis=1)
    np.testing.assert_allclose(found, expected, atol=0.06)
    np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elite_fraction": 0.0}, r"agent cross_entropy: elite_fraction must be in \(0, 1\], not 0.0"),
        ({"smoothing": 1.5}, r"smoothing must be in \(0, 1\]"),
        ({"initial_std": 0.0}, "initial_std must be finite and positive"),
    ],
)
def test_invalid_options_are_rejected(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cross_entropy.Config(**options)


# -- GRAPE -------------------------------------------------------------------------------------------------------------


def climber(env_config: QubitConfig | None = None, **options):
    config = QubitConfig() if env_config is None else env_config
    return build(
        Spec.default(env="qubit_control", env_config=config, agent="grape", agent_config=grape.Config(**options))
    )


def test_grape_reaches_the_fidelity_that_decay_allows() -> None:
    """Without decay the target is reached up to a residue for any errors; with T1 = Tφ = 2 us it is not."""
    distribution, agent = climber(QubitConfig(horizon=10), iterations=40, starts=2)
    errors = {"detuning": [-0.7], "amplitude": [0.15], "phase": [2.0]}
    rows = [distribution.task(errors | {"t1": t, "t_phi": t}) for t in (1e12, 2.0)]
    tasks = envs.Tasks({name: torch.cat([row[name] for row in rows]) for name in rows[0].names})
    pulses = agent.best_pulses(tasks, shared=False)
    good, poor = agent.returns(pulses, tasks).tolist()
    assert good > 0.999 and 0.85 < poor < 0.97
    assert pulses.abs().max() <= 1


def test_pulses_for_known_tasks_beat_one_robust_pulse() -> None:
    """Also with rewards from shots, whose mean it maximises. Updates do not change the pulses."""
    short = QubitConfig(horizon=10, shots=1000)
    informed, robust = (
        evaluate_returns(
            agent, distribution, EvaluationPlan(n_tasks=8, steps=1, episodes=20, split="test", seed=0)
        ).per_task
        for distribution, agent in (
            climber(short, iterations=40, starts=1, per_task=t, train_tasks=30) for t in (True, False)
        )
    )
    assert informed.min() > 0.97 and robust.mean() < 0.75
    np.testing.assert_allclose(informed[:, 0], informed[:, 1], atol=0.01)


def test_grape_rejects_unsupported_environments() -> None:
    with pytest.raises(UsageError, match="agent grape: supports only qubit_control, not 'navigation'"):
        build(Spec.default(env="navigation", agent="grape"))
    with pytest.raises(UsageError, match="agent grape: iterations must be at least 1"):
        grape.Config(iterations=0)
