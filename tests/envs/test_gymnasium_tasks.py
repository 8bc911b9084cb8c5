"""Gymnasium environments as families of tasks: parameter values reach the environment, lanes are independent."""

import gc
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv

import envs
from envs import GymnasiumTasks, Integer, TaskDistribution, Uniform
from envs.core.registry import ENVS
from qrl.common.errors import TrainingError, UsageError

pytestmark = pytest.mark.filterwarnings("error")

PHYSICS = {"gravity": Uniform(5, 15), "length": Uniform(0.25, 1), "masspole": Uniform(0.05, 0.2)}


def cartpole(**options: Any) -> GymnasiumTasks:
    return GymnasiumTasks("CartPole-v1", PHYSICS, ood={"gravity": Uniform(15, 20)}, **options)


class Line(gym.Env[np.ndarray, Any]):
    """A position on a line, moved by -1, 0 or 1 times `stride`, with a random start and a slope."""

    observation_space = gym.spaces.Box(-100, 100, (1,))
    action_space: gym.Space[Any] = gym.spaces.Discrete(3, start=-1)

    def __init__(self, stride: float = 0.5, slope: float = 0.0) -> None:
        self.stride, self.slope = stride, slope

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1)
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        return np.array([self.position], dtype=np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.position += self.stride * int(action) + self.slope
        return self.seen(), -abs(self.position), abs(self.position) > 4, False, {}


def line(**options: Any) -> GymnasiumTasks:
    ranges = {"stride": Uniform(0.2, 1), "slope": Uniform(-0.3, 0.3)}
    return GymnasiumTasks(Line, ranges, **{"horizon": 12, **options})


# -- parameter values reach the environment ----------------------------------------------------------------------------


def test_derived_attributes_of_cartpole_follow_the_task() -> None:
    family = cartpole()
    lanes = family.vectorise(6, 1)
    for seed in range(2):  # created with one task, then set to another
        tasks = family.sample(6, "train", np.random.default_rng(seed))
        lanes.reset(seed=0, options={"tasks": tasks})
        for env, task in zip(lanes._shards._envs, tasks.rows(), strict=True):
            inner = env.unwrapped
            assert type(inner) is CartPoleEnv, "substitution must leave nothing behind that slows a step down"
            assert {name: getattr(inner, name) for name in task} == task
            assert inner.polemass_length == task["masspole"] * task["length"] != 0.05
            assert inner.total_mass == task["masspole"] + 1.0


def test_wrapped_cartpole_equals_the_native_one() -> None:
    """An independent implementation: the equations in torch, which take the derived constants from the task."""
    wrapped, own = cartpole(), envs.make("cartpole")
    tasks = wrapped.sample(50, "test")
    ours = own.nominal_tasks(50).values | tasks.values
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-0.1, 0.1, (50, 4)), rng.integers(2, size=50)
    after, *_ = own.transition(torch.tensor(states), torch.tensor(actions), envs.Tasks(ours))
    for i, task in enumerate(tasks.rows()):
        env = wrapped.make(task)
        env.reset(seed=0)
        env.unwrapped.state = states[i]
        env.step(int(actions[i]))
        np.testing.assert_allclose(env.unwrapped.state, after[i].numpy(), rtol=1e-12)


def test_setting_the_attribute_afterwards_would_have_been_wrong() -> None:
    """The pitfall that substitution avoids; this test fails if Gymnasium fixes it."""
    stale, family = gym.make("CartPole-v1").unwrapped, cartpole()
    stale.length = 1.0
    right = family.make({"length": 1.0}).unwrapped
    assert stale.length == right.length and stale.polemass_length == 0.05 and right.polemass_length == 0.1


def test_setting_a_task_equals_creating_the_environment_with_it() -> None:
    family = cartpole()
    env = family.make({"length": 0.3})
    env.reset(seed=4)
    inner = env.unwrapped
    env.reset(seed=5, options={"task": {"length": 0.8, "gravity": 6.0}})
    fresh = family.make({"length": 0.8, "gravity": 6.0})
    fresh.reset(seed=5)
    assert env.unwrapped is inner, "kept, not made again"
    plain = {k: v for k, v in vars(inner).items() if isinstance(v, int | float | str | tuple)}
    assert plain == {k: v for k, v in vars(fresh.unwrapped).items() if k in plain} and plain["length"] == 0.8
    np.testing.assert_array_equal(env.step(1)[0], fresh.step(1)[0])


