"""The machinery of envs/, and numbers worked out by hand or taken from Gymnasium."""

import copy
import math
import pickle
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from envs import Choice, LogUniform, SignedUniform, Tasks, TorchTasks, Uniform, navigation
from envs.core.registry import ENVS
from envs.dynamics import cart_pole as physics
from envs.dynamics.drawing import GREEN, RED, WHITE
from qrl.common.errors import UsageError
from tests.support.doubles import f64

pytestmark = pytest.mark.filterwarnings("error")


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("range_", "expected", "text"),
    [
        (Uniform(-1, 3), [-1, 0, 1, 2], "U[-1, 3]"),
        (LogUniform(1, 16), [1, 2, 4, 8], "logU[1, 16]"),
        (SignedUniform(5, 15), [-15, -10, 5, 10], "±U[5, 15]"),
        (Choice((7, 1, 3, 5)), [1, 3, 5, 7], "{1, 3, 5, 7}"),
    ],
)
def test_ranges_at_the_quartiles(range_: envs.Range, expected: list[float], text: str) -> None:
    np.testing.assert_allclose(range_.ppf(np.array([0.0, 0.25, 0.5, 0.75])), expected, rtol=1e-14)
    assert range_.describe() == text
    u = np.linspace(0, 1, 1000, endpoint=False)
    values = range_.ppf(u)
    assert (np.diff(values) >= 0).all() and range_.contains(values).all()
    assert range_.contains(range_.ppf(np.array([np.nextafter(1.0, 0.0)]))).all()
    assert not range_.contains(np.array([-99.0, 99.0, 4.75])).all()


