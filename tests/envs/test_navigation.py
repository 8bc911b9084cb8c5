"""Navigation: moves, episode ends and picture by hand."""

import math

import numpy as np
import pytest

import envs
from envs.dynamics.drawing import GREEN, RED, WHITE

pytestmark = pytest.mark.filterwarnings("error")


def test_navigation_by_hand() -> None:
    """Goal (0.3, 0.4). Speeds are clipped, the reward is minus the distance after the move."""
    env = envs.make("navigation").make({"goal_x": 0.3, "goal_y": 0.4})
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [0.0, 0.0]
    observation, reward, terminated, _, _ = env.step(np.array([0.5, -0.03]))
    np.testing.assert_allclose(observation, [0.1, -0.03], rtol=1e-6)
    assert reward == pytest.approx(-math.sqrt(0.2**2 + 0.43**2), rel=1e-6) and not terminated
    observation, reward, terminated, _, _ = env.step(np.array([-1.0, 0.08]))
    np.testing.assert_allclose(observation, [0.0, 0.05], atol=1e-7)
    assert reward == pytest.approx(-math.sqrt(0.3**2 + 0.35**2), rel=1e-6) and not terminated


@pytest.mark.parametrize(
    ("last", "arrives"), [([0.0, 0.0905], True), ([0.0, 0.0895], False), ([-0.0095, 0.0905], True)]
)
@pytest.mark.parametrize("early", [True, False])
def test_navigation_ends_within_a_centimetre_on_both_axes(last: list[float], arrives: bool, early: bool) -> None:
    env = envs.make("navigation", early_termination=early).make({"goal_x": 0.3, "goal_y": 0.4})
    env.reset(seed=0)
    for _ in range(3):
        assert not env.step(np.array([0.1, 0.1]))[2]
    _, reward, terminated, truncated, _ = env.step(np.array(last))
    assert reward == pytest.approx(-math.hypot(last[0], last[1] - 0.1), rel=1e-4)
    assert terminated is (arrives and early) and not truncated


def test_navigation_is_truncated_after_100_steps_at_the_far_bound() -> None:
    env = envs.make("navigation").make({"goal_x": 0.3, "goal_y": 0.4})
    env.reset(seed=0)
    flags = [env.step(np.array([-0.1, -0.1], dtype=np.float32))[2:4] for _ in range(99)]
    assert set(flags) == {(False, False)}
    observation, _, terminated, truncated, _ = env.step(np.array([-0.1, -0.1], dtype=np.float32))
    assert not terminated and truncated
    np.testing.assert_allclose(observation, [-10.0, -10.0], rtol=1e-6)
    assert observation in env.observation_space


def test_picture_shows_point_and_goal() -> None:
    env = envs.make("navigation").make({"goal_x": 0.5, "goal_y": 0.25}, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.array([-0.1, 0.1], dtype=np.float32))
    drawn = env.render()
    assert drawn is not None
    assert drawn[120 - 30, 120 + 60].tolist() == list(GREEN) and drawn[120 - 36, 120 - 36].tolist() == list(RED)
    assert (drawn == WHITE).all(-1).mean() > 0.99
