"""The frozen lake against Gymnasium: transitions, episodes, pictures, maps and optimum."""

import itertools
import sys
from collections import defaultdict
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import scipy.stats
import torch
from gymnasium.envs.toy_text.frozen_lake import MAPS, FrozenLakeEnv, generate_random_map, is_valid
from gymnasium.utils.env_match import check_environments_match

import envs
from envs import Tasks
from envs.dynamics.per_lane_rng import next_uniform
from envs.frozen_lake import FrozenLake, SolvableMap, solvable
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")


def lake(**options: Any) -> FrozenLake:
    family = envs.make("frozen_lake", **options)
    assert isinstance(family, FrozenLake)
    return family


def letters(holes: Any) -> list[str]:
    """A map in Gymnasium's format."""
    board = np.where(np.array(holes) == 1, "H", "F")
    board[0, 0], board[-1, -1] = "S", "G"
    return ["".join(row) for row in board]


def theirs(task: dict[str, Any]) -> FrozenLakeEnv:
    return FrozenLakeEnv(desc=letters(task["holes"]), success_rate=task["success"])


def random_task(size: int, success: float, seed: int) -> dict[str, Any]:
    board = generate_random_map(size, seed=seed)
    return {"holes": [[letter == "H" for letter in row] for row in board], "success": success}


# -- against Gymnasium -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "name", "horizon"), [(4, "FrozenLake-v1", 100), (8, "FrozenLake8x8-v1", 200)])
def test_nominal_task_equals_gymnasium(size: int, name: str, horizon: int) -> None:
    family, spec = lake(size=size, horizon=horizon), gym.spec(name)
    assert letters(family.nominal["holes"]) == MAPS[spec.kwargs["map_name"]]
    assert spec.max_episode_steps == horizon
    assert lake().horizon == 100 and lake().size == 4
    assert not np.any(lake(size=3).nominal["holes"])


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("success", [None, 0.0, 0.25, 0.5, 1.0])
def test_transitions_equal_gymnasiums_table(size: int, success: float | None) -> None:
    """Every cell and action, at 24 evenly spaced uniform numbers, so that thirds and eighths are whole counts.

    In the table terminal cells are absorbing; here the vector environment ends the episode. None is the nominal task,
    the others are random maps.
    """
    family = lake(size=size, horizon=1)
    task = family.nominal if success is None else random_task(size, success, seed=size)
    table = theirs(task).P if success is not None else gym.make("FrozenLake-v1", map_name=f"{size}x{size}").unwrapped.P
    over = np.array(task["holes"]).ravel() != 0
    over[-1] = True
    cases = list(itertools.product(np.flatnonzero(~over), range(4), (np.arange(24) + 0.5) / 24))
    state = torch.tensor([(cell, uniform, 7, 9) for cell, _, uniform in cases], dtype=torch.float64)
    tasks = family.task(task).repeat_interleave(len(cases))
    after, reward, ended = family.transition(state, torch.tensor([action for _, action, _ in cases]), tasks)
    rng_state, uniform = next_uniform(state[:, 2:])
    assert torch.equal(after[:, 1], uniform) and torch.equal(after[:, 2:], rng_state)

    found: dict[Any, float] = defaultdict(float)
    for case, *outcome in zip(cases, after[:, 0].tolist(), reward.tolist(), ended.tolist(), strict=True):
        found[case[0], case[1], *outcome] += 1 / 24
    wanted: dict[Any, float] = defaultdict(float)
    for cell, action in itertools.product(np.flatnonzero(~over), range(4)):
        for probability, *outcome in table[cell][action]:
            if probability:
                wanted[cell, action, *outcome] += probability
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key], abs=1e-12) for key in wanted)


def one_hot_and_float(env: gym.Env) -> gym.Env:
    """Convert Gymnasium's observations and rewards to this library's types."""
    cells = int(env.observation_space.n)
    space = gym.spaces.Box(0.0, 1.0, (cells,))
    env = gym.wrappers.TransformObservation(env, lambda cell: np.eye(cells, dtype=np.float32)[cell], space)
    return gym.wrappers.TransformReward(env, float)