def test_signed_uniform_leaves_out_the_middle() -> None:
    assert SignedUniform(5, 15).contains(np.array([-16.0, -15.0, -4.9, 0.0, 5.0, 15.1])).tolist() == [
        *(False, True, False, False, True, False)
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(1, 1), "low must be below high"),
        (lambda: Uniform(2, 1), "low must be below high"),
        (lambda: Uniform(0, math.inf), "high must be finite"),
        (lambda: Uniform(math.nan, 1), "low must be finite"),
        (lambda: Uniform("a", 1), "low must be a number"),
        (lambda: LogUniform(0, 1), "above 0"),
        (lambda: SignedUniform(-1, 1), "must not be negative"),
        (lambda: Choice(()), "one or more"),
        (lambda: Choice((1, 1)), "distinct"),
        (lambda: Choice((1, math.nan)), "finite"),
        (lambda: Uniform(0, 1, shape=2.5), "shape must be a tuple of whole numbers of at least 1, not 2.5"),
        (lambda: Choice(3), "Choice: needs one or more distinct values, not 3"),
    ],
)
def test_bad_ranges_are_refused(build, message: str, unchecked: None) -> None:
    with pytest.raises(UsageError, match=message):
        build()


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_tasks_index_repeat_and_hash() -> None:
    tasks = Tasks({"a": f64(1, 2, 3), "b": f64(-0.0, 5, 6)})
    assert len(tasks) == 3 and tasks.names == ("a", "b")
    assert tasks.a is tasks["a"]
    assert tasks.rows() == [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 5.0}, {"a": 3.0, "b": 6.0}]
    assert tasks[-1].rows() == tasks[2].rows() == [{"a": 3.0, "b": 6.0}]
    assert tasks[1:].rows() == tasks[torch.tensor([False, True, True])].rows() == tasks[torch.tensor([1, 2])].rows()
    assert tasks.repeat_interleave(2).a.tolist() == [1, 1, 2, 2, 3, 3]
    # SHA-256 of '{"a":1.0,"b":0.0}', from sha256sum; it must not change, as saved runs refer to it
    assert tasks.key(0) == "d4bbbac5a1a3152e40c88f1b22b2b216344d4d0a69388013046a8f2a4af50a60"
    assert Tasks.from_rows([{"b": 0.0, "a": 1.0}]).key(0) == tasks.key(0) != tasks.key(1)
    assert Tasks.from_json(tasks.to_json()).rows() == tasks.rows()
    for other in (copy.deepcopy(tasks), pickle.loads(pickle.dumps(tasks)), tasks.to("cpu")):
        assert other.rows() == tasks.rows()
    with pytest.raises(IndexError):
        tasks[3]
    with pytest.raises(AttributeError, match="no parameter or attribute 'c'"):
        _ = tasks.c


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Tasks({}), "at least one parameter"),
        (lambda: Tasks({"a": torch.zeros(2)}), "float64"),
        (lambda: Tasks({"a": f64(1)[0]}), "shape"),
        (lambda: Tasks({"a": f64(1), "b": f64(1, 2)}), "length"),
        (lambda: Tasks.from_rows([]), "at least one row"),
        (lambda: Tasks.from_rows([{"a": 1.0}, {"b": 1.0}]), "row 1"),
        (lambda: Tasks.from_rows([{"a": math.nan}]), "task 0: a must be finite"),
        (lambda: Tasks.from_rows([{"a": "x"}]), "must be a number"),
        (lambda: Tasks.from_json("{"), "not JSON"),
        (lambda: Tasks.from_json('{"a": 1}'), "list"),
        (lambda: Tasks.from_json('[{"a": NaN}]'), "finite"),
        (lambda: Tasks({"alpha": f64(1)})["alpa"], "did you mean 'alpha'"),
    ],
)
def test_bad_tasks_are_refused(build, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


# -- the package -------------------------------------------------------------------------------------------------------


def test_every_public_name_exists() -> None:
    for name in envs.__all__:
        assert getattr(envs, name) is not None and name in dir(envs)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = envs.nonsense


def test_make_takes_options_and_refuses_unknown_ones() -> None:
    assert envs.make("navigation", horizon=7).horizon == 7
    with pytest.raises(UsageError, match="did you mean 'horizon'"):
        envs.make("navigation", horizn=7)
    with pytest.raises(UsageError, match="did you mean 'navigation'"):
        envs.make("navigaton")


def test_register_makes_a_family_known_by_name() -> None:
    envs.register("my_navigation", SimpleNamespace(Config=navigation.Config, build=navigation.build, __doc__="Mine."))
    try:
        assert envs.make("my_navigation", horizon=3).horizon == 3
    finally:
        ENVS.unregister("my_navigation")


def test_datasheet_lists_the_ranges() -> None:
    lines = envs.datasheet(envs.make("cartpole")).splitlines()
    assert lines[2] == "| force | 10 | ±U[5, 15] | ±U[15, 20] |"
    assert lines[5] == "| masscart | 1 | U[0.5, 1.5] | U[0.5, 1.5] |"


# -- distributions -----------------------------------------------------------------------------------------------------


class Counter(TorchTasks):
    """The smallest family: the state counts up by the task's `rate`, the reward is the state; no ood split."""

    def __init__(self, **changes) -> None:
        super().__init__(
            **{
                "name": "counter",
                "horizon": 3,
                "observation_space": gym.spaces.Box(-9, 9, (1,)),
                "action_space": gym.spaces.Discrete(2, start=1),
                "observation_scale": [1.0],
                "parameters": {"rate": Uniform(1, 2)},
                "nominal": {"rate": 1.0},
            }
            | changes
        )

    def initial_state(self, tasks, generator):
        return torch.rand(len(tasks), 1, dtype=torch.float64, generator=generator)

    def observe(self, state, tasks):
        return state

    def transition(self, state, action, tasks):
        state = state + tasks.rate[:, None]
        return state, state[:, 0], action == 2


@pytest.mark.parametrize(
    ("parameters", "n_distinct"),
    [
        ({"rate": Choice((1, 2, 3))}, 3),
        ({"rate": Choice((1, 2, 3)), "table": Choice((0, 1), shape=(2, 2))}, 48),
        ({"rate": Uniform(1, 2)}, None),
        ({"rate": Choice((1, 2, 3)), "table": Uniform(0, 1, shape=(2, 2))}, None),
    ],
)
def test_finite_families_know_how_many_tasks_they_have(parameters, n_distinct) -> None:
    family = Counter(parameters=parameters, nominal=dict.fromkeys(parameters, 1))
    assert family.n_distinct() == n_distinct
    if n_distinct is not None:
        tasks = family.sample(2 * n_distinct + 1, "test")
        keys = [tasks.key(i) for i in range(len(tasks))]
        assert len(set(keys[:n_distinct])) == n_distinct, "each before one comes again"
        assert keys[n_distinct : 2 * n_distinct] == keys[:n_distinct] and keys[-1] == keys[0]
        assert [family.sample(3, "test").key(i) for i in range(3)] == keys[:3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon"),
        ({"nominal": {}}, "nominal"),
        ({"nominal": {"rate": math.nan}}, "finite"),
        ({"ood": {"rat": Uniform(2, 3)}}, "did you mean 'rate'"),
        ({"positive": ("mass",)}, "no task parameter 'mass'"),
        ({"observation_scale": [1.0, 1.0]}, "observation_scale"),
        ({"observation_scale": [0.0]}, "positive"),
        ({"parameters": {"key": Uniform(1, 2)}, "nominal": {"key": 1.0}}, "cannot be called 'key'"),
    ],
)
def test_contradictory_definitions_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Counter(**changes)


