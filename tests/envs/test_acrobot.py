"""The acrobot against Gymnasium and Lagrange's equations, and a motor whose sign matters."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

import envs
from envs import TaskDistribution, Tasks, acrobot
from tests.support.double_precision import f64

pytestmark = pytest.mark.filterwarnings("error")

LIMITS = np.pi * np.array([1, 1, 4, 9])
"""Of a state: angles [rad] and angular velocities [rad/s]."""


@pytest.fixture
def family() -> TaskDistribution:
    return envs.make("acrobot")


def some_states(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample slow states and states that exceed every bound within a step."""
    return rng.uniform(-LIMITS, LIMITS, (n, 4)) * rng.choice([0.1, 0.4, 1.0], (n, 1))


# -- the mechanics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nominal", [True, False])
def test_single_steps_equal_acrobot_v1(family: TaskDistribution, nominal: bool) -> None:
    """Gymnasium has one moment of inertia for both links and measures height in links: masses are 0.9 kg m² / l²."""
    n, rng = 600, np.random.default_rng(0)
    tasks = family.nominal_tasks(n)
    if not nominal:
        lengths = torch.from_numpy(rng.uniform(0.7, 1.4, (2, n)))
        names = ("length_1", "length_2", "mass_1", "mass_2", "torque")
        torque = torch.from_numpy(rng.uniform(-2, 2, n))
        tasks = Tasks(dict(zip(names, (*lengths, *(0.9 / lengths.square()), torque), strict=True)))
    state, action = some_states(n, rng), rng.integers(3, size=n)
    after, reward, ended = family.transition(torch.tensor(state), torch.tensor(action), tasks)
    theirs: Any = gym.make("Acrobot-v1").unwrapped
    clipped = turned = ends = 0
    for i, row in enumerate(tasks.rows()):
        theirs.LINK_LENGTH_1, theirs.LINK_LENGTH_2 = row["length_1"], row["length_2"]
        theirs.LINK_COM_POS_1, theirs.LINK_COM_POS_2 = row["length_1"] / 2, row["length_2"] / 2
        theirs.LINK_MASS_1, theirs.LINK_MASS_2 = row["mass_1"], row["mass_2"]
        theirs.LINK_MOI = row["mass_1"] * row["length_1"] ** 2
        theirs.AVAIL_TORQUE = [-row["torque"], 0.0, row["torque"]]
        theirs.state = state[i]
        _, their_reward, their_end, *_ = theirs.step(action[i])
        np.testing.assert_allclose(after[i].numpy(), theirs.state, rtol=1e-11, atol=1e-11)
        one, both = theirs.state[0], theirs.state[0] + theirs.state[1]
        raised = -row["length_1"] * math.cos(one) - row["length_2"] * math.cos(both) > 1
        assert (float(reward[i]), bool(ended[i])) == (0.0 if raised else -1.0, raised)
        assert not nominal or (their_reward, their_end) == (float(reward[i]), raised)
        clipped += bool((np.abs(theirs.state[2:]) == LIMITS[2:]).any())
        turned += bool((np.abs(theirs.state[:2] - state[i, :2]) > 4).any())
        ends += raised
    assert min(clipped, turned, ends, n - clipped, n - turned, n - ends) > 30, "both sides of every bound"


