"""The grid world: every step enumerated, its finite sets of goals, and returns worked out by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import envs
from envs import TaskDistribution, Tasks
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

MOVES = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1), 4: (-1, 0)}
AROUND_THE_START = {(0, 0), (0, 1), (1, 0), (1, 1)}


def goals(family: TaskDistribution, split: str, n: int) -> set[tuple[int, int]]:
    """Goals [x, y] among n tasks."""
    tasks = family.sample(n, split, np.random.default_rng(0))
    return {(int(goal) % 5, int(goal) // 5) for goal in tasks.goal}


def test_every_step_from_every_cell_to_every_goal() -> None:
    family = envs.make("gridworld")
    cells = list(itertools.product(range(5), repeat=2))
    cases = list(itertools.product(cells, MOVES, cells))
    state = torch.tensor([cell for cell, _, _ in cases], dtype=torch.float64)
    tasks = Tasks({"goal": torch.tensor([5.0 * y + x for _, _, (x, y) in cases], dtype=torch.float64)})
    family.check_tasks(tasks, len(cases))
    after, reward, ended = family.transition(state, torch.tensor([action for _, action, _ in cases]), tasks)
    for i, (cell, action, goal) in enumerate(cases):
        moved = (cell[0] + MOVES[action][0], cell[1] + MOVES[action][1])
        wanted = moved if moved in cells else cell
        assert tuple(after[i].tolist()) == wanted
        assert reward[i].item() == (1.0 if wanted == goal else -0.1)
    assert not ended.any()
    assert torch.equal(family.observe(after, tasks), after)


def test_goals_of_the_splits() -> None:
    """17 goals, and 4 in the far corner; together the 21 of VariBAD's code."""
    everywhere = set(itertools.product(range(5), repeat=2)) - AROUND_THE_START
    corner = {(3, 3), (3, 4), (4, 3), (4, 4)}
    family = envs.make("gridworld")
    assert goals(family, "train", 500) == goals(family, "test", 500) == everywhere - corner
    assert goals(family, "ood", 200) == corner
    assert family.n_distinct() == 17
    whole = envs.make("gridworld", held_out=0)
    assert goals(whole, "train", 500) == goals(whole, "test", 500) == everywhere
    assert whole.n_distinct() == 21 and not whole.ood
    # The largest possible corner leaves the edges that meet at the start; cells around the start stay excluded.
    edges = envs.make("gridworld", held_out=4)
    assert goals(edges, "train", 200) == {(x, y) for x, y in everywhere if x == 0 or y == 0}
    assert goals(edges, "ood", 500) == {(x, y) for x, y in everywhere if x > 0 and y > 0}


def test_returns_of_the_shortest_path() -> None:
    """Straight to a goal d moves away, then stay: d - 1 steps at -0.1, then 16 - d at 1, without termination."""
    family = envs.make("gridworld", held_out=0)
    tasks = Tasks({"goal": torch.tensor(family.parameters["goal"].values, dtype=torch.float64)})  # type: ignore[attr-defined]
    x, y = tasks.goal % 5, tasks.goal // 5
    env = family.vectorise(len(tasks), 1)
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    assert not observation.any()
    returns = torch.zeros(len(tasks))
    for t in range(15):
        action = torch.where(observation[:, 0] < x, 2, torch.where(observation[:, 1] < y, 1, 0))
        observation, reward, terminated, truncated, _ = env.step(action)
        returns += reward
        assert not terminated.any() and bool(truncated.all()) == bool(truncated.any()) == (t == 14)
    d = x + y
    np.testing.assert_allclose(returns, 16 - d - 0.1 * (d - 1), rtol=1e-6)
    assert float(returns[tasks.goal == 24]) == pytest.approx(7.3, rel=1e-6)


def test_picture_shows_goal_and_agent_with_y_upwards() -> None:
    env = envs.make("gridworld").make({"goal": 4}, render_mode="rgb_array")  # (4, 0), lower right
    env.reset(seed=0)
    for action in (1, 1, 2):
        env.step(action)
    picture = env.render()
    assert picture is not None and picture.shape == (160, 160, 3) and picture.dtype == np.uint8
    middle, edge = picture[16::32, 16::32], picture[4::32, 4::32]
    white = (middle == 255).all(-1)
    assert [tuple(cell) for cell in np.argwhere(~white)] == [(2, 1), (4, 4)], "agent at (1, 2), goal at (4, 0)"
    assert middle[2, 1].argmax() == 2 and middle[4, 4].argmax() == 1, "agent blue, goal green"
    assert (edge[2, 1] == 255).all() and edge[4, 4].argmax() == 1, "the agent fills its cell in part"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 2}, "at least 3"), ({"held_out": 5}, "at most 4, not 5"), ({"held_out": -1}, "at least 0")],
)
def test_invalid_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        envs.make("gridworld", **options)


@pytest.mark.parametrize("goal", [25, -1, 2.5])
def test_goals_outside_the_grid_are_rejected(goal: float) -> None:
    family = envs.make("gridworld")
    with pytest.raises(UsageError, match="must be an integer from 0 to 24"):
        family.task({"goal": goal})
    family.task({"goal": 0})  # never sampled, but a cell