def test_bad_requests_for_tasks_are_refused() -> None:
    rng = np.random.default_rng(0)
    for call, message in [
        (lambda: Counter().sample(1, "ood"), "no ood split"),
        (lambda: Counter().sample(1, "tset"), "did you mean 'test'"),
        (lambda: Counter().sample(1), "needs rng"),
        (lambda: Counter().sample(0, "train", rng), "at least 1"),
        (lambda: Counter().nominal_tasks(0), "at least 1"),
        (lambda: Counter().vectorise(0, 1), "n_tasks"),
        (lambda: Counter().vectorise(1, -1), "envs_per_task"),
        (lambda: Counter().make({"rat": 1.0}), "did you mean 'rate'"),
        (lambda: Counter().make({"rate": math.inf}), "finite"),
        (lambda: Counter().make(Counter().nominal_tasks(2)), "expected 1 tasks, not 2"),
        (lambda: envs.make("cartpole").make({"length": 0.0}), "length must be positive"),
    ]:
        with pytest.raises(UsageError, match=message):
            call()


def test_the_test_split_is_pinned() -> None:
    """Published numbers refer to these tasks: a change here makes every earlier evaluation incomparable."""
    row = envs.make("cartpole_target").sample(1, "test").rows()[0]
    assert row == {"target": pytest.approx(1.0192932202831877, abs=1e-12)}


# -- the vector environment --------------------------------------------------------------------------------------------


def test_lanes_of_a_task_are_neighbours_and_tasks_stay_until_changed() -> None:
    env = Counter().vectorise(2, 2)
    step = torch.tensor([1, 1, 1, 1])
    new = {"tasks": Tasks({"rate": f64(3, 5)})}
    for options, rates in [(None, [1, 1, 1, 1]), (new, [3, 3, 5, 5]), ({}, [3, 3, 5, 5])]:
        before, _ = env.reset(options=options)
        after, *_ = env.step(step)
        torch.testing.assert_close(after - before, torch.tensor(rates, dtype=torch.float32)[:, None])
    assert env.tasks.rows() == [{"rate": 3.0}, {"rate": 5.0}]
    assert env.metadata["autoreset_mode"] is gym.vector.AutoresetMode.DISABLED


