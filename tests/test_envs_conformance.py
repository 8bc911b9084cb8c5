"""What every environment family must do. The folder is walked, so a new file in envs/ arrives tested."""

import ast
import dataclasses
import inspect
import math
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import jaxtyping
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from torch import Tensor

import envs
from envs import TaskDistribution, Tasks, TorchVectorEnv
from envs._distribution import shown
from qrl.errors import UsageError
from qrl.plugins import available, load

pytestmark = pytest.mark.filterwarnings("error")

_FILES = sorted(path.stem for path in Path(envs.__file__).parent.glob("*.py") if not path.stem.startswith("_"))
FAMILIES = [name for name in _FILES if available("envs")[name].usable]
DATASHEET = "envs/{}.py: its docstring is the datasheet, see 'An environment from scratch' in CONTRIBUTING.md: it {}"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TaskDistribution:
    return envs.make(request.param)


def random_actions(env: TorchVectorEnv, steps: int, seed: int = 0) -> list[Tensor]:
    env.action_space.seed(seed)
    return [torch.as_tensor(env.action_space.sample()) for _ in range(steps)]


def trajectory(env: TorchVectorEnv, actions: list[Tensor], **reset: Any) -> list[tuple[Tensor, ...]]:
    """Observation, reward, terminated, truncated of every step, after a first entry with the observation alone."""
    observation, _ = env.reset(**reset)
    return [(observation,), *(env.step(action)[:4] for action in actions)]


def same(one: list[tuple[Tensor, ...]], other: list[tuple[Tensor, ...]]) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def train_tasks(family: TaskDistribution, n: int, seed: int = 0) -> Tasks:
    return family.sample(n, "train", np.random.default_rng(seed))


# -- the file ----------------------------------------------------------------------------------------------------------


def test_every_file_can_be_read() -> None:
    broken = {name: summary.broken for name, summary in available("envs").items() if summary.broken}
    assert not broken, f"files in envs/ that cannot be read: {broken}"


@pytest.mark.parametrize("name", FAMILIES)
def test_docstring_is_a_datasheet_that_agrees_with_the_code(name: str) -> None:
    module, family = load("envs", name), envs.make(name)
    lines = [*(inspect.getdoc(module) or "").splitlines(), "", ""]
    assert lines[0].endswith(".") and lines[1] == "", DATASHEET.format(name, "starts with a one-line summary")
    assert "## Source" in lines, DATASHEET.format(name, "has a heading '## Source'")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    table = {row[0]: row for row in cells}
    for parameter, range_ in family.parameters.items():
        wanted = [parameter, shown(family.nominal[parameter]), range_.describe()]
        if family.ood:
            wanted.append(family.ood[parameter].describe() if parameter in family.ood else "as in train")
        row = table.get(parameter, [])[: len(wanted)]
        assert row == wanted, DATASHEET.format(name, f"has a table with a row | {' | '.join(wanted)} | …")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_option_is_documented(name: str) -> None:
    module = load("envs", name)
    (config,) = [node for node in ast.parse(inspect.getsource(module.Config)).body if isinstance(node, ast.ClassDef)]
    assert ast.get_docstring(config)
    for i, statement in enumerate(config.body):
        if isinstance(statement, ast.AnnAssign):
            following = config.body[i + 1] if i + 1 < len(config.body) else None
            assert isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant), (
                f"envs/{name}.py: Config field without a docstring: {ast.unparse(statement)}"
            )
            assert isinstance(following.value.value, str)
    module.Config()  # every option has a default
    assert any(field.name == "horizon" for field in dataclasses.fields(module.Config))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("horizon", [0, -1, 1.5, float("nan"), True, "many"])
def test_bad_horizon_is_refused(name: str, horizon: object, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the type checks of the tests, so that a wrong type meets our own message, as it does for a user.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="horizon"):
        envs.make(name, horizon=horizon)


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_train_tasks_follow_the_generator_and_lie_in_their_ranges(family: TaskDistribution) -> None:
    tasks = train_tasks(family, 500, seed=1)
    assert tasks.rows() == train_tasks(family, 500, seed=1).rows() != train_tasks(family, 500, seed=2).rows()
    for name, range_ in family.parameters.items():
        assert range_.contains(tasks[name].numpy()).all()
        assert len(tasks[name].unique()) > 1