def test_setting_a_task_preserves_the_generator_state() -> None:
    env, plain = cartpole().make(), gym.make("CartPole-v1")
    env.reset(seed=4)
    plain.reset(seed=4)
    np.testing.assert_array_equal(env.reset(options={"task": {"length": 0.7}})[0], plain.reset()[0])
    assert env.unwrapped.spec is not None and env.unwrapped.spec.id == "CartPole-v1"


def test_constructor_arguments_and_integers() -> None:
    pendulum = GymnasiumTasks("Pendulum-v1", {"g": Uniform(1, 9), "max_speed": Integer(4, 7)})
    assert pendulum.nominal == {"g": 10.0, "max_speed": 8.0} and pendulum.horizon == 200
    inner = pendulum.make({"g": 2.5, "max_speed": 5}).unwrapped
    assert inner.g == 2.5 and inner.max_speed == 5 and type(inner.max_speed) is int


def test_class_attributes() -> None:
    acrobot = GymnasiumTasks("Acrobot-v1", {"LINK_LENGTH_1": Uniform(0.5, 2)})
    assert acrobot.make({"LINK_LENGTH_1": 1.5}).unwrapped.LINK_LENGTH_1 == 1.5
    assert acrobot.make().unwrapped.LINK_LENGTH_1 == type(acrobot.make().unwrapped).LINK_LENGTH_1 == 1.0


def test_factory_is_called_for_each_task_unless_there_is_set_task() -> None:
    made: list[dict[str, float]] = []

    def make(stride: float = 0.5, slope: float = 0.0) -> gym.Env[Any, Any]:
        made.append({"stride": stride, "slope": slope})
        return Line(stride, slope)

    class Settable(Line):
        def set_task(self, task: dict[str, float]) -> None:
            self.stride, self.slope = task["stride"], task["slope"]

    def make_settable(**task: float) -> gym.Env[Any, Any]:
        made.append(task)
        return gym.wrappers.OrderEnforcing(Settable(**task))

    for function, again in ((make, 3), (make_settable, 0)):
        family = GymnasiumTasks(function, line().parameters, horizon=12)
        env = family.vectorise(3, 1)
        env.reset(seed=0)
        made.clear()
        tasks = family.sample(3, "test")
        env.reset(seed=0, options={"tasks": tasks})
        assert len(made) == again
        assert [(lane.unwrapped.stride, lane.unwrapped.slope) for lane in env._shards._envs] == [
            (row["stride"], row["slope"]) for row in tasks.rows()
        ]


def test_factory_may_return_an_id() -> None:
    lakes = {4: "FrozenLake-v1", 5: "CliffWalking-v1"}
    family = GymnasiumTasks(lambda size: lakes[4], {"size": Integer(4, 5)})
    assert family.horizon == 100 and family.observation_space.shape == (16,)
    with pytest.raises(UsageError, match="the spaces of the environment change on the task size=4"):
        GymnasiumTasks(lambda size: lakes[size], {"size": Integer(4, 5)}, horizon=9)


# -- lanes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [cartpole, line])
def test_conformance(make: Callable[[], TaskDistribution]) -> None:
    assert len(envs.check(make())) == 11


@pytest.mark.parametrize("workers", [2, 3])
def test_results_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    """Seven lanes: chunks of unequal size."""
    one, several = line().vectorise(7, 1), line(workers=workers).vectorise(7, 1)
    try:
        tasks = one.distribution.sample(7, "test")
        actions = torch.randint(0, 3, (30, 7), generator=torch.Generator().manual_seed(0))
        pairs = [[each.reset(seed=3, options={"tasks": tasks})[0] for each in (one, several)]]
        for action in actions:
            left, right = (each.step(action)[:4] for each in (one, several))
            pairs += zip(left, right, strict=True)
            ended = left[2] | left[3]
            if ended.any():
                pairs.append([each.reset(options={"reset_mask": ended})[0] for each in (one, several)])
        assert all(torch.equal(a, b) for a, b in pairs)
    finally:
        several.close()


