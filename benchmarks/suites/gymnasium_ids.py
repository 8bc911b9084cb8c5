"""pytest plugin for Gymnasium's tests: environments of this library among, or in place of, Gymnasium's own.

The ids of this library stand in the lists over which Gymnasium's tests are parametrised. With `QRL_REPLACE_IDS=1` the
lists are Gymnasium's, and ids such as `CartPole-v1` mean the family of that name, as if the test had been written for
`qrl/CartPole-v0`. Tests that reset one of our environments are marked by the property `ours`.
"""

import functools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest

import envs  # noqa: F401  # registers the ids
from benchmarks.suites.runs import OURS
from envs.native.arrays import ArrayVectorEnv
from envs.native.ids import ids
from envs.native.single import SingleEnv

REPLACE = "QRL_REPLACE_IDS"
"""Environment variable that replaces ids of Gymnasium by ours."""
REPLACED = {
    "Acrobot-v1": "acrobot",
    "CartPole-v1": "cartpole",
    "FrozenLake-v1": "frozen_lake",
    "MountainCar-v0": "mountain_car",
    "MountainCarContinuous-v0": "mountain_car_continuous",
    "Pendulum-v1": "pendulum",
}
"""Families that stand in the place of an id of Gymnasium."""


def pytest_configure(config: pytest.Config) -> None:
    """Put our ids among, or in place of, Gymnasium's, before any test is imported."""
    sys.path.insert(0, str(config.rootpath))  # for `tests`; the library is the installed one, imported above
    from tests.envs import utils

    if os.environ.get(REPLACE) == "1":
        replace_ids()
        return
    made = [gym.make(id, disable_env_checker=True).unwrapped for id in ids().values()]
    utils.all_testing_initialised_envs[:] = made
    utils.all_testing_env_specs[:] = [env.spec for env in made]
    utils.mujoco_testing_env_specs.clear()


def replace_ids() -> None:
    """Let ids of Gymnasium mean our families, with the horizons of Gymnasium's environments."""
    for id, family in REPLACED.items():
        ours, horizon = gym.spec(ids()[family]), gym.spec(id).max_episode_steps
        _draw_once(ours.id)
        gym.registry[id] = replace(ours, id=id, kwargs=ours.kwargs | {"horizon": horizon})


def _draw_once(id: str) -> None:
    """Make a picture: our families keep the environment of Gymnasium that draws it, which has its id until then."""
    env = gym.make(id, render_mode="rgb_array")
    env.reset()
    env.render()


@pytest.fixture(autouse=True)
def _record_ours(record_property: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mark tests that make one of our environments."""
    made = 0

    def count(create: Any) -> Any:
        @functools.wraps(create)  # Gymnasium's checks read the signature
        def counted(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            return create(self, *arguments, **options)

        return counted

    for kind in (SingleEnv, ArrayVectorEnv):
        monkeypatch.setattr(kind, "reset", count(kind.reset))
    yield
    if made:
        record_property(OURS, made)
