"""The mountain cars against Gymnasium with any engine and gravity and by hand, and an engine whose sign matters."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from envs import TaskDistribution, Tasks
from qrl.common.errors import UsageError
from tests.support.double_precision import f64

pytestmark = pytest.mark.filterwarnings("error")

ENGINE = {"mountain_car": "force", "mountain_car_continuous": "power"}
GOAL = {"mountain_car": 0.5, "mountain_car_continuous": 0.45}


@pytest.fixture(params=ENGINE)
def family(request: pytest.FixtureRequest) -> TaskDistribution:
    return envs.make(request.param)


# -- against Gymnasium -------------------------------------------------------------------------------------------------


def some_states(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample states all over the track and near the wall and the goals."""
    state = rng.uniform([-1.2, -0.07], [0.6, 0.07], (n, 2))
    state[: n // 3, 0] = rng.choice([-1.2, -1.19, -1.15, 0.44, 0.49, 0.58], n // 3)
    return state


def test_single_steps_equal_mountain_car_v0() -> None:
    family, rng, n = envs.make("mountain_car"), np.random.default_rng(0), 2000
    tasks = family.sample(n, "train", rng)
    state, action = some_states(n, rng), rng.integers(3, size=n)
    after, reward, ended = family.transition(torch.tensor(state), torch.tensor(action), tasks)
    theirs: Any = gym.make("MountainCar-v0").unwrapped
    expected, ends = np.empty((n, 2)), np.empty(n, dtype=bool)
    for i, row in enumerate(tasks.rows()):
        theirs.force, theirs.gravity, theirs.state = row["force"], row["gravity"], state[i]
        _, _, ends[i], *_ = theirs.step(action[i])
        expected[i] = theirs.state
    np.testing.assert_allclose(after.numpy(), expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_array_equal(ended.numpy(), ends)
    assert (reward == -1).all()
    assert_every_bound_is_met(expected, ends)


def test_single_steps_equal_mountain_car_continuous_v0() -> None:
    """Its gravity is a constant and its state is rounded to float32; throttles beyond the bounds too."""
    family, rng, n = envs.make("mountain_car_continuous"), np.random.default_rng(0), 2000
    tasks = family.sample(n, "train", rng)
    tasks = Tasks({**tasks.values, "gravity": torch.full_like(tasks.gravity, 0.0025)})
    state, action = some_states(n, rng), rng.uniform(-2, 2, (n, 1))
    after, reward, ended = family.transition(torch.tensor(state), torch.tensor(action), tasks)
    theirs: Any = gym.make("MountainCarContinuous-v0").unwrapped
    expected, earned, ends = np.empty((n, 2)), np.empty(n), np.empty(n, dtype=bool)
    for i, power in enumerate(tasks.power.tolist()):
        theirs.power, theirs.state = power, state[i].copy()
        _, earned[i], ends[i], *_ = theirs.step(action[i])
        expected[i] = theirs.state
    np.testing.assert_allclose(after.numpy(), expected, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(ended.numpy(), ends)
    np.testing.assert_allclose(reward.numpy(), earned, rtol=1e-14, atol=1e-16)
    assert_every_bound_is_met(expected, ends)


def assert_every_bound_is_met(state: np.ndarray, ends: np.ndarray) -> None:
    position, velocity = state.T
    fastest = np.abs(velocity) > 0.07 - 1e-6
    wall, far_end = position < -1.2 + 1e-6, position > 0.6 - 1e-6
    for met in (fastest, wall, far_end, ends):
        assert 20 < met.sum() < len(state) / 2
    assert (velocity[wall] == 0).any() and not ends[velocity < 0].any()


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_steps_by_hand(family: TaskDistribution) -> None:
    """The slope, cos 3 x, is 1 at x = 0, where gravity pulls fully to the left, and 0 at -π/6, the bottom."""
    engine = ENGINE[family.name]
    tasks = Tasks.from_rows([{engine: -0.0012, "gravity": 0.002}, {engine: 0.0014, "gravity": 0.003}])
    state = torch.stack([f64(0, -math.pi / 6), f64(0.01, -0.02)], dim=-1)
    action = torch.tensor([2, 2]) if family.name == "mountain_car" else f64(1, 1)[:, None]
    after, reward, ended = family.transition(state, action, tasks)
    velocity = f64(0.01 - 0.0012 - 0.002, -0.02 + 0.0014)
    torch.testing.assert_close(after, torch.stack([state[:, 0] + velocity, velocity], dim=-1), rtol=1e-14, atol=1e-16)
    assert reward.tolist() == [-1.0 if family.name == "mountain_car" else -0.1] * 2 and not ended.any()


def test_shaping_rewards_energy(family: TaskDistribution) -> None:
    """Per mass, the energy is v²/2 + g sin(3 x)/3. The goal takes g (sin(3 goal) + 1)/3 more than rest at the bottom.

    Three steps, the first two without the engine: down from 0.2 m, from the bottom at 0.02 m/step, and to the goal,
    where the energy, though more than needed, counts as 1.
    """
    name, goal, gravity = family.name, GOAL[family.name], 0.0024
    shaped = envs.make(name, shaping=50.0)
    tasks = Tasks.from_rows([{ENGINE[name]: 0.001, "gravity": gravity}] * 3)
    state = torch.stack([f64(0.2, -math.pi / 6, goal - 0.01), f64(0, 0.02, 0.069)], dim=-1)
    action = torch.tensor([1, 1, 1]) if name == "mountain_car" else f64(0, 0, 0)[:, None]
    after, reward, ended = family.transition(state, action, tasks)
    _, shaped_reward, _ = shaped.transition(state, action, tasks)
    needed = gravity * (math.sin(3 * goal) + 1) / 3
    shares = [
        [min(1, (v**2 / 2 + gravity * (math.sin(3 * x) + 1) / 3) / needed) for x, v in rows.tolist()]
        for rows in (state, after)
    ]
    assert ended.tolist() == [False, False, True] and shares[0][1] == pytest.approx(0.0002 / needed)
    assert shares[1][2] == 1 and shares[0][0] > shares[1][0] - 1e-4
    torch.testing.assert_close(shaped_reward - reward, 50 * (f64(*shares[1]) - f64(*shares[0])), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*ENGINE, "acrobot"])
def test_non_finite_shaping_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: shaping .* must be finite"):
        envs.make(name, shaping=math.nan)


def test_episodes_start_at_rest_near_the_bottom(family: TaskDistribution) -> None:
    """Uniform in [-0.6, -0.4): mean -0.5, standard deviation 0.2 / √12, within 4 standard errors."""
    env = family.vectorise(1, 5000)
    env.reset(seed=0)
    position, velocity = env.state.unbind(-1)
    assert (velocity == 0).all() and -0.6 <= position.min() < -0.599 and -0.401 < position.max() < -0.4
    assert abs(float(position.mean()) + 0.5) < 4 * 0.2 / math.sqrt(12 * 5000)


# -- claims of the datasheet on the tasks ------------------------------------------------------------------------------


def drive(family: TaskDistribution, tasks: Tasks, first: float, assumed: Tasks | None = None) -> tuple[Tensor, Tensor]:
    """Steps to the goal and return of pushing along the motion, initially to the side of `first`.

    The driver assumes the engine of the task `assumed`. If the goal is not reached, the number of steps is one
    more than the horizon.
    """
    sign = (assumed or tasks)[ENGINE[family.name]].sign()
    env = family.vectorise(len(tasks), 1)
    env.reset(seed=0, options={"tasks": tasks})
    returns = torch.zeros(len(tasks))
    steps, done = torch.ones(len(tasks), dtype=torch.int64), torch.zeros(len(tasks), dtype=torch.bool)
    for _ in range(family.horizon):
        velocity = env.state[:, 1]
        throttle = sign * torch.where(velocity == 0, first, velocity.sign())
        action = (throttle + 1).long() if family.name == "mountain_car" else throttle[:, None]
        _, reward, done, *_ = env.step(action)
        returns += reward
        steps += ~done
        if done.all():
            break
    return steps, returns


@pytest.mark.parametrize("split", ["train", "ood"])
def test_driver_that_knows_the_engine_reaches_the_goal(family: TaskDistribution, split: str) -> None:
    tasks = family.sample(1000, split, np.random.default_rng(0))
    (left, left_return), (right, right_return) = (drive(family, tasks, first) for first in (-1.0, 1.0))
    if family.name == "mountain_car":
        assert torch.minimum(left, right).max() <= 130
    else:
        assert torch.maximum(left_return, right_return).min() > 80


def test_driver_with_a_fixed_sign_succeeds_in_half_of_the_tasks() -> None:
    for name, engine in ENGINE.items():
        family = envs.make(name, horizon=200)
        tasks = family.sample(200, "test")
        granted = Tasks({**tasks.values, engine: tasks[engine].abs()})
        reached = torch.minimum(*(drive(family, tasks, first, assumed=granted)[0] for first in (-1.0, 1.0))) <= 200
        assert torch.equal(reached, tasks[engine] > 0) and 70 < reached.sum() < 130


def test_engine_is_weaker_than_gravity_and_random_actions_rarely_succeed(family: TaskDistribution) -> None:
    for split in ("train", "ood"):
        tasks = family.sample(300, split, np.random.default_rng(0))
        assert (tasks[ENGINE[family.name]].abs() < tasks.gravity).all()
    tasks = family.sample(300, "test")
    env = family.vectorise(300, 1)
    env.reset(seed=0, options={"tasks": tasks})
    env.action_space.seed(0)
    for _ in range(family.horizon):
        terminated = env.step(torch.as_tensor(env.action_space.sample()))[2]
    assert terminated.double().mean() < 0.02