def test_termination_truncation_and_hold() -> None:
    """Lane 0 terminates at step 2, lane 1 never, lane 2 in the very step of the time limit (3)."""
    env = Counter().vectorise(3, 1)
    start, _ = env.reset(seed=0)
    history = [env.step(torch.tensor(a)) for a in ([1, 1, 1], [2, 1, 1], [1, 1, 2], [2, 2, 2])]
    assert [h[2].tolist() for h in history] == [[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 1]]
    assert [h[3].tolist() for h in history] == [[0, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 1]]
    counts = torch.tensor([[1, 1, 1], [2, 2, 2], [2, 3, 3], [2, 3, 3]])
    torch.testing.assert_close(torch.stack([h[0][:, 0] for h in history]), counts + start[:, 0])
    earned = torch.tensor([[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 0]])
    torch.testing.assert_close(torch.stack([h[1] for h in history]), earned * (counts + start[:, 0]))


def test_reset_mask_restarts_those_lanes_alone() -> None:
    env = Counter().vectorise(1, 3)
    env.reset(seed=0)
    env.step(torch.tensor([2, 1, 1]))
    second, *_ = env.step(torch.tensor([1, 1, 1]))
    mask = np.array([True, False, False])
    fresh, _ = env.reset(options={"reset_mask": mask})
    assert 0 <= fresh[0, 0] < 1 and torch.equal(fresh[1:], second[1:])
    _, _, terminated, truncated, _ = env.step(torch.tensor([1, 1, 1]))
    assert terminated.tolist() == [False] * 3 and truncated.tolist() == [False, True, True]
    _, _, _, truncated, _ = env.step(torch.tensor([1, 1, 1]))
    assert truncated.tolist() == [False, True, True]
    _, _, _, truncated, _ = env.step(torch.tensor([1, 1, 1]))
    assert truncated.tolist() == [True, True, True]


def test_what_was_returned_belongs_to_the_caller() -> None:
    env = Counter().vectorise(1, 2)
    env.reset(seed=0)
    observation, _, terminated, truncated, _ = env.step(torch.tensor([1, 1]))
    env.state.fill_(99)
    for mine in (observation.fill_(99), terminated.fill_(True), truncated.fill_(True)):
        assert mine is not None
    observation, _, terminated, truncated, _ = env.step(torch.tensor([1, 1]))
    assert (observation < 9).all() and not terminated.any() and not truncated.any()


def test_the_generator_state_restores_what_follows() -> None:
    env = Counter().vectorise(1, 4)
    env.reset(seed=0)
    saved = env.generator.get_state()
    expected, _ = env.reset()
    env.generator.set_state(saved)
    assert torch.equal(env.reset()[0], expected)
    assert not torch.equal(Counter().vectorise(1, 4).reset()[0], Counter().vectorise(1, 4).reset()[0]), "unseeded"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"task": 1}}, "did you mean 'tasks'"),
        ({"options": {"tasks": [1.0, 2.0]}}, "expected envs.Tasks, not list"),
        ({"options": {"tasks": Tasks({"rate": f64(1)})}}, "expected 2 tasks, not 1"),
        ({"options": {"tasks": Tasks({"speed": f64(1, 2)})}}, "expected tasks with parameters"),
        ({"options": {"tasks": Tasks({"rate": f64(1, math.nan)})}}, "task 1: rate must be finite"),
        ({"options": {"tasks": Tasks({"rate": f64(1, 2)}), "reset_mask": torch.tensor([True, False])}}, "mid-episode"),
        ({"options": {"reset_mask": torch.tensor([True])}}, "reset_mask must be bool of shape"),
        ({"options": {"reset_mask": torch.tensor([1, 0])}}, "reset_mask must be bool"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"options": {"reset_mask": "all"}}, "reset_mask cannot be read"),
    ],
)
def test_bad_resets_are_refused_and_change_nothing(arguments: dict, message: str) -> None:
    env = Counter().vectorise(2, 1)
    env.reset(seed=0)
    before = env.state, env.generator.get_state(), env.tasks.rows()
    with pytest.raises(UsageError, match=message):
        env.reset(**arguments)
    assert torch.equal(env.state, before[0]) and torch.equal(env.generator.get_state(), before[1])
    assert env.tasks.rows() == before[2]