def links(angles: Tensor, task: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of the two links [link, xy], from the pivot, y upwards."""
    length_1, length_2 = task[0], task[1]
    along_1 = torch.stack([angles[0].sin(), -angles[0].cos()])
    along_2 = torch.stack([angles.sum().sin(), -angles.sum().cos()])
    return length_1 / 2 * along_1, length_1 * along_1 + length_2 / 2 * along_2


def lagrangian(angles: Tensor, speeds: Tensor, task: Tensor) -> Tensor:
    """Kinetic minus potential energy [J], from the motion of the links' centres and the rotation about them."""
    total = torch.zeros((), dtype=torch.float64)
    turning = (speeds[0], speeds.sum())
    for i in range(2):
        length, mass = task[i], task[2 + i]
        velocity = jacrev(lambda q, i=i: links(q, task)[i])(angles) @ speeds
        kinetic = mass * velocity.square().sum() / 2 + mass * length.square() * turning[i].square() / 2
        total = total + kinetic - mass * 9.8 * links(angles, task)[i][1]
    return total


def test_accelerations_solve_lagranges_equations(family: TaskDistribution) -> None:
    """d/dt ∂L/∂θ' = ∂L/∂θ + torque of the motor, which acts only on θ₂; L is differentiated by torch.func."""
    rng = np.random.default_rng(1)
    tasks = family.sample(50, "ood")
    state = torch.from_numpy(some_states(50, rng))
    torque = torch.from_numpy(rng.uniform(-2, 2, 50))
    speeds, accelerations = acrobot.Mechanics.of(tasks).velocity(state, torque).split(2, dim=-1)
    assert torch.equal(speeds, state[:, 2:])

    def imbalance(angles: Tensor, speeds: Tensor, accelerations: Tensor, torque: Tensor, task: Tensor) -> Tensor:
        momentum = grad(lagrangian, argnums=1)
        by_angle, by_speed = jacrev(momentum, argnums=(0, 1))(angles, speeds, task)
        force = grad(lagrangian, argnums=0)(angles, speeds, task) + torque * f64(0, 1)
        return by_angle @ speeds + by_speed @ accelerations - force

    columns = torch.stack([tasks[name] for name in ("length_1", "length_2", "mass_1", "mass_2")], dim=-1)
    left = vmap(imbalance)(state[:, :2], speeds, accelerations, torque, columns)
    assert left.abs().max() < 1e-9, "of terms of thousands of N m"


def test_shaping_rewards_energy(family: TaskDistribution) -> None:
    """Links of 2 kg and 0.5 m, 1 kg and 1.5 m: their centres are 0.25 m and 1.25 m from the pivot if straight.

    Upright requires 2 (2 · 0.25 + 1 · 1.25) g; horizontal, half of it. At 1 rad/s the moment of inertia is
    2 (0.25² + 0.5²) + 1 (1.25² + 1.5²). Energy beyond upright is not rewarded.
    """
    task = {"length_1": 0.5, "length_2": 1.5, "mass_1": 2.0, "mass_2": 1.0}
    upright = 2 * (2 * 0.25 + 1 * 1.25) * 9.8
    state = torch.stack([f64(math.pi / 2, 0, 0, 0), f64(0, 0, 1, 0), f64(0, 0, 0, 0), f64(math.pi, 0, 2, 0)])
    tasks = Tasks.from_rows([family.nominal | task] * 4)
    expected = f64(0.5, (2 * (0.25**2 + 0.5**2) + 1.25**2 + 1.5**2) / 2 / upright, 0, 1)
    torch.testing.assert_close(acrobot.Mechanics.of(tasks).energy_fraction(state), expected, rtol=1e-13, atol=1e-13)


def test_shaping_sums_to_the_gain_of_energy(family: TaskDistribution) -> None:
    shaped, tasks = envs.make("acrobot", shaping=30.0), family.sample(20, "test")
    plain, other = family.vectorise(20, 1), shaped.vectorise(20, 1)
    for env in (plain, other):
        env.reset(seed=0, options={"tasks": tasks})
    mechanics, before = acrobot.Mechanics.of(tasks), plain.state
    difference = torch.zeros(20)
    for t in range(40):
        action = swing(plain.state, tasks) if t % 10 else torch.ones(20, dtype=torch.int64)
        _, reward, terminated, *_ = plain.step(action)
        _, other_reward, *_ = other.step(action)
        difference += other_reward - reward
        assert torch.equal(plain.state, other.state)
        assert torch.equal(reward[~terminated], torch.full_like(reward[~terminated], -1.0))
    growth = 30 * (mechanics.energy_fraction(plain.state) - mechanics.energy_fraction(before))
    assert growth.min() > 1
    torch.testing.assert_close(difference.double(), growth, rtol=0, atol=1e-4)


# -- claims of the datasheet on the tasks ------------------------------------------------------------------------------


def swing(state: Tensor, tasks: Tasks) -> Tensor:
    """Drive the second link along its motion."""
    return torch.where((state[:, 3] >= 0) == (tasks.torque > 0), 2, 0)


def swing_then_coast(state: Tensor, tasks: Tasks) -> Tensor:
    """The same, until the energy is 0.8 of that of standing upright."""
    return torch.where(acrobot.Mechanics.of(tasks).energy_fraction(state) < 0.8, swing(state, tasks), 1)


def steps_taken(family: TaskDistribution, tasks: Tasks, controller: Any, assumed: Tasks | None = None) -> Tensor:
    """Steps until the tip is raised, or horizon + 1; the controller assumes the task `assumed`."""
    env = family.vectorise(len(tasks), 1)
    env.reset(seed=0, options={"tasks": tasks})
    steps, done = torch.ones(len(tasks), dtype=torch.int64), torch.zeros(len(tasks), dtype=torch.bool)
    for _ in range(family.horizon):
        done = env.step(controller(env.state, assumed or tasks))[2]
        steps += ~done
        if done.all():
            break
    return steps


@pytest.mark.parametrize("split", ["train", "ood"])
def test_controller_that_knows_the_task_raises_the_tip(split: str) -> None:
    family = envs.make("acrobot", horizon=250)  # half of the default
    tasks = family.sample(400, split, np.random.default_rng(5))
    plain = steps_taken(family, tasks, swing)
    assert plain.double().mean() < 100 and (plain > family.horizon).any()
    assert torch.minimum(plain, steps_taken(family, tasks, swing_then_coast)).max() <= family.horizon


def test_controller_with_a_fixed_sign_succeeds_in_half_of_the_tasks() -> None:
    family = envs.make("acrobot", horizon=150)
    tasks = family.sample(100, "test")
    granted = Tasks({**tasks.values, "torque": tasks.torque.abs()})
    raised = steps_taken(family, tasks, swing, assumed=granted) <= 150
    assert not raised[tasks.torque < 0].any() and raised[tasks.torque > 0].double().mean() > 0.9
    assert 30 < raised.sum() < 70


def test_random_actions_raise_the_tip_in_one_of_ten_episodes(family: TaskDistribution) -> None:
    generator = torch.Generator().manual_seed(0)
    tasks = family.sample(400, "train", np.random.default_rng(0))
    steps = steps_taken(family, tasks, lambda state, _: torch.randint(3, (len(state),), generator=generator))
    assert (steps <= family.horizon).double().mean().item() == pytest.approx(0.1, abs=0.05)