@pytest.mark.parametrize(
    ("size", "name", "horizon", "steps", "render_mode"),
    [
        (4, "FrozenLake-v1", 100, 600, None),
        (8, "FrozenLake8x8-v1", 200, 600, None),
        (4, "FrozenLake-v1", 100, 40, "rgb_array"),
    ],
)
def test_scalar_environment_equals_gymnasium(
    size: int, name: str, horizon: int, steps: int, render_mode: str | None
) -> None:
    """Compare random draws from equal seeds, and pictures."""
    ours = lake(size=size, horizon=horizon).make(render_mode=render_mode)
    other = one_hot_and_float(gym.make(name, render_mode=render_mode))
    check_environments_match(ours, other, steps, info_comparison="skip")


def test_scalar_environment_equals_gymnasium_across_episodes() -> None:
    """Seeded once: an episode draws as many random numbers as Gymnasium's, so the next one is equal, too."""
    task = random_task(4, 0.7, seed=3)
    ours, other = lake().make(task), one_hot_and_float(theirs(task))
    rng = np.random.default_rng(0)
    goals = 0.0
    for episode in range(50):
        seed = 11 if episode == 0 else None
        assert np.array_equal(ours.reset(seed=seed)[0], other.reset(seed=seed)[0])
        ended = False
        while not ended:
            action = rng.choice([0, 1, 1, 2, 2, 3])
            mine, their = ours.step(action), other.step(action)
            assert np.array_equal(mine[0], their[0]) and mine[1:3] == their[1:3]
            goals += mine[1]
            ended = mine[2] or mine[3]
    assert 0 < goals < 50


def test_pictures_need_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    env = lake().make(render_mode="rgb_array")
    env.reset(seed=0)
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UsageError, match=r"pip install 'qrl-meta\[render\]'"):
        env.render()


# -- maps --------------------------------------------------------------------------------------------------------------


def test_solvable_equals_gymnasiums_is_valid() -> None:
    boards = [generate_random_map(6, 0.5, seed=i) for i in range(20)]  # narrow ways
    holes = np.array([[[letter == "H" for letter in row] for row in board] for board in boards])
    random = np.random.default_rng(0).random((1000, 6, 6)) >= 0.65
    random[:, 0, 0] = random[:, -1, -1] = False
    holes = np.concatenate([holes, random])
    wanted = [is_valid([list(row) for row in letters(board)], 6) for board in holes]
    assert solvable(holes).tolist() == wanted
    assert 100 < sum(wanted) < 900


def test_maps_have_the_distribution_of_gymnasiums_random_maps() -> None:
    """3 × 3 cells against all 128 enumerated maps; Gymnasium's maps are tested against the same distribution.

    With 0.6 ice, four of ten maps need more than one attempt.
    """
    frozen = 0.6
    law: dict[tuple[str, ...], float] = {}
    for cells in itertools.product((0, 1), repeat=7):
        board = letters(np.reshape((0, *cells, 0), (3, 3)))
        if is_valid([list(row) for row in board], 3):
            law[tuple(board)] = frozen ** (7 - sum(cells)) * (1 - frozen) ** sum(cells)
    assert sum(law.values()) < 0.6
    u = np.random.default_rng(0).random((6000, 3, 3))
    drawn = SolvableMap(frozen, shape=(3, 3)).ppf(u)
    gymnasiums = [tuple(generate_random_map(3, frozen, seed=i)) for i in range(3000)]
    probabilities = np.array(list(law.values())) / sum(law.values())
    for maps in ([tuple(letters(holes)) for holes in drawn], gymnasiums):
        counts = [maps.count(board) for board in law]
        assert sum(counts) == len(maps)
        assert scipy.stats.chisquare(counts, len(maps) * probabilities).pvalue > 0.01


def test_maps_depend_only_on_their_own_uniform_numbers() -> None:
    u = np.random.default_rng(1).random((2, 20, 3, 4))
    range_ = SolvableMap(0.5, shape=(3, 4))
    maps = range_.ppf(u)
    assert (u >= 0.5)[maps == 0].any(), "some were drawn again"
    for i, j in np.ndindex(2, 20):
        assert np.array_equal(range_.ppf(u[i, j]), maps[i, j])