def test_a_check_that_would_wait_for_the_device_is_made_at_the_next_reset() -> None:
    env = Counter().vectorise(1, 2)
    env._defer_checks = True  # as on an accelerator
    env.reset(seed=0)
    env.step(torch.tensor([1, 3]))
    env.step(torch.tensor([1, 1]))
    with pytest.raises(UsageError, match="integers from 1 to 2"):
        env.reset()
    env.reset()
    env.step(torch.tensor([1, 1]))
    env.reset()


def test_a_discrete_space_may_start_above_zero() -> None:
    env = Counter().vectorise(1, 2)
    env.reset(seed=0)
    env.step(torch.tensor([1, 2]))
    for action in ([0, 1], [1, 3]):
        with pytest.raises(UsageError, match="integers from 1 to 2"):
            env.step(torch.tensor(action))


# -- the scalar environment --------------------------------------------------------------------------------------------


def test_single_env_changes_its_task_at_reset() -> None:
    env = Counter(positive=("rate",)).make({"rate": 1.5})
    assert env.task == {"rate": 1.5}
    for options, rate in [(None, 1.5), ({"task": {"rate": 1.75}}, 1.75), ({}, 1.75), ({"task": {}}, 1.0)]:
        before, _ = env.reset(seed=0, options=options)
        after, reward, *_ = env.step(1)
        assert env.task == {"rate": rate}
        assert after[0] - before[0] == pytest.approx(rate) and reward == pytest.approx(float(after[0]))
    for options, message in [
        ({"tasks": {}}, "did you mean 'task'"),
        ({"task": 3}, "mapping"),
        ({"task": {"rat": 1}}, "did you mean 'rate'"),
        ({"task": {"rate": -1}}, "positive"),
    ]:
        with pytest.raises(UsageError, match=message):
            env.reset(options=options)
    with pytest.raises(UsageError, match="seed"):
        env.reset(seed=-1)
    for action in (1.0, None, "left", [1, 1], 3):
        with pytest.raises(UsageError, match="action"):
            env.step(action)


def test_single_env_can_be_made_again_from_its_spec() -> None:
    env = envs.make("cartpole").make({"force": -7.0})
    assert env.spec is not None
    assert env.spec.make().unwrapped.task == env.task  # type: ignore[attr-defined]


# -- navigation --------------------------------------------------------------------------------------------------------


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


def test_navigation_is_truncated_at_100_steps_at_the_far_bound() -> None:
    env = envs.make("navigation").make({"goal_x": 0.3, "goal_y": 0.4})
    env.reset(seed=0)
    flags = [env.step(np.array([-0.1, -0.1], dtype=np.float32))[2:4] for _ in range(99)]
    assert set(flags) == {(False, False)}
    observation, _, terminated, truncated, _ = env.step(np.array([-0.1, -0.1], dtype=np.float32))
    assert not terminated and truncated
    np.testing.assert_allclose(observation, [-10.0, -10.0], rtol=1e-6)
    assert observation in env.observation_space


# -- cart and pole -----------------------------------------------------------------------------------------------------


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
    """Keeps the pole leaning at `angle`, so that the cart speeds up in that direction until it leaves the track."""
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
def test_cartpole_is_cartpole_v1(policy: str, nominal: bool) -> None:
    """Whole episodes, flags included, against Gymnasium's own, at the nominal task and with its attributes changed."""
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
    if nominal:  # the comparison means little unless each kind of end was met
        wanted = {"lean right": "track", "lean left": "track", "balance": "limit"}
        assert wanted.get(policy, "angle") in ends


def test_cartpole_target_has_the_nominal_physics_and_rewards_nearness() -> None:
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


def test_the_picture_shows_point_and_goal() -> None:
    env = envs.make("navigation").make({"goal_x": 0.5, "goal_y": 0.25}, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.array([-0.1, 0.1], dtype=np.float32))
    drawn = env.render()
    assert drawn is not None
    assert drawn[120 - 30, 120 + 60].tolist() == list(GREEN) and drawn[120 - 36, 120 - 36].tolist() == list(RED)
    assert (drawn == WHITE).all(-1).mean() > 0.99
