"""Families based on a Gymnasium environment equal it at their nominal task: initial states, steps, pictures.

A family with a reference implementation is one entry of `REFERENCES`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_match import check_environments_match
from gymnasium.wrappers import TransformObservation, TransformReward

import envs
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

Policy = Callable[[np.ndarray, Any], Any]
"""The action after an observation, given a random one."""


def random(observation: np.ndarray, action: Any) -> Any:
    return action


def random_in_double(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Torque in float64: with float32 torques Gymnasium's pendulum computes part of its step in float32."""
    return action.astype(np.float64)


def idle(observation: np.ndarray, action: Any) -> int:
    return 1


def balance(observation: np.ndarray, action: Any) -> int:
    return int(observation @ np.array([0.05, 0.1, 1.0, 0.5]) > 0)


def swing(observation: np.ndarray, action: Any) -> int:
    """Push along the last velocity of the observation: that of the second link or the car."""
    return 2 if observation[-1] >= 0 else 0


def swing_in_full(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    return np.full_like(action, swing(observation, None) - 1)


def as_it_is(env: gym.Env, other: gym.Env) -> gym.Env:
    return env


def in_the_space_of(env: gym.Env, other: gym.Env) -> gym.Env:
    """Use the space of the other environment: spaces are compared with ==, and other tasks need a wider one."""
    return TransformObservation(env, lambda observation: observation, other.observation_space)


def with_rewards_in_arrays(env: gym.Env, other: gym.Env) -> gym.Env:
    """Wrap rewards in arrays: numbers are compared with ==, arrays to 1e-5, and native rewards are float32."""
    return TransformReward(env, lambda reward: np.array(reward, dtype=np.float32))


class WithoutArrow(gym.Wrapper):
    """Hide the last torque in Gymnasium's picture, which is not part of the native state."""

    def render(self) -> Any:
        setattr(self.unwrapped, "last_u", None)  # noqa: B010 - the static type has no such attribute
        return super().render()


@dataclass(frozen=True)
class Game:
    """Episodes of `policy` from each of the seeds 0, 1, ...; each must reach the `end`, if given."""

    policy: Policy
    steps: int
    end: str | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Reference:
    """The reference implementation of a family, with wrappers where the comparison is too strict."""

    name: str
    games: tuple[Game, ...]
    ours: Callable[[gym.Env, gym.Env], gym.Env] = as_it_is
    theirs: Callable[[gym.Env, gym.Env], gym.Env] = as_it_is

    def pair(self, family: str, render_mode: str | None = None) -> tuple[gym.Env, gym.Env]:
        """The family at its nominal task, with the reference's horizon, and the reference."""
        # The checker would look for mistakes at every step, which is unnecessary for Gymnasium's environments.
        theirs = gym.make(self.name, render_mode=render_mode, disable_env_checker=True)
        assert theirs.spec is not None
        ours = envs.make(family, horizon=theirs.spec.max_episode_steps).make(render_mode=render_mode)
        return self.ours(ours, theirs), self.theirs(theirs, ours)


REFERENCES = {
    "cartpole": Reference(
        "CartPole-v1",
        (Game(random, 60, "terminated", seeds=3), Game(balance, 510, "truncated")),
        ours=in_the_space_of,
    ),
    "pendulum": Reference(
        "Pendulum-v1",
        (Game(random_in_double, 210, "truncated", seeds=3),),
        ours=with_rewards_in_arrays,
        theirs=lambda env, other: with_rewards_in_arrays(WithoutArrow(env), other),
    ),
    "acrobot": Reference(
        "Acrobot-v1",
        # A hundred seconds of random torques may amplify a rounding error by 1e15; twenty do not, nor do the others.
        (Game(random, 100, seeds=2), Game(swing, 170, "terminated"), Game(idle, 510, "truncated")),
    ),
    "mountain_car": Reference(
        "MountainCar-v0", (Game(random, 210, "truncated", seeds=2), Game(swing, 140, "terminated", seeds=3))
    ),
    "mountain_car_continuous": Reference(
        "MountainCarContinuous-v0",
        (Game(random, 1010, "truncated"), Game(swing_in_full, 130, "terminated", seeds=3)),
        ours=with_rewards_in_arrays,
        theirs=with_rewards_in_arrays,
    ),
}
GAMES = [
    pytest.param(family, game, seed, id=f"{family}-{game.policy.__name__}-{seed}")
    for family, reference in REFERENCES.items()
    for game in reference.games
    for seed in range(game.seeds)
]


class RecordedEpisodes(gym.Wrapper):
    """Run `policy` in `env` and record the kinds of episode end."""

    def __init__(self, env: gym.Env, policy: Policy) -> None:
        super().__init__(env)
        self.policy, self.ends, self.seen = policy, set[str](), np.empty(0)

    def reset(self, **options: Any) -> Any:
        self.seen, info = super().reset(**options)
        return self.seen, info

    def step(self, action: Any) -> Any:
        self.seen, *rest = super().step(self.policy(self.seen, action))
        self.ends |= {end for end, met in zip(("terminated", "truncated"), rest[1:3], strict=True) if met}
        return self.seen, *rest


@pytest.mark.parametrize(("family", "game", "seed"), GAMES)
def test_episodes_equal_the_reference_implementation(family: str, game: Game, seed: int) -> None:
    ours, theirs = (RecordedEpisodes(env, game.policy) for env in REFERENCES[family].pair(family))
    check_environments_match(ours, theirs, num_steps=game.steps, seed=seed)
    assert game.end is None or game.end in ours.ends, "the comparison was to cross the end of an episode"


@pytest.mark.parametrize("family", REFERENCES)
def test_resets_without_a_seed_continue_the_generator_of_the_reference(family: str) -> None:
    ours, theirs = REFERENCES[family].pair(family)
    has_state = hasattr(theirs.unwrapped, "state")
    starts = []
    for seed in (3, None, None, None):
        seen, _ = ours.reset(seed=seed)
        expected, _ = theirs.reset(seed=seed)
        # Random draws are bitwise equal; their sines and cosines are not.
        np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-7)
        if has_state:
            np.testing.assert_array_equal(ours.unwrapped.vector.state[0].numpy(), theirs.unwrapped.state)
        action = ours.action_space.sample()
        ours.step(action)
        theirs.step(action)
        starts.append(tuple(seen))
    assert len(set(starts)) == 4


