"""The vector environment: lanes, episode ends, resets and seeds."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

from envs import Tasks
from qrl.common.errors import UsageError
from tests.support.double_precision import f64
from tests.support.environments import Counter

pytestmark = pytest.mark.filterwarnings("error")


def test_lanes_of_a_task_are_adjacent_and_tasks_persist() -> None:
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


def test_reset_mask_restarts_only_those_lanes() -> None:
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


def test_returned_arrays_belong_to_the_caller() -> None:
    env = Counter().vectorise(1, 2)
    env.reset(seed=0)
    observation, _, terminated, truncated, _ = env.step(torch.tensor([1, 1]))
    env.state.fill_(99)
    for mine in (observation.fill_(99), terminated.fill_(True), truncated.fill_(True)):
        assert mine is not None
    observation, _, terminated, truncated, _ = env.step(torch.tensor([1, 1]))
    assert (observation < 9).all() and not terminated.any() and not truncated.any()


def test_generator_state_restores_the_random_stream() -> None:
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
        ({"options": {"reset_mask": "all"}}, "reset_mask cannot be converted"),
    ],
)
def test_invalid_resets_are_rejected_and_change_nothing(arguments: dict, message: str) -> None:
    env = Counter().vectorise(2, 1)
    env.reset(seed=0)
    before = env.state, env.generator.get_state(), env.tasks.rows()
    with pytest.raises(UsageError, match=message):
        env.reset(**arguments)
    assert torch.equal(env.state, before[0]) and torch.equal(env.generator.get_state(), before[1])
    assert env.tasks.rows() == before[2]


def test_checks_that_require_synchronisation_are_deferred_to_the_next_reset() -> None:
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


def test_discrete_spaces_may_start_above_zero() -> None:
    env = Counter().vectorise(1, 2)
    env.reset(seed=0)
    env.step(torch.tensor([1, 2]))
    for action in ([0, 1], [1, 3]):
        with pytest.raises(UsageError, match="integers from 1 to 2"):
            env.step(torch.tensor(action))