def test_lanes_of_one_task_start_differently() -> None:
    env = line().vectorise(1, 5)
    observation, _ = env.reset(seed=0)
    assert len(set(observation[:, 0].tolist())) == 5


def test_actions_beyond_their_bounds_are_clipped() -> None:
    class Push(Line):
        action_space = gym.spaces.Box(-1, 2, (1,))

        def step(self, action: Any) -> Any:
            assert self.action_space.contains(action)
            return super().step(2 * float(action[0]))

    family = GymnasiumTasks(Push, {"slope": Uniform(-1, 1)}, horizon=5)
    env = family.vectorise(1, 2)
    before, _ = env.reset(seed=0)
    after, *_ = env.step(torch.tensor([[9.0], [-9.0]]))
    np.testing.assert_allclose((after - before)[:, 0], [2.0, -1.0], rtol=1e-6)


def test_observations_become_vectors() -> None:
    lake = GymnasiumTasks("FrozenLake-v1", {"success_rate": Uniform(0.4, 0.9)})
    observation, _ = lake.vectorise(2, 1).reset(seed=0)
    assert observation.shape == (2, 16) and observation[0].tolist() == [1.0] + [0.0] * 15


@pytest.mark.slow
def test_workers_exit_silently(tmp_path: Path) -> None:
    """The parent process has signal handlers by then, which the workers must not inherit."""
    arguments = ["--env", "CartPole-v1", "--vary", "gravity=5:15", "--env.horizon", "5", "--workers", "2", "--agent",
                 "rl2", "--model", "gru", "--agent.meta-batch", "4", "--agent.episodes", "1", "--iterations", "1",
                 "--eval-tasks", "2", "--eval-episodes", "2", "--out", str(tmp_path / "run")]  # fmt: skip
    done = subprocess.run([sys.executable, "run.py", *arguments], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr and "Process" not in done.stderr, done.stderr


def test_scales_are_bounds_or_estimates_from_random_actions() -> None:
    family = cartpole()
    scale = family.observation_scale.tolist()
    assert scale[0] == pytest.approx(4.8) and scale[2] == pytest.approx(0.42)
    assert 0.5 < scale[1] < 5 and 0.5 < scale[3] < 5, "the bounds of the velocities are infinite"
    assert cartpole().observation_scale.tolist() == scale, "what is shown does not depend on the process"
    assert family.reward_scale == 1.0 and GymnasiumTasks("Pendulum-v1", {"g": Uniform(1, 9)}).reward_scale > 5
    assert cartpole(observation_scale=[1.0, 2.0, 3.0, 4.0]).observation_scale.tolist() == [1, 2, 3, 4]


# -- errors ------------------------------------------------------------------------------------------------------------


class Failing(Line):
    """Raise in the third step if the slope is steep."""

    def step(self, action: Any) -> Any:
        self.count = getattr(self, "count", 0) + 1
        if self.slope > 0.25 and self.count == 3:
            raise RuntimeError("too steep")
        return super().step(action)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_environments_are_reported_with_the_task(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    family = GymnasiumTasks(Failing, {"slope": Uniform(-0.2, 0.2)}, horizon=9, workers=workers)
    env = family.vectorise(3, 2)
    try:
        rows = [{"slope": slope} for slope in (0.0, 0.26, 0.1)]
        env.reset(seed=0, options={"tasks": envs.Tasks.from_rows(rows)})
        action = torch.zeros(6, dtype=torch.int64)
        for _ in range(2):
            env.step(action)
        with pytest.raises(TrainingError, match=r"step 3 of an episode on the task slope=0\.26: RuntimeError: too st"):
            env.step(action)
    finally:
        env.close()
    assert capfd.readouterr() == ("", "")


class Leaving(Line):
    """Exit the worker process, or request its exit, if the slope is steep."""

    politely = False

    def step(self, action: Any) -> Any:
        if self.slope > 0.25:
            sys.exit(7) if self.politely else os._exit(9)
        return super().step(action)


class LeavingPolitely(Leaving):
    politely = True


@pytest.mark.parametrize(
    ("cls", "workers", "message"),
    [
        (Leaving, 2, "ended with exit code 9; it ran tasks 1 to 2, from slope=0.0 to slope=0.26"),
        (LeavingPolitely, 0, r"on the task slope=0\.26: SystemExit: 7"),
        (LeavingPolitely, 2, r"on the task slope=0\.26: SystemExit: 7"),
    ],
)
def test_environment_that_exits_its_process_is_reported(
    cls: type[Line], workers: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    family = GymnasiumTasks(cls, {"slope": Uniform(-0.2, 0.2)}, horizon=9, workers=workers)
    env = family.vectorise(3, 2)
    try:
        rows = [{"slope": slope} for slope in (0.1, 0.0, 0.26)]
        env.reset(seed=0, options={"tasks": envs.Tasks.from_rows(rows)})
        with pytest.raises(TrainingError, match=message):
            env.step(torch.ones(6, dtype=torch.int64))
    finally:
        env.close()
    del env
    gc.collect()
    assert capfd.readouterr() == ("", "")


def rewarding(reward: float, slope: float = 0.0) -> gym.Env[Any, Any]:
    return gym.wrappers.TransformReward(Line(slope=slope), lambda _: reward if slope > 0.1 else 0.0)


def pixels() -> gym.Env[Any, Any]:
    env = Line()
    env.observation_space = gym.spaces.Box(0, 255, (4, 4, 3), np.uint8)
    return env


def four_values() -> gym.Env[Any, Any]:
    env: Any = Line()
    step = env.step
    env.step = lambda action: step(action)[:4]
    return env


def torn(stride: float = 0.5) -> gym.Env[Any, Any]:
    env = Line(stride)
    env.action_space = gym.spaces.MultiDiscrete([2] * 11)
    return env


@pytest.mark.parametrize(
    ("make", "ranges", "options", "message"),
    [
        ("CartPole-v2", PHYSICS, {}, "unknown Gymnasium id; did you mean 'CartPole-v1'"),
        ("Nothing", PHYSICS, {}, "unknown Gymnasium id; gymnasium.pprint_registry"),
        ("no_such_module:Cart-v0", PHYSICS, {}, "No module named 'no_such_module'"),
        ("CartPole-v1", {"gravty": Uniform(1, 2)}, {}, "unknown parameter 'gravty'; did you mean 'gravity'"),
        ("CartPole-v1", {"state": Uniform(1, 2)}, {}, "unknown parameter 'state'"),
        ("CartPole-v1", PHYSICS, {"ood": {"gravity": Uniform(14, 20)}}, "gravity, .*, overlaps"),
        ("CartPole-v1", PHYSICS, {"ood": {"masscart": Uniform(14, 20)}}, "no task parameter 'masscart'"),
        ("CartPole-v1", PHYSICS, {"horizon": -1}, "horizon"),
        ("CartPole-v1", PHYSICS, {"workers": -1}, "workers must be at least 0, not -1"),
        ("CartPole-v1", PHYSICS, {"nominal": {"gravity": "x"}}, "gravity must be a number"),
        ("CartPole-v1", PHYSICS, {"observation_scale": [1.0]}, "observation_scale has shape"),
        ("CartPole-v1", PHYSICS, {"observation_scale": 3.0}, "observation_scale must be 4 numbers, not 3.0"),
        ("CartPole-v1", PHYSICS, {"observation_scale": ["a"] * 4}, "observation_scale must be a number, not 'a'"),
        ("CartPole-v1", PHYSICS, {"reward_scale": -1.0}, "reward_scale must be positive"),
        ("CartPole-v1", PHYSICS, {"reward_scale": "a"}, "reward_scale must be a number, not 'a'"),
        ("CartPole-v1", {1: Uniform(1, 2)}, {}, "parameters must have names as keys, not 1"),
        ("Taxi-v4", {"is_rany": Uniform(0, 1)}, {}, "unknown parameter 'is_rany'; did you mean 'is_rainy'"),
        (Line, {"slop": Uniform(0, 1)}, {"horizon": 3}, "unknown parameter 'slop'; did you mean 'slope'"),
        (Line, {"slope": Uniform(0, 1)}, {}, "no time limit; give the longest episode .*, such as --env.horizon 100"),
        (lambda slope: 3, {"slope": Uniform(0, 1)}, {"horizon": 3}, "must return a gymnasium.Env or an id, not int"),
        (lambda slope: pixels(), {"slope": Uniform(0, 1)}, {"horizon": 3}, "observations are pixels"),
        (
            lambda slope: four_values(),
            {"slope": Uniform(0, 1)},
            {"horizon": 3},
            "terminated, truncated, info.*not 4 val",
        ),
        (torn, {"stride": Uniform(0, 1)}, {"horizon": 3}, "have 2,048 combinations; at most 1,024 can be outputs"),
        (lambda slope: 1 / 0, {"slope": Uniform(0, 1)}, {"horizon": 3}, "ZeroDivisionError: division by zero"),
        (
            partial(rewarding, math.nan),
            {"slope": Uniform(0, 1)},
            {"horizon": 3},
            r"task slope=0\.\d+: a reward is not fin",
        ),
        (
            partial(rewarding, math.inf),
            {"slope": Uniform(0, 1)},
            {"horizon": 3},
            r"task slope=0\.\d+: a reward is not fin",
        ),
        (Failing, {"slope": Uniform(0.2, 0.3)}, {"horizon": 9}, r"on the (task slope=0|nominal task).*too steep"),
        (None, PHYSICS, {}, "make must be a Gymnasium id, a class or a function, not None"),
        ("CartPole-v1", None, {}, "parameters must be a mapping of names to ranges, not None"),
        ("CartPole-v1", {"gravity": (5, 15)}, {}, r"gravity must be a range, such as .*, not \(5, 15\)"),
        ("CartPole-v1", {"gravity": lambda: 3}, {}, r"Drawn: <lambda>\(generator\): TypeError"),
    ],
)
def test_unusable_environments_give_one_line_errors(
    make: Any, ranges: Any, options: Any, message: str, unchecked: None
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        GymnasiumTasks(make, ranges, **options)
    assert "\n" not in str(caught.value)


def test_spaces_that_depend_on_the_task_are_rejected() -> None:
    class Wide(Line):
        def __init__(self, slope: float = 0.0) -> None:
            super().__init__(slope=slope)
            self.action_space = gym.spaces.Discrete(2 + int(2 * slope))

    with pytest.raises(UsageError, match="the spaces of the environment change on the task slope="):
        GymnasiumTasks(Wide, {"slope": Uniform(0, 1)}, horizon=3)


# -- names -------------------------------------------------------------------------------------------------------------

MINE = """
import sys
sys.path.insert(0, {tests!r})
import envs
from test_gymnasium_tasks import Line
distribution = envs.GymnasiumTasks(Line, {{"slope": envs.Uniform(-1, 1)}}, horizon=4)
"""


def test_distribution_from_a_file_a_module_or_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(tests=str(Path(__file__).parent)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    made = [envs.make(str(tmp_path / "mine.py")), envs.make("mine:distribution")]
    envs.register("tilted", made[0])
    try:
        made.append(envs.make("tilted"))
    finally:
        ENVS.unregister("tilted")
    assert all(list(each.parameters) == ["slope"] and each.horizon == 4 for each in made)
    with pytest.raises(UsageError, match="has no dataclass called Config"):
        envs.register("number", 3)


def test_gymnasium_ids_are_names() -> None:
    family = envs.make("CartPole-v1", vary=("gravity=5:15", "length=log:0.25:1"), ood=("gravity=15:25",), horizon=77)
    assert family.horizon == 77 and family.parameters["length"] == envs.LogUniform(0.25, 1)
    assert family.sample(50, "ood").gravity.min() >= 15
    with pytest.raises(UsageError, match="'gravity' is not of the form NAME=RANGE"):
        envs.make("CartPole-v1", vary=("gravity",))
    with pytest.raises(UsageError, match="gravity is given twice"):
        envs.make("CartPole-v1", vary=("gravity=1:2", "gravity=1:3"))
