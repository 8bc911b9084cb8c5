"""The cart and pole by hand and against Gymnasium's CartPole-v1."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from envs import Tasks
from envs.dynamics import cart_pole as physics
from tests.support.double_precision import f64

pytestmark = pytest.mark.filterwarnings("error")


def test_cart_and_pole_by_hand() -> None:
    """At rest: thrust = 10/1.1 = 100/11, θ'' = -(100/11) / (0.5·(4/3 - 1/11)) = -600/41, x'' = 400/41."""
    state = physics.advance(torch.zeros(1, 4, dtype=torch.float64), f64(10.0), **without_force(physics.NOMINAL))
    torch.testing.assert_close(state, f64(0, 0.02 * 400 / 41, 0, -0.02 * 600 / 41)[None], rtol=1e-14, atol=0)


def without_force(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != "force"}


def test_cart_and_pole_limits() -> None:
    angle = math.radians(12)
    states = [[2.41, 0], [-2.41, 0], [0, angle + 1e-9], [0, -angle - 1e-9], [2.4, angle - 1e-9], [-2.4, 1e-9 - angle]]
    full = torch.tensor([[x, 9.0, theta, 9.0] for x, theta in states], dtype=torch.float64)
    assert physics.fallen(full).tolist() == [True, True, True, True, False, False]


def lean(observation: Tensor, angle: float) -> Tensor:
    """Keep the pole leaning at `angle`, so that the cart accelerates in that direction until it leaves the track."""
    return (observation[:, 2] - angle + 0.3 * observation[:, 3] > 0).long()


def balance(observation: Tensor) -> Tensor:
    return (observation @ torch.tensor([0.05, 0.1, 1.0, 0.5]) > 0).long()


POLICIES = {
    "random": lambda observation, generator: torch.randint(2, (len(observation),), generator=generator),
    "lean right": lambda observation, generator: lean(observation, 0.05),
    "lean left": lambda observation, generator: lean(observation, -0.05),
    "balance": lambda observation, generator: balance(observation),
    "push right": lambda observation, generator: torch.ones(len(observation), dtype=torch.int64),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("nominal", [True, False])
def test_cartpole_equals_cartpole_v1(policy: str, nominal: bool) -> None:
    """Whole episodes with flags against Gymnasium, at the nominal task and with changed attributes."""
    lanes = 6
    family = envs.make("cartpole", horizon=500)
    tasks = family.nominal_tasks(lanes) if nominal else family.sample(lanes, "train", np.random.default_rng(3))
    env = family.vectorise(lanes, 1)
    observation, _ = env.reset(seed=len(policy), options={"tasks": tasks})
    others = []
    for row, state in zip(tasks.rows(), env.state, strict=True):
        other = gym.make("CartPole-v1")
        other.reset(seed=0)
        theirs: Any = other.unwrapped
        if not nominal:
            theirs.force_mag, theirs.gravity, theirs.length = row["force"], row["gravity"], row["length"]
            theirs.masscart, theirs.masspole = row["masscart"], row["masspole"]
            theirs.total_mass = theirs.masscart + theirs.masspole
            theirs.polemass_length = theirs.masspole * theirs.length
        theirs.state = state.numpy()
        others.append((other, theirs))

    generator = torch.Generator().manual_seed(0)
    running, ends = [True] * lanes, set()
    for _ in range(500):
        action = POLICIES[policy](observation, generator)
        observation, reward, terminated, truncated, _ = env.step(action)
        state = env.state
        for i, (other, theirs) in enumerate(others):
            if running[i]:
                _, their_reward, their_end, their_limit, _ = other.step(int(action[i]))
                np.testing.assert_allclose(state[i].numpy(), theirs.state, rtol=0, atol=1e-6)
                ours = reward[i].item(), bool(terminated[i]), bool(truncated[i])
                assert ours == (their_reward, their_end, their_limit)
                if their_end or their_limit:
                    running[i] = False
                    ends.add("track" if abs(state[i, 0]) > 2.4 else "angle" if their_end else "limit")
    assert not any(running)
    if nominal:  # the comparison must cover each kind of episode end
        wanted = {"lean right": "track", "lean left": "track", "balance": "limit"}
        assert wanted.get(policy, "angle") in ends


def test_cartpole_target_has_nominal_physics_and_rewards_proximity() -> None:
    """From x = 0.6 m at 0.5 m/s the cart is at 0.61 m: rewards 1 - 0.59/1.5, 1 - 0.61/1.5 and 0 (1.81 m away)."""
    family, plain = envs.make("cartpole_target"), envs.make("cartpole")
    tasks = Tasks({"target": f64(1.2, 0.0, -1.2)})
    state = f64(0.6, 0.5, 0.01, -0.1).repeat(3, 1)
    action = torch.tensor([0, 1, 1])
    after, reward, fallen = family.transition(state, action, tasks)
    torch.testing.assert_close(reward, f64(1 - 0.59 / 1.5, 1 - 0.61 / 1.5, 0.0), rtol=1e-12, atol=1e-12)
    expected, _, _ = plain.transition(state, action, plain.nominal_tasks(3))
    assert torch.equal(after, expected) and not fallen.any()


def test_cartpole_starts_near_the_middle() -> None:
    env = envs.make("cartpole").vectorise(1, 2000)
    state, _ = env.reset(seed=0)
    assert state.abs().max() <= 0.05 and state.abs().max() > 0.0499
    assert state.mean(0).abs().max() < 4 * 0.05 / math.sqrt(3 * 2000)
