"""Conformance of every family. The tests discover the files in envs/, so a new one is tested automatically."""

import ast
import copy
import dataclasses
import inspect
import warnings
from pathlib import Path

import gymnasium as gym
import jaxtyping
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import envs
from envs import TaskDistribution, Tasks, TorchTasks
from envs.core.check import CHECKS, actions
from envs.core.registry import ENVS
from envs.native.ids import ids
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

_FILES = sorted(path.stem for path in Path(envs.__file__).parent.glob("*.py") if not path.stem.startswith("_"))
FAMILIES = [name for name in _FILES if ENVS.available()[name].usable]
NATIVE = [name for name in FAMILIES if name in ids()]
DATASHEET = "envs/{}.py: its docstring is the datasheet, see 'An environment from scratch' in CONTRIBUTING.md: it {}"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TaskDistribution:
    return envs.make(request.param)


@pytest.fixture(params=NATIVE)
def native(request: pytest.FixtureRequest) -> TorchTasks:
    made = envs.make(request.param)
    assert isinstance(made, TorchTasks)
    return made


def train_tasks(family: TaskDistribution, n: int, seed: int = 0) -> Tasks:
    return family.sample(n, "train", np.random.default_rng(seed))


def test_pictures_of_native_families_are_not_blank(native: TorchTasks) -> None:
    pytest.importorskip("pygame")
    if not native.render_modes:
        pytest.skip("this family has none")
    env = native.make(native.sample(1, "test"), render_mode="rgb_array")
    env.reset(seed=0)
    drawn = env.render()
    assert drawn is not None and drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    assert (drawn != drawn[0, 0]).any(), "the picture shows nothing"
    assert np.array_equal(env.render(), drawn), "looking changes the picture"


# -- the file ----------------------------------------------------------------------------------------------------------


def test_every_file_is_readable() -> None:
    broken = {name: summary.broken for name, summary in ENVS.available().items() if summary.broken}
    assert not broken, f"files in envs/ that cannot be read: {broken}"


@pytest.mark.parametrize("name", FAMILIES)
def test_docstring_datasheet_agrees_with_the_code(name: str) -> None:
    module, family = ENVS.load(name), envs.make(name)
    lines = [*(inspect.getdoc(module) or "").splitlines(), "", ""]
    assert lines[0].endswith(".") and lines[1] == "", DATASHEET.format(name, "starts with a one-line summary")
    assert "## Source" in lines, DATASHEET.format(name, "has a heading '## Source'")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    table = {row[0]: row for row in cells}
    for parameter, range_ in family.parameters.items():
        wanted = [parameter, range_.describe_value(family.nominal[parameter]), range_.describe()]
        if family.ood:
            wanted.append(family.ood[parameter].describe() if parameter in family.ood else "as in train")
        row = table.get(parameter, [])[: len(wanted)]
        assert row == wanted, DATASHEET.format(name, f"has a table with a row | {' | '.join(wanted)} | …")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_option_is_documented(name: str) -> None:
    module = ENVS.load(name)
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
def test_invalid_horizon_is_rejected(name: str, horizon: object, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the tests' type checks, so that a wrong type raises the library's own error, as for users.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="horizon"):
        envs.make(name, horizon=horizon)


# -- tasks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", list(CHECKS))
def test_every_check_for_third_parties_passes(family: TaskDistribution, check: str) -> None:
    CHECKS[check](family)


def test_test_tasks_are_not_train_tasks_except_in_finite_families(family: TaskDistribution) -> None:
    def keys(tasks: Tasks) -> set[str]:
        return {tasks.key(i) for i in range(len(tasks))}

    test = keys(family.sample(100, "test"))
    train = set().union(*(keys(train_tasks(family, 100, seed)) for seed in range(5)))
    if family.n_distinct() is None or family.test:
        assert test.isdisjoint(train)
    else:
        assert len(test | train) <= family.n_distinct()


# -- dynamics ----------------------------------------------------------------------------------------------------------


def test_scalar_environment_equals_a_vector_environment_of_one_lane(native: TorchTasks) -> None:
    task = train_tasks(native, 1)
    vector, single = native.vectorise(1, 1), native.make(task)
    assert single.task == task.rows()[0]
    seen, _ = single.reset(seed=4)
    vector.set_tasks(task)
    np.testing.assert_array_equal(seen, vector.start_from(single.vector.state)[0].numpy())
    rng = copy.deepcopy(single.np_random)
    for action in actions(vector, native.horizon):
        vector.set_state(native.resample_noise_single(vector.state, rng))
        expected = vector.step(action)
        got = single.step(action[0].numpy())
        np.testing.assert_array_equal(got[0], expected[0][0].numpy())
        assert got[1:4] == (expected[1].item(), bool(expected[2]), bool(expected[3]))
        assert type(got[1]) is float and type(got[2]) is bool and type(got[3]) is bool


# -- third-party checkers ----------------------------------------------------------------------------------------------


def test_gymnasium_env_checker(native: TorchTasks) -> None:
    with warnings.catch_warnings():
        # As below; Gymnasium warns of this for its own Pendulum-v1, too.
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space")
        # The checker takes an episode of one step for a mistake.
        check_env(envs.make(native.name, horizon=max(2, native.horizon)).make())


def test_stable_baselines3_env_checker(family: TaskDistribution) -> None:
    env: gym.Env = family.make()
    if isinstance(env.action_space, gym.spaces.Box):
        # A physical range, such as ±0.1 m per step, is not the [-1, 1] that SB3 recommends; no other warnings,
        # and none with the wrapper that it recommends.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "We recommend you to use a symmetric and normalized Box action space")
            sb3_check_env(env)
        env = gym.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    sb3_check_env(env)


def test_invalid_actions_are_rejected(native: TorchTasks) -> None:
    env = native.vectorise(2, 2)
    good = actions(env, 1)[0]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(good)
    env.reset(seed=0)
    bad = [good[:3], good[None], good.bool(), good.to(torch.complex64)]
    if isinstance(native.action_space, gym.spaces.Discrete):
        n = int(native.action_space.n)
        bad += [good.double(), torch.full_like(good, n), torch.full_like(good, -1)]
    else:
        bad += [good.long(), torch.where(torch.arange(4)[:, None] == 2, torch.nan, good), good + torch.inf]
    for action in bad:
        with pytest.raises(UsageError, match="action"):
            env.step(action)
    env.step(good)


def test_actions_may_be_arrays(native: TorchTasks) -> None:
    env = native.vectorise(2, 2)
    env.reset(seed=0)
    env.action_space.seed(0)
    observation, *_ = env.step(env.action_space.sample())
    assert observation.shape == (4, *native.observation_space.shape)