def test_held_out_tasks_do_not_depend_on_a_seed_and_fewer_are_a_prefix_of_more(family: TaskDistribution) -> None:
    for split in ("test", "ood") if family.ood else ("test",):
        rows = family.sample(100, split).rows()
        assert family.sample(50, split).rows() == rows[:50]
        assert family.sample(100, split, np.random.default_rng(5)).rows() == rows
        torch.manual_seed(3)
        np.random.seed(3)
        assert family.sample(100, split).rows() == rows


def test_test_tasks_are_not_train_tasks(family: TaskDistribution) -> None:
    test = {row.key(0) for row in (family.sample(100, "test")[i] for i in range(100))}
    for seed in range(5):
        train = train_tasks(family, 100, seed)
        assert test.isdisjoint(train.key(i) for i in range(100))


def test_ood_lies_outside_train_in_at_least_one_parameter_or_is_refused(family: TaskDistribution) -> None:
    if not family.ood:
        with pytest.raises(UsageError, match="no ood split"):
            family.sample(1, "ood")
        return
    tasks = family.sample(500, "ood")
    assert any(not family.parameters[name].contains(tasks[name].numpy()).any() for name in family.ood)
    for name in family.ood:
        assert family.ood[name].contains(tasks[name].numpy()).all()


def test_tasks_survive_json(family: TaskDistribution) -> None:
    tasks = family.sample(20, "test")
    again = Tasks.from_json(tasks.to_json())
    assert again.rows() == tasks.rows() and again.key(7) == tasks.key(7)


# -- dynamics ----------------------------------------------------------------------------------------------------------


def test_every_task_parameter_matters(family: TaskDistribution) -> None:
    """Changing one parameter alone changes what is seen, earned or ended, with the same seed and actions."""
    env = family.vectorise(1, 8)
    actions = random_actions(env, family.horizon)
    reference = trajectory(env, actions, seed=0, options={"tasks": family.nominal_tasks(1)})
    assert same(reference, trajectory(env, actions, seed=0)), "the comparison itself must be exact"
    for name, range_ in family.parameters.items():
        low, high = range_.ppf(
            np.random.default_rng(0)
            .permuted(np.linspace(0.1, 0.9, 2 * math.prod(range_.shape)))
            .reshape(2, *range_.shape)
        )
        changed = family.task({name: high if (high != family.nominal[name]).any() else low})
        assert not same(reference, trajectory(env, actions, seed=0, options={"tasks": changed})), f"{name} is inert"


