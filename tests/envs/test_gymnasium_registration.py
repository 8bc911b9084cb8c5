"""Registration with Gymnasium: make, make_vec, and the three autoreset modes."""

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from torch import Tensor

import envs
from envs import Tasks, TorchTasks, Uniform
from envs.native.arrays import ArrayVectorEnv
from envs.native.ids import ids
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")


class Climb(TorchTasks):
    """A height that grows by the action; ends at 3 or after five steps. Deterministic."""

    def __init__(self) -> None:
        super().__init__(
            name="climb",
            horizon=5,
            observation_space=gym.spaces.Box(0.0, 9.0, (1,)),
            action_space=gym.spaces.Discrete(3),
            observation_scale=[1.0],
            parameters={"bonus": Uniform(0, 1)},
            nominal={"bonus": 0.5},
        )

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Tensor:
        return torch.zeros(len(tasks), 1, dtype=torch.float64)

    def observe(self, state: Tensor, tasks: Tasks) -> Tensor:
        return state

    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        state = state + action[:, None]
        return state, state[:, 0] + tasks.bonus, state[:, 0] >= 3


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_autoreset_equals_gymnasiums_vector_environment(mode: AutoresetMode) -> None:
    family = Climb()
    ours = ArrayVectorEnv(family, 6, {"bonus": 0.25}, mode)
    theirs = SyncVectorEnv([lambda: family.make({"bonus": 0.25})] * 6, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    pairs: list[Any] = [(ours.reset(seed=0), theirs.reset(seed=0))]
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        action = rng.integers(3, size=6)
        pairs.append((ours.step(action), theirs.step(action)))
        ended = pairs[-1][1][2] | pairs[-1][1][3]
        ends += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            pairs.append(tuple(env.reset(options={"reset_mask": ended}) for env in (ours, theirs)))
    assert ends > 30 and any(pair[1][3].any() for pair in pairs if len(pair[1]) == 5), "both kinds of ends"
    for one, other in pairs:
        assert data_equivalence(one, other, exact=True), f"{one} is not {other}"


def test_finished_lanes_must_be_reset_without_autoreset() -> None:
    env = ArrayVectorEnv(Climb(), 2, autoreset_mode="Disabled")
    env.reset()
    env.step(np.array([2, 0]))
    env.step(np.array([2, 0]))
    with pytest.raises(UsageError, match="finished lanes must be reset first"):
        env.step(np.array([0, 0]))
    env.reset(options={"reset_mask": np.array([True, False])})
    env.step(np.array([0, 0]))


@pytest.mark.parametrize("name", list(ids()))
def test_gymnasium_makes_every_native_family(name: str) -> None:
    id, family = ids()[name], envs.make(name)
    task = family.sample(1, "test").rows()[0]
    env = gym.make(id, task=task, horizon=max(2, family.horizon))
    assert env.unwrapped.task == task and env.unwrapped.spec.id == id  # type: ignore[attr-defined,union-attr]
    many = gym.make_vec(id, num_envs=3, task=task)
    observation, _ = many.reset(seed=1)
    assert observation.shape == (3, *(env.observation_space.shape or ())) and observation.dtype == np.float32
    results = many.step(many.action_space.sample())
    assert [type(each) for each in results[:4]] == [np.ndarray] * 4
    many.close()


def test_options_reach_the_family(unchecked: None) -> None:
    assert gym.make("qrl/CartPole-v0", horizon=7).unwrapped.distribution.horizon == 7  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="unknown option 'horizn'; did you mean 'horizon'"):
        gym.make("qrl/CartPole-v0", horizn=7)
    with pytest.raises(UsageError, match="no task parameter 'gravty'; did you mean 'gravity'"):
        gym.make("qrl/CartPole-v0", task={"gravty": 7})
    with pytest.raises(UsageError, match="unknown autoreset_mode 'Next'"):
        gym.make_vec("qrl/CartPole-v0", num_envs=2, autoreset_mode="Next")
    with pytest.raises(UsageError, match="cartpole: unknown render_mode 'ansi'; supported: rgb_array"):
        gym.make_vec("qrl/CartPole-v0", num_envs=2, render_mode="ansi")
    with pytest.raises(UsageError, match=r"reset: seed must be a non-negative integer below 2\*\*63, not \[1, 2\]"):
        gym.make_vec("qrl/CartPole-v0", num_envs=2).reset(seed=[1, 2])


