"""The pendulum: equal to Gymnasium's at the nominal task, numbers by hand elsewhere, and relevant targets."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from envs import TaskDistribution, Tasks
from tests.support.double_precision import f64

pytestmark = pytest.mark.filterwarnings("error")

MAX_TORQUE = 2.0


@pytest.fixture
def family() -> TaskDistribution:
    return envs.make("pendulum")


def theirs() -> tuple[gym.Env, Any]:
    """Gymnasium's pendulum, wrapped and unwrapped.

    Without its checker, which rejects float64 actions: with float32 ones it computes the torque term in float32.
    """
    env = gym.make("Pendulum-v1", disable_env_checker=True)
    env.reset(seed=0)
    return env, env.unwrapped


def short_way(x: np.ndarray) -> np.ndarray:
    """Wrap an angle to [-π, π], computed differently from the library and Gymnasium."""
    return np.arctan2(np.sin(x), np.cos(x))


# -- against Gymnasium -------------------------------------------------------------------------------------------------


def test_defaults_equal_gymnasium(family: TaskDistribution) -> None:
    env, inner = theirs()
    assert family.nominal == {"mass": inner.m, "length": inner.l, "gravity": inner.g, "target": 0.0}
    assert family.observation_space == env.observation_space and family.action_space == env.action_space
    assert env.spec is not None and family.horizon == env.spec.max_episode_steps == 200


@pytest.mark.parametrize(
    ("dtype", "in_state", "in_reward"),
    [
        (np.float64, 1e-14, 1e-14),
        # Float32 rounds 3 / (m l²), its product with u, and u²: 6e-8 each, of at most 0.05 · 24.5 and of 0.004.
        (np.float32, 1.5e-7, 5e-10),
    ],
)
@pytest.mark.parametrize("nominal", [True, False])
def test_single_steps_equal_pendulum_v1(
    family: TaskDistribution, dtype: type, in_state: float, in_reward: float, nominal: bool
) -> None:
    """From random states, also after several turns and at the largest speed, with torques beyond the bounds."""
    n, rng = 2000, np.random.default_rng(0)
    tasks = family.nominal_tasks(n)
    if not nominal:  # any physics, with Gymnasium's target
        tasks = Tasks(family.sample(n, "train", rng).values | {"target": tasks.target})
    state = rng.uniform([-20, -8], [20, 8], (n, 2))
    state[:200, 1] = rng.choice([-8.0, 8.0], 200)
    state[200:210, 0] = np.pi * np.arange(-5, 5)
    action = rng.uniform(-4, 4, (n, 1)).astype(dtype)
    after, reward, ended = family.transition(torch.tensor(state), torch.tensor(action).double(), tasks)
    expected_state, expected_reward = np.empty((n, 2)), np.empty(n)
    env, inner = theirs()
    for i, row in enumerate(tasks.rows()):
        inner.m, inner.l, inner.g = row["mass"], row["length"], row["gravity"]
        inner.state = state[i]
        _, expected_reward[i], *_ = env.unwrapped.step(action[i])
        expected_state[i] = inner.state
    np.testing.assert_allclose(after.numpy(), expected_state, rtol=1e-14, atol=in_state)
    assert (after[:, 1].abs() == 8).sum() > 20 and (after[:, 1].abs() < 8).sum() > 1000, "both sides of the clip"
    assert (np.abs(action) > 2).sum() > 500
    assert not ended.any()
    np.testing.assert_allclose(reward.numpy(), expected_reward, rtol=1e-14, atol=in_reward)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_whole_episodes_equal_pendulum_v1(family: TaskDistribution, dtype: torch.dtype, tolerance: float) -> None:
    """Observations, rewards and flags of 200 steps from the same start, without resynchronising.

    Looser than for single steps, as a pendulum near upright amplifies a rounding error by up to e⁴ per second.
    """
    lanes = 8
    env = family.vectorise(1, lanes)
    observation, _ = env.reset(seed=3)
    others = [theirs() for _ in range(lanes)]
    for (_, inner), state in zip(others, env.state, strict=True):
        inner.state = state.numpy()
    generator = torch.Generator().manual_seed(1)
    fast = 0
    for t in range(1, 201):
        # Half of the lanes pump energy, so that the largest speed is reached; torques always exceed the bounds.
        action = 3.0 * torch.randn(lanes, 1, generator=generator, dtype=dtype)
        action[::2] = 2.5 * torch.sign(observation[::2, 2:]).to(dtype)
        observation, reward, terminated, truncated, _ = env.step(action)
        state = env.state
        for i, (other, inner) in enumerate(others):
            seen, earned, ended, limit, _ = other.step(action[i].numpy())
            np.testing.assert_allclose(state[i].numpy(), inner.state, rtol=0, atol=tolerance)
            # Both observations, and our rewards, are rounded to float32: relative 6e-8 of at most 8 and 16.3.
            np.testing.assert_allclose(observation[i].numpy(), seen, rtol=0, atol=tolerance + 1e-6)
            assert float(reward[i]) == pytest.approx(float(earned), abs=10 * tolerance + 2e-6)
            assert (bool(terminated[i]), bool(truncated[i])) == (ended, limit) == (False, t == 200)
        fast += int((state[:, 1].abs() == 8).sum())
    assert fast > 20


def test_initial_states_are_distributed_as_in_pendulum_v1(family: TaskDistribution) -> None:
    """θ uniform in [-π, π), θ' in [-1, 1): means 0 and standard deviations bound / √3, within 4 standard errors."""
    n = 20_000
    env = family.vectorise(1, n)
    observation, _ = env.reset(seed=0)
    state = env.state
    for column, bound in ((state[:, 0], math.pi), (state[:, 1], 1.0)):
        assert 0.999 * bound < float(column.max()) < bound and -bound <= float(column.min()) < -0.999 * bound
        assert abs(float(column.mean())) < 4 * bound / math.sqrt(3 * n)
        assert float(column.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    expected = torch.stack([state[:, 0].cos(), state[:, 0].sin(), state[:, 1]], dim=-1)
    torch.testing.assert_close(observation, expected.float(), rtol=0, atol=0)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_steps_by_hand(family: TaskDistribution) -> None:
    """Rod of 2 kg and 0.5 m at g = 4: 3 g / (2 l) = 12, 3 / (m l²) = 6.

    0. At π/2 and rest with 1 N m: θ'' = 12 + 6, θ' = 0.9, θ = π/2 + 0.045.
    1. At π/6 and -1 rad/s with -9, clipped to -2: θ'' = 6 - 12, θ' = -1.3, θ = π/6 - 0.065.
    2. At -π/2 and -7.9 rad/s with -2: θ'' = -24, so -9.1, clipped to -8; θ = -π/2 - 0.4.
    3. At 3 rad and rest, target -3: the shorter way is 2π - 6. θ'' = 12 sin 3.
    """
    rod = {"mass": 2.0, "length": 0.5, "gravity": 4.0}
    tasks = Tasks.from_rows([rod | {"target": target} for target in (0.0, 0.5, -1.0, -3.0)])
    state = torch.stack([f64(math.pi / 2, math.pi / 6, -math.pi / 2, 3), f64(0, -1, -7.9, 0)], dim=-1)
    after, reward, _ = family.transition(state, f64(1, -9, -2, 0)[:, None], tasks)
    last = 0.05 * 12 * math.sin(3)
    theta = f64(math.pi / 2 + 0.045, math.pi / 6 - 0.065, -math.pi / 2 - 0.4, 3 + 0.05 * last)
    torch.testing.assert_close(after, torch.stack([theta, f64(0.9, -1.3, -8, last)], dim=-1), rtol=1e-14, atol=0)
    expected = [
        (math.pi / 2) ** 2 + 0.001,
        (math.pi / 6 - 0.5) ** 2 + 0.1 + 0.004,
        (1 - math.pi / 2) ** 2 + 6.241 + 0.004,
        (2 * math.pi - 6) ** 2,
    ]
    torch.testing.assert_close(reward, -f64(*expected), rtol=1e-13, atol=0)


def test_target_changes_only_rewards(family: TaskDistribution) -> None:
    """By (θ - θ*)² - θ² with wrapped differences, over whole episodes; observations do not change."""
    env = family.vectorise(1, 16)
    generator = torch.Generator().manual_seed(0)
    actions = [torch.randn(16, 1, generator=generator) for _ in range(200)]
    seen, earned, angles = {}, {}, {}
    for target in (0.0, 0.8, -1.4):
        observation, _ = env.reset(seed=0, options={"tasks": family.task({"target": target})})
        history, rewards, thetas = [observation], [], []
        for action in actions:
            thetas.append(env.state[:, 0])
            observation, reward, *_ = env.step(action)
            history.append(observation)
            rewards.append(reward)
        seen[target], earned[target], angles[target] = map(torch.stack, (history, rewards, thetas))
    for target in (0.8, -1.4):
        assert torch.equal(seen[target], seen[0.0]) and torch.equal(angles[target], angles[0.0])
        theta = angles[0.0].numpy()
        difference = short_way(theta) ** 2 - short_way(theta - target) ** 2
        np.testing.assert_allclose((earned[target] - earned[0.0]).numpy(), difference, rtol=0, atol=5e-6)


@pytest.mark.parametrize(("name", "value"), [("mass", 0.5), ("length", 0.7), ("gravity", 1.0)])
def test_physics_changes_the_next_state_but_not_the_current_reward(
    family: TaskDistribution, name: str, value: float
) -> None:
    """From π/2 at rest with 1 N m, nominally θ'' = 15 + 3; half the mass 15 + 6; 0.7 m: 15/0.7 + 3/0.49; g = 1: 4.5."""
    expected = {"mass": 21.0, "length": 15 / 0.7 + 3 / 0.49, "gravity": 4.5}[name]
    state, action = f64(math.pi / 2, 0.0)[None], f64(1.0)[None]
    after, reward, _ = family.transition(state, action, family.task({name: value}))
    assert after[0, 1].item() == pytest.approx(0.05 * expected, rel=1e-13)
    assert reward.item() == pytest.approx(-((math.pi / 2) ** 2 + 0.001), rel=1e-13)


def test_episodes_are_truncated_at_the_horizon_and_never_terminate() -> None:
    env = envs.make("pendulum", horizon=37).make()
    env.reset(seed=0)
    flags = [env.step(np.array([2.0], dtype=np.float32))[2:4] for _ in range(37)]
    assert flags == [(False, False)] * 36 + [(False, True)]


# -- claims of the datasheet on the tasks ------------------------------------------------------------------------------


def holding_torque(tasks: Tasks, angle: Tensor) -> Tensor:
    """Torque that holds the rod at rest [N m]: gravity acts on its centre, l/2 from the pivot."""
    return -tasks.mass * tasks.gravity * tasks.length / 2 * angle.sin()


def test_nearly_every_target_can_be_held(family: TaskDistribution) -> None:
    """Fraction of train tasks by the midpoint rule over all four parameters; every OOD task, by the worst corner."""
    midpoints = (np.arange(24) + 0.5) / 24
    grid = np.stack(np.meshgrid(*[midpoints] * 4, indexing="ij")).reshape(4, -1)
    columns = zip(family.parameters.items(), grid, strict=True)
    tasks = Tasks({name: torch.from_numpy(range_.ppf(u)) for (name, range_), u in columns})
    assert (holding_torque(tasks, tasks.target).abs() <= MAX_TORQUE).double().mean().item() == pytest.approx(
        0.9715, abs=0.002
    )
    assert (tasks.mass * tasks.gravity * tasks.length > 4).double().mean().item() == pytest.approx(0.19, abs=0.01)

    heaviest = math.prod(family.ood[name].high for name in ("mass", "length", "gravity"))  # type: ignore[attr-defined]
    assert heaviest == pytest.approx(1.82) and heaviest / 2 < MAX_TORQUE
    test = family.sample(100, "test")
    assert (holding_torque(test, test.target).abs() <= MAX_TORQUE).sum() >= 95


def test_holding_torque_holds(family: TaskDistribution) -> None:
    """The rod stays at rest in the simulator, too: θ'' = 0."""
    tasks = family.sample(100, "ood")
    state = torch.stack([tasks.target, torch.zeros_like(tasks.target)], dim=-1)
    after, _, _ = family.transition(state, holding_torque(tasks, tasks.target)[:, None], tasks)
    torch.testing.assert_close(after, state, rtol=0, atol=1e-14)


def control(state: Tensor, tasks: Tasks, aim: Tensor) -> Tensor:
    """A controller with known physics: swing up to the energy of upright, then critically damped control to `aim`.

    Åström and Furuta 2000, Swinging up a pendulum by energy control.
    """
    theta, theta_dot = state.unbind(-1)
    weight = tasks.mass * tasks.gravity * tasks.length / 2
    inertia = tasks.mass * tasks.length.square() / 3
    off_target = torch.atan2((theta - aim).sin(), (theta - aim).cos())
    hold = -weight * theta.sin() - inertia * (9.0 * off_target + 6.0 * theta_dot)
    energy = inertia * theta_dot.square() / 2 + weight * (theta.cos() - 1.0)
    pump = torch.where((energy < 0.02) == (theta_dot >= 0), MAX_TORQUE, -MAX_TORQUE)
    near = (theta.cos() > math.cos(0.6)) | (off_target.abs() < 0.5)
    return torch.where(near | (weight <= MAX_TORQUE), hold, pump)[:, None]


def controlled(family: TaskDistribution, tasks: Tasks, aim: Tensor) -> tuple[Tensor, Tensor]:
    """Return of an episode, and the largest distance from the target in its last 50 steps [rad], of each task."""
    env = family.vectorise(len(tasks), 1)
    env.reset(seed=0, options={"tasks": tasks})
    returns, worst = torch.zeros(len(tasks)), torch.zeros(len(tasks), dtype=torch.float64)
    for t in range(family.horizon):
        state = env.state
        _, reward, *_ = env.step(control(state, tasks, aim))
        returns += reward
        if t >= family.horizon - 50:
            offset = env.state[:, 0] - tasks.target
            worst = torch.maximum(worst, torch.atan2(offset.sin(), offset.cos()).abs())
    return returns, worst


@pytest.mark.parametrize("split", ["train", "ood"])
def test_known_target_is_reached_and_unknown_target_is_costly(family: TaskDistribution, split: str) -> None:
    """Tasks are solvable within an episode, but only by identifying the target."""
    tasks = family.sample(400, split, np.random.default_rng(0))
    holdable = holding_torque(tasks, tasks.target).abs() <= MAX_TORQUE
    informed, worst = controlled(family, tasks, tasks.target)
    blind, _ = controlled(family, tasks, torch.zeros_like(tasks.target))
    assert (worst[holdable] < 0.05).double().mean() > 0.99
    # Aiming for 0 instead of the target costs 200 · E[θ*²]: 67 in train, 317 in ood.
    assert (informed - blind).mean() > {"train": 40, "ood": 150}[split]


def test_swing_up_in_the_nominal_task(family: TaskDistribution) -> None:
    tasks = family.nominal_tasks(200)
    returns, worst = controlled(family, tasks, tasks.target)
    assert returns.mean() > -200 and (worst < 0.05).all()