def test_membership_in_a_range_of_maps() -> None:
    range_ = SolvableMap(0.8, shape=(2, 2))
    maps = np.array([[[0, 0], [1, 0]], [[0, 1], [1, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0.5], [0, 0]]])
    assert range_.contains(maps).tolist() == [[[good] * 2] * 2 for good in (True, False, False, False, False)]
    assert range_.describe() == "2 × 2 × solvable(0.8)" and range_.n_values is None


# -- optimum -----------------------------------------------------------------------------------------------------------


def optimum(tasks: Tasks, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of reaching the goal in an episode by optimal and by uniform actions; the optimal actions.

    By backward dynamic programming over Gymnasium's tables.

    Returns:
        [task], [task], and [time, task, cell].
    """
    n, cells = len(tasks), tasks.holes[0].numel()
    moves, pays = np.zeros((n, cells, 4, cells)), np.zeros((n, cells, 4))
    for i, task in enumerate(tasks.rows()):
        for cell, actions in theirs(task).P.items():
            for action, outcomes in actions.items():
                for probability, after, reward, ended in outcomes:
                    pays[i, cell, action] += probability * reward
                    moves[i, cell, action, after] += probability * (not ended)
    best, uniform, policy = np.zeros((n, cells)), np.zeros((n, cells)), []
    for _ in range(horizon):
        q = pays + np.einsum("icad,id->ica", moves, best)
        best, uniform = q.max(-1), (pays + np.einsum("icad,id->ica", moves, uniform)).mean(-1)
        policy.append(q.argmax(-1))
    return best[:, 0], uniform[:, 0], np.array(policy[::-1])


def test_optimal_policy_of_frozen_lake_v1_attains_its_dynamic_programming_value() -> None:
    """0.744 within 100 steps, undiscounted; uniform actions 0.014. Within 4 standard errors of returns of 0 or 1."""
    family, n = lake(), 4000
    best, uniform, policy = optimum(family.nominal_tasks(1), family.horizon)
    assert best[0] == pytest.approx(0.744, abs=5e-4)
    env = family.vectorise(1, 2 * n)
    observation, _ = env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    returns = torch.zeros(2 * n)
    for t in range(family.horizon):
        action = torch.randint(4, (2 * n,), generator=generator)
        action[:n] = torch.from_numpy(policy[t, 0])[observation[:n].argmax(1)]
        observation, reward, terminated, _, _ = env.step(action)
        returns += reward
    assert set(returns.tolist()) == {0.0, 1.0}
    for got, value in ((returns[:n], best[0]), (returns[n:], uniform[0])):
        assert float(got.mean()) == pytest.approx(value, abs=4 * np.sqrt(value * (1 - value) / n))


@pytest.mark.parametrize(("split", "optimal", "random"), [("test", 0.94, 0.14), ("ood", 0.79, 0.08)])
def test_claims_of_the_datasheet_on_the_tasks(split: str, optimal: float, random: float) -> None:
    best, uniform, _ = optimum(lake().sample(100, split), 100)
    assert best.mean() == pytest.approx(optimal, abs=0.005) and uniform.mean() == pytest.approx(random, abs=0.005)


# -- invalid input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"holes": 0.5}, "holes must be 0 or 1"),
        ({"holes": np.diag([1, 0, 0, 0])}, "cannot be holes"),
        ({"holes": np.diag([0, 0, 0, 1])}, "cannot be holes"),
        ({"success": 1.1}, r"success must be in \[0, 1\]"),
        ({"success": -0.1}, r"success must be in \[0, 1\]"),
    ],
)
def test_invalid_tasks_are_rejected(task: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lake().task(task)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lake(size=1), "size .* at least 2"),
        (lambda: SolvableMap(0.8, shape=(4,)), "rows and columns"),
        (lambda: SolvableMap(0.0, shape=(4, 4)), r"frozen must be in \(0, 1\]"),
    ],
)
def test_invalid_options_are_rejected(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()