# -- pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", REFERENCES)
def test_pictures_equal_the_reference_implementation(family: str) -> None:
    ours, theirs = REFERENCES[family].pair(family, render_mode="rgb_array")
    check_environments_match(ours, theirs, num_steps=5)
    last = theirs.render()
    assert isinstance(last, np.ndarray) and len(np.unique(last.reshape(-1, 3), axis=0)) > 2
    theirs.close()  # closing shuts down pygame globally
    np.testing.assert_array_equal(ours.render(), last)


@pytest.mark.parametrize(
    ("family", "task", "attributes"),
    [
        ("cartpole", {"length": 0.9}, {"length": 0.9}),
        ("acrobot", {"length_1": 0.7, "length_2": 1.3}, {"LINK_LENGTH_1": 0.7, "LINK_LENGTH_2": 1.3}),
    ],
)
def test_pictures_show_the_task(family: str, task: dict[str, float], attributes: dict[str, float]) -> None:
    ours: Any = envs.make(family).make(task, render_mode="rgb_array")
    theirs: Any = gym.make(REFERENCES[family].name, render_mode="rgb_array").unwrapped
    for attribute, value in attributes.items():
        setattr(theirs, attribute, value)
    for env in (ours, theirs):
        env.reset(seed=0)
    np.testing.assert_array_equal(ours.render(), theirs.render())
    ours.reset(options={"task": {}})
    assert not np.array_equal(ours.render(), theirs.render()), "and the next task"


def middle(drawn: Any, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels of `colour`."""
    return np.argwhere((drawn == np.array(colour)).all(-1)).mean(0)


RED = (214, 39, 40)


@pytest.mark.parametrize("target", [-1.8, -0.5, 0.0, 1.2])
def test_marker_is_under_a_cart_at_the_target(target: float) -> None:
    env: Any = envs.make("cartpole_target").make({"target": target}, render_mode="rgb_array")
    env.reset(seed=0)
    env.vector.set_state(env.vector.state.new_tensor([[target, 0.0, 0.0, 0.0]]))
    drawn = env.render()
    pole = middle(drawn, (202, 152, 101))
    np.testing.assert_allclose(middle(drawn, RED), [299, pole[1]], rtol=0, atol=1)


@pytest.mark.parametrize("target", [-1.5, -0.3, 0.8, 3.0])
def test_marker_is_at_the_end_of_a_rod_at_the_target(target: float) -> None:
    env: Any = envs.make("pendulum").make({"target": target}, render_mode="rgb_array")
    env.reset(seed=0)
    env.vector.set_state(env.vector.state.new_tensor([[target, 0.0]]))
    drawn = env.render()
    middle_of_rod = middle(drawn, (204, 77, 77)) - 250
    marker = middle(drawn, RED) - 250
    assert np.linalg.norm(marker) == pytest.approx(500 / 4.4, abs=1), "1 m from the pivot"
    cosine = marker @ middle_of_rod / np.linalg.norm(marker) / np.linalg.norm(middle_of_rod)
    assert cosine > 0.9995, "in the rod's direction, within 2°"


def test_error_without_pygame_explains_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = envs.make("cartpole").make(render_mode="rgb_array")
    env.reset(seed=0)
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UsageError, match=r"CartPole-v1 needs pygame: pip install 'qrl-meta\[render\]'"):
        env.render()