def test_a_lane_in_a_batch_is_what_it_is_alone(family: TaskDistribution) -> None:
    tasks = train_tasks(family, 3)
    env = family.vectorise(3, 2)
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    state = env.state
    alone = [state[i : i + 1] for i in range(6)]
    dtype = torch.int64 if isinstance(family.action_space, gym.spaces.Discrete) else torch.float64
    running = [True] * 6
    for action in random_actions(env, family.horizon):
        observation, reward, terminated, truncated, _ = env.step(action)
        for i in range(6):
            if running[i]:
                task = tasks[i // 2]
                alone[i], r, end = family.transition(alone[i], action[i : i + 1].to(dtype), task)
                # One lane takes torch's scalar code, many its vector code, which may differ in the last bit.
                torch.testing.assert_close(env.state[i : i + 1], alone[i], rtol=1e-9, atol=1e-12)
                seen = family.observe(alone[i], task).float()
                torch.testing.assert_close(observation[i : i + 1], seen, rtol=1e-6, atol=1e-7)
                torch.testing.assert_close(reward[i : i + 1], r.float(), rtol=1e-6, atol=1e-7)
                assert bool(end) == bool(terminated[i])
                running[i] = not bool(terminated[i] | truncated[i])
    assert not any(running)


def test_the_scalar_environment_equals_a_vector_of_one_lane(family: TaskDistribution) -> None:
    task = train_tasks(family, 1)
    vector, single = family.vectorise(1, 1), family.make(task)
    assert single.task == task.rows()[0]
    seen, _ = single.reset(seed=4)
    vector.set_tasks(task)
    np.testing.assert_array_equal(seen, vector.start_from(single.vector.state)[0].numpy())
    for action in random_actions(vector, family.horizon):
        expected = vector.step(action)
        got = single.step(action[0].numpy())
        np.testing.assert_array_equal(got[0], expected[0][0].numpy())
        assert got[1:4] == (expected[1].item(), bool(expected[2]), bool(expected[3]))
        assert type(got[1]) is float and type(got[2]) is bool and type(got[3]) is bool


def test_the_same_seed_gives_the_same_episode(family: TaskDistribution) -> None:
    tasks, one, other = train_tasks(family, 2), family.vectorise(2, 3), family.vectorise(2, 3)
    actions = random_actions(one, 20)
    first = trajectory(one, actions, seed=1, options={"tasks": tasks})
    assert same(first, trajectory(other, actions, seed=1, options={"tasks": tasks}))
    assert same(trajectory(one, actions), trajectory(other, actions)), "and so does what follows without a seed"


@pytest.mark.parametrize("split", ["train", "ood"])
def test_observations_stay_in_their_space_and_rewards_are_finite(family: TaskDistribution, split: str) -> None:
    if split == "ood" and not family.ood:
        pytest.skip("no ood split")
    tasks = family.sample(200, split, np.random.default_rng(0))  # type: ignore[arg-type]
    env = family.vectorise(200, 1)
    observations = [env.reset(seed=0, options={"tasks": tasks})[0]]
    # Actions held for a while go farther than actions that alternate.
    actions = random_actions(env, family.horizon)
    for t in range(family.horizon):
        observation, reward, *_ = env.step(actions[t - t % 7])
        assert observation.dtype == reward.dtype == torch.float32
        assert torch.isfinite(reward).all()
        observations.append(observation)
    seen = torch.stack(observations).numpy()
    assert (seen >= family.observation_space.low).all() and (seen <= family.observation_space.high).all()


def test_episodes_end_and_finished_lanes_hold_still_until_they_are_reset(family: TaskDistribution) -> None:
    env = family.vectorise(4, 4)
    env.reset(seed=0, options={"tasks": train_tasks(family, 4)})
    done, length = torch.zeros(16, dtype=torch.bool), torch.zeros(16, dtype=torch.int64)
    last: tuple[Tensor, ...] | None = None
    for action in random_actions(env, family.horizon + 3):
        observation, reward, terminated, truncated, info = env.step(action)
        assert terminated.dtype == truncated.dtype == torch.bool and info == {}
        if last is not None:
            assert torch.equal(observation[done], last[0][done])
            assert torch.equal(terminated[done], last[1][done]) and torch.equal(truncated[done], last[2][done])
        assert (reward[done] == 0).all()
        length += ~done
        done = terminated | truncated
        last = (observation, terminated, truncated)
    assert last is not None and done.all()
    assert torch.equal(last[2], length == family.horizon), "truncated means that the horizon was reached, nothing else"

    mask = torch.arange(16) % 3 == 0
    observation, _ = env.reset(options={"reset_mask": mask})
    assert torch.equal(observation[~mask], last[0][~mask])
    observation, reward, terminated, truncated, _ = env.step(random_actions(env, 1)[0])
    assert torch.equal((terminated | truncated)[~mask], done[~mask])
    assert (truncated[mask] == (family.horizon == 1)).all()


# -- as others see it --------------------------------------------------------------------------------------------------


def test_gymnasium_env_checker(family: TaskDistribution) -> None:
    with warnings.catch_warnings():
        # As below; Gymnasium gives this advice for its own Pendulum-v1 too.
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space")
        # Its checker thinks an episode of one step is a mistake.
        check_env(envs.make(family.name, horizon=max(2, family.horizon)).make())


def test_stable_baselines3_env_checker(family: TaskDistribution) -> None:
    env: gym.Env = family.make()
    if isinstance(env.action_space, gym.spaces.Box):
        # A physical range, such as ±0.1 m per step, is not the [-1, 1] that SB3 recommends; nothing else may be amiss,
        # and with the wrapper that it recommends nothing at all.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "We recommend you to use a symmetric and normalized Box action space")
            sb3_check_env(env)
        env = gym.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    sb3_check_env(env)


def test_bad_actions_are_refused(family: TaskDistribution) -> None:
    env = family.vectorise(2, 2)
    good = random_actions(env, 1)[0]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(good)
    env.reset(seed=0)
    bad = [good[:3], good[None], good.bool(), good.to(torch.complex64)]
    if isinstance(family.action_space, gym.spaces.Discrete):
        n = int(family.action_space.n)
        bad += [good.double(), torch.full_like(good, n), torch.full_like(good, -1)]
    else:
        bad += [good.long(), torch.where(torch.arange(4)[:, None] == 2, torch.nan, good), good + torch.inf]
    for action in bad:
        with pytest.raises(UsageError, match="action"):
            env.step(action)
    env.step(good)


def test_actions_may_be_arrays(family: TaskDistribution) -> None:
    env = family.vectorise(2, 2)
    env.reset(seed=0)
    env.action_space.seed(0)
    observation, *_ = env.step(env.action_space.sample())
    assert observation.shape == (4, *family.observation_space.shape)