@pytest.mark.parametrize("has_pictures", [True, False])
def test_stable_baselines3_makes_ids_of_families_with_and_without_pictures(
    has_pictures: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for the render mode "rgb_array", and after a TypeError for none."""
    if not has_pictures:
        monkeypatch.setattr(envs.make("bandit").__class__, "render_modes", ())
        with pytest.raises(UsageError, match="bandit: unknown render_mode 'rgb_array'; supported: none"):
            gym.make("qrl/Bandit-v0", render_mode="rgb_array")
    env = PPO("MlpPolicy", "qrl/Bandit-v0", device="cpu").get_env()
    assert env is not None and env.render_mode == ("rgb_array" if has_pictures else None)


def test_gymnasium_adds_the_render_modes_of_its_wrappers() -> None:
    collected = gym.make("qrl/Navigation-v0", render_mode="rgb_array_list")
    assert isinstance(collected, gym.wrappers.RenderCollection)
    collected.reset(seed=0)
    collected.step(np.zeros(2, dtype=np.float32))
    assert [picture.ndim for picture in collected.render()] == [3, 3]  # type: ignore[union-attr]
    with pytest.warns(UserWarning, match="doesn't natively support it. The HumanRendering wrapper is being applied"):
        assert isinstance(gym.make("qrl/Navigation-v0", render_mode="human"), gym.wrappers.HumanRendering)


def test_vector_environments_draw_each_lane() -> None:
    many = gym.make_vec("qrl/Navigation-v0", num_envs=3, render_mode="rgb_array")
    with pytest.raises(gym.error.ResetNeeded):
        many.render()
    many.reset(seed=0, options={"tasks": [{"goal_x": x} for x in (-0.4, 0.0, 0.4)]})
    pictures = many.render()
    for x, picture in zip((-0.4, 0.0, 0.4), pictures, strict=True):  # type: ignore[arg-type]
        one = gym.make("qrl/Navigation-v0", task={"goal_x": x}, render_mode="rgb_array")
        one.reset()
        assert np.array_equal(picture, one.render())  # type: ignore[arg-type]
    assert gym.make_vec("qrl/Navigation-v0", num_envs=3).render() is None


@pytest.mark.parametrize("family", ["bandit", "few_shot_classification"])
def test_a_single_decision_is_a_termination(family: str) -> None:
    """Nothing of the task is cut off, so nothing may be bootstrapped; several decisions are cut off at the horizon."""
    for horizon, ends in ((1, [(True, False)]), (2, [(False, False), (False, True)])):
        env = gym.make(ids()[family], horizon=horizon)
        env.reset(seed=0)
        assert [tuple(env.step(0)[2:4]) for _ in range(horizon)] == ends


def test_specifications_state_the_horizon() -> None:
    """Without a second time limit: the family's own truncation is the only one, also at another horizon."""
    for horizon in (7, 900):
        env = gym.make("qrl/CartPole-v0", horizon=horizon)
        assert env.spec is not None and env.spec.max_episode_steps == horizon
        assert not isinstance(env, gym.wrappers.TimeLimit)
        again = gym.make(env.spec)
        assert again.spec is not None and again.spec.max_episode_steps == horizon
        many = gym.make_vec("qrl/CartPole-v0", num_envs=2, horizon=horizon)
        assert many.spec is not None and many.spec.max_episode_steps == horizon
        assert gym.make_vec(many.spec).spec == many.spec
    shorter = gym.make("qrl/CartPole-v0", max_episode_steps=5)
    assert shorter.spec is not None and shorter.spec.max_episode_steps == 5
    assert gym.make("qrl/CartPole-v0").spec.max_episode_steps == envs.make("cartpole").horizon  # type: ignore[union-attr]
    for options, wanted in (({}, 5), ({"horizon": 3}, 3), ({"horizon": 9}, 5)):
        many = gym.make_vec("qrl/CartPole-v0", num_envs=2, max_episode_steps=5, **options)
        assert many.unwrapped.distribution.horizon == wanted  # type: ignore[attr-defined]


@pytest.mark.parametrize(("horizon", "limit", "length"), [(4, 9, 4), (9, 4, 4), (9, -1, 9)])
def test_gymnasiums_limit_can_shorten_an_episode_but_not_lengthen_it(horizon: int, limit: int, length: int) -> None:
    env = gym.make("qrl/Pendulum-v0", horizon=horizon, max_episode_steps=limit)
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(length)]
    assert ends == [(False, False)] * (length - 1) + [(False, True)]


def test_seeds_reach_np_random() -> None:
    many = gym.make_vec("qrl/CartPole-v0", num_envs=2)
    many.reset(seed=3)
    assert many.np_random_seed == 3 and many.np_random.random() == np.random.default_rng(3).random()
    state = many.np_random.bit_generator.state
    many.reset()
    assert many.np_random.bit_generator.state == state


def test_reset_sets_tasks() -> None:
    env = gym.make_vec("qrl/CartPoleTarget-v0", num_envs=2)
    reward = []
    for options in ({"task": {"target": 1.0}}, {"tasks": [{"target": 0.0}, {"target": 1.0}]}):
        env.reset(seed=0, options=options)
        reward.append(env.step(np.array([0, 0]))[1])
    assert reward[0][0] < reward[1][0] and reward[0][1] == reward[1][1]


def test_importing_envs_registers_the_names() -> None:
    program = "import gymnasium, envs; print(gymnasium.make('qrl/CartPole-v0', task={'gravity': 12}).unwrapped.task)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=".")
    assert "'gravity': 12.0" in done.stdout


def test_third_party_checkers_pass() -> None:
    env = gym.make("qrl/CartPole-v0")
    check_env(env.unwrapped)
    sb3_check_env(env.unwrapped)
