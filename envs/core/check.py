"""Checks that every family of tasks has to pass, including user-defined families: `envs.check(distribution)`."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from envs.core.distribution import MOST_LISTED, Split, TaskDistribution
from envs.core.ranges import Labels
from envs.core.task_vector import TaskVectorEnv
from envs.core.tasks import Tasks
from qrl.common.errors import TrainingError, UsageError, describe, is_interrupt

Trajectory = list[tuple[Tensor, ...]]
"""The first observation alone, then observation, reward, terminated and truncated of every step; all [lane, ...]."""

HOLDS = (1, 1, 2, 4, 8, 16, 32, 64)
"""Steps for which the lanes hold an action: held actions reach more states than actions that change at every step."""

SINGLE_LANE_STEPS = 50
"""Steps for which a lane of many is compared with a single lane: in chaotic families rounding errors grow."""


def check(distribution: TaskDistribution) -> list[str]:
    """Run every check on a family and return their names.

    Raises:
        UsageError: some checks fail; the message names each with its error, in one line.
    """
    if not isinstance(distribution, TaskDistribution):
        wanted = "a task distribution, such as envs.make('cartpole')"
        raise UsageError(f"check: expected {wanted}, not {distribution!r}")
    failed = []
    for name, run in CHECKS.items():
        try:
            run(distribution)
        except (UsageError, TrainingError) as error:
            failed.append(f"{name}: {error}")
        except BaseException as error:  # third-party code may raise anything
            if is_interrupt(error):
                raise
            failed.append(f"{name}: {describe(error)}")
    if failed:
        raise UsageError(f"{distribution.name} fails {len(failed)} of {len(CHECKS)} checks: " + "; ".join(failed))
    return list(CHECKS)


def check_before_training(distribution: TaskDistribution) -> None:
    """Run the checks on which every result depends: episodes are reproducible, and parameters matter.

    Raises:
        UsageError: a check fails.
    """
    for name in ("reproducible", "parameters matter"):
        try:
            CHECKS[name](distribution)
        except (UsageError, TrainingError) as error:
            prefix = f"{distribution.name}: "
            raise UsageError(prefix + str(error).removeprefix(prefix)) from None


# -- tasks -------------------------------------------------------------------------------------------------------------


def _splits(family: TaskDistribution) -> list[Split]:
    return ["train", "validation", "test", "ood"] if family.ood else ["train", "validation", "test"]


def _sample(family: TaskDistribution, n: int, split: Split = "train", seed: int = 0) -> Tasks:
    return family.sample(n, split, np.random.default_rng(seed))


def train_tasks_follow_their_generator(family: TaskDistribution) -> None:
    """Check that equal seeds draw equal tasks in their ranges; other seeds draw others, if there are any."""
    tasks = _sample(family, 200, seed=1)
    _require(tasks.rows() == _sample(family, 200, seed=1).rows(), "equal generators draw different train tasks")
    differ = family.n_distinct() == 1 or tasks.rows() != _sample(family, 200, seed=2).rows()
    _require(differ, "different generators draw the same train tasks")
    for name, range_ in family.parameters.items():
        inside = range_.contains(tasks[name].numpy())
        _require(bool(np.all(inside)), f"{name} of a train task lies outside its range {range_.describe()}")


def held_out_tasks_are_fixed(family: TaskDistribution) -> None:
    """Check that held-out tasks do not depend on a seed, and that fewer tasks are a prefix of more."""
    for split in _splits(family)[1:]:
        rows = family.sample(100, split).rows()
        _require(rows == _sample(family, 100, split, seed=5).rows(), f"{split} tasks depend on a generator")
        _require(rows[:50] == family.sample(50, split).rows(), f"50 {split} tasks are not the first of 100")


def validation_tasks_are_no_test_tasks(family: TaskDistribution) -> None:
    """Check that no validation task is a test task, nor a train task if validation has its own tasks.

    If the same few tasks serve for all three splits, half of them for validation and half for test have none in common.
    """
    count, n = family.n_distinct("validation"), 100
    if count is not None and not (family.validation or family.test):
        if not 2 <= count <= MOST_LISTED:
            return
        n = min(n, count // 2)
    validation, test = (_keys(family.sample(n, split)) for split in ("validation", "test"))
    _require(validation.isdisjoint(test), "a validation task is a test task")
    if count is None or family.validation:
        _require(validation.isdisjoint(_keys(_sample(family, 200))), "a validation task is a train task")


def _keys(tasks: Tasks) -> set[str]:
    return {tasks.key(index) for index in range(len(tasks))}


def ood_tasks_lie_outside_train(family: TaskDistribution) -> None:
    """Check that in at least one parameter every ood task lies outside the train range."""
    if not family.ood:
        return
    tasks = family.sample(200, "ood")
    disjoint = [name for name in family.ood if not family.parameters[name].contains(tasks[name].numpy()).any()]
    _require(bool(disjoint), "in every parameter some ood tasks lie inside the train range")


def tasks_round_trip_json(family: TaskDistribution) -> None:
    """Check that tasks written as JSON are read back unchanged."""
    tasks = family.sample(20, "test")
    again = Tasks.from_json(tasks.to_json())
    _require(
        again.rows() == tasks.rows() and again.key(7) == tasks.key(7), "tasks change when written to JSON and read back"
    )


# -- environments ------------------------------------------------------------------------------------------------------


def actions(env: TaskVectorEnv, steps: int, holds: Sequence[int] = (1,), seed: int = 0) -> list[Tensor]:
    """Draw random actions of all lanes; lane i holds an action for holds[i mod len(holds)] steps."""
    env.action_space.seed(seed)
    drawn = torch.stack([torch.as_tensor(env.action_space.sample()) for _ in range(steps)])
    lanes = torch.arange(env.num_envs)
    hold = torch.tensor(holds)[lanes % len(holds)]
    times = torch.arange(steps)[:, None] // hold * hold
    return list(drawn[times, lanes])


def valid_actions(env: TaskVectorEnv, action: Tensor, observation: Tensor) -> Tensor:
    """Replace each action that is invalid after this observation by the next valid one, cyclically."""
    flags = env.invalid_action_slice
    if flags is None:
        return action
    valid = observation[:, flags] == 0
    n = valid.shape[1]
    order = (action[:, None] + torch.arange(n)) % n
    first = valid.gather(1, order).long().argmax(1)  # 0 if none is valid
    return order.gather(1, first[:, None])[:, 0]


def trajectory(env: TaskVectorEnv, acts: Sequence[Tensor], *, tasks: Tasks, seed: int = 0) -> Trajectory:
    """Record the trajectory under these actions, from a reset with this seed until all lanes are finished."""
    steps: Trajectory = [(env.reset(seed=seed, options={"tasks": tasks})[0],)]
    for action in acts:
        steps.append(env.step(valid_actions(env, action, steps[-1][0]))[:4])
        if bool((steps[-1][2] | steps[-1][3]).all()):
            break
    return steps


def equal_trajectories(one: Trajectory, other: Trajectory) -> bool:
    """Return whether two trajectories are bitwise equal."""
    if len(one) != len(other):
        return False
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def reproducible(family: TaskDistribution) -> None:
    """Check that equal seeds, tasks and actions give equal, finite episodes, in the same and in new environments."""
    tasks = _sample(family, 2)
    one, other = family.vectorise(2, 4), family.vectorise(2, 4)
    acts = actions(one, family.horizon, HOLDS)
    first = trajectory(one, acts, tasks=tasks, seed=1)
    for step, (observation, *others) in enumerate(first):
        for what, values in (("observation", observation), ("reward", others[0] if others else None)):
            if values is not None and not bool(values.isfinite().all()):
                lane = int((~values.isfinite()).flatten(1 if values.ndim > 1 else 0).nonzero()[0, 0])
                ranges = family.parameters
                task = ", ".join(
                    f"{name}={ranges[name].describe_value(value) if isinstance(ranges[name], Labels) else value}"
                    for name, value in tasks.rows()[lane // 4].items()
                )
                raise UsageError(f"the {what} is not finite at step {step} on the task {task}")
    trajectory(one, acts[:3], tasks=_sample(family, 2, seed=1), seed=2)
    advice = "draw random numbers from self.np_random, and restore the whole state in reset(seed)"
    for env, which in ((one, "the same"), (other, "new")):
        again = trajectory(env, acts, tasks=tasks, seed=1)
        _require(
            equal_trajectories(first, again),
            f"the same seed, tasks and actions give different episodes in {which} lanes: {advice}",
        )
    _close(one, other)


def parameters_matter(family: TaskDistribution) -> None:
    """Check that each parameter alone affects observations, rewards or ends of episodes, at equal seed and actions."""
    pair = [family.vectorise(1, len(HOLDS)) for _ in range(2)]
    acts = actions(pair[0], family.horizon, HOLDS)
    rng = np.random.default_rng(0)
    for name, range_ in family.parameters.items():
        if name in family.skip_sensitivity_check:
            continue
        ends = np.linspace(0.02, 0.98, 2 * math.prod(range_.shape))
        values = range_.ppf((rng.permuted(ends) if range_.shape else ends).reshape(2, *range_.shape))
        compared = "two arrays" if range_.shape else " and ".join(map(range_.describe_value, values))
        _require(
            _differ(pair, [family.task({name: value}) for value in values], acts),
            f"{len(HOLDS)} episodes of random actions do not show that parameter {name!r} matters: observations, "
            f"rewards and ends are equal at {compared}. If it does, --env.skip-sensitivity-check {name} (in Python: "
            f"skip_sensitivity_check=({name!r},)) skips this check",
        )
    _close(*pair)


def _differ(pair: Sequence[TaskVectorEnv], tasks: Sequence[Tasks], acts: Sequence[Tensor]) -> bool:
    """Return whether episodes on two tasks differ anywhere before all lanes of both are finished."""
    seen = [env.reset(seed=0, options={"tasks": each})[0] for env, each in zip(pair, tasks, strict=True)]
    if not torch.equal(*seen):
        return True
    for action in acts:
        valid = valid_actions(pair[0], action, seen[0])  # the same in both, where nothing has differed so far
        one, other = (env.step(valid)[:4] for env in pair)
        seen[0] = one[0]
        if not all(torch.equal(a, b) for a, b in zip(one, other, strict=True)):
            return True
        if bool((one[2] | one[3]).all()):
            break
    return False


def observations_and_rewards_are_valid(family: TaskDistribution) -> None:
    """Check shapes, types and finiteness in every split, and that observations lie in their space."""
    low, high = family.observation_space.low, family.observation_space.high
    for split in _splits(family):
        env = family.vectorise(20, 1)
        steps = trajectory(env, actions(env, family.horizon, (7,)), tasks=_sample(family, 20, split))
        for observation, *others in steps:
            is_valid = observation.shape == (20, *low.shape) and observation.dtype == torch.float32
            _require(is_valid, f"observations are {observation.dtype}, {tuple(observation.shape)}")
            values = observation.numpy()
            _require(bool(np.isfinite(values).all()), f"an observation in a {split} task is not finite")
            if not family.observation_bounds_are_hints:
                outside = (values < low) | (values > high)
                index = int(outside.any(0).argmax())
                _require(not outside.any(), f"observation {index} in a {split} task lies outside observation_space")
                valid = env.observation_space.contains(values)
                _require(valid, f"an observation in a {split} task is no element of {family.observation_space}")
            if others:
                _require(bool(torch.isfinite(others[0]).all()), f"a reward in a {split} task is not finite")
        _close(env)


def episodes_end(family: TaskDistribution) -> None:
    """Check that episodes end by the horizon, truncated exactly there, and that finished lanes freeze until a reset.

    Episodes of a family with `ends_at_horizon` terminate there instead.
    """
    env = family.vectorise(3, 2)
    seen, _ = env.reset(seed=0, options={"tasks": _sample(family, 3)})
    done, length = torch.zeros(6, dtype=torch.bool), torch.zeros(6, dtype=torch.int64)
    previous: tuple[Tensor, ...] | None = None
    for action in actions(env, family.horizon + 2):
        observation, reward, terminated, truncated, _ = env.step(valid_actions(env, action, seen))
        seen = observation
        if previous is not None:
            current = (observation, terminated, truncated)
            is_frozen = all(torch.equal(a[done], b[done]) for a, b in zip(previous, current, strict=True))
            _require(is_frozen and bool((reward[done] == 0).all()), "a finished lane continues")
        length += ~done
        done, previous = terminated | truncated, (observation, terminated, truncated)
    assert previous is not None
    _require(bool(done.all()), f"an episode lasts longer than the horizon of {family.horizon} steps")
    _, ended, cut = previous
    marked, how = (ended & ~cut, "terminated") if family.ends_at_horizon else (cut, "truncated")
    late = (length == family.horizon) & ~marked
    _require(not bool(late.any()), f"an episode that reaches the horizon is not {how}")
    mask = torch.arange(6) % 2 == 0
    observation, _ = env.reset(options={"reset_mask": mask})
    _require(torch.equal(observation[~mask], previous[0][~mask]), "a reset of some lanes changes others")
    _close(env)


def lanes_match_single_lanes(family: TaskDistribution) -> None:
    """Check that a lane of many equals a single lane from the same start (to rounding: torch sums in another order)."""
    env = family.vectorise(3, 2)
    seen, _ = env.reset(seed=0, options={"tasks": _sample(family, 3)})
    singles = [env.single_lane(lane) for lane in range(6)]
    running = [True] * 6
    for action in actions(env, min(family.horizon, SINGLE_LANE_STEPS)):
        valid = valid_actions(env, action, seen)
        results = env.step(valid)[:4]
        seen = results[0]
        for lane, single in enumerate(singles):
            if not running[lane]:
                continue
            ours = single.step(valid[lane : lane + 1])[:4]
            for part, theirs in zip(ours, results, strict=True):
                close = torch.allclose(part[0].double(), theirs[lane].double(), rtol=1e-6, atol=1e-7)
                _require(close, f"lane {lane} of six differs from a single lane")
            running[lane] = not bool(ours[2] | ours[3])
    _close(env, *singles)


def single_environments_fit(family: TaskDistribution) -> None:
    """Check that `make` returns a `gymnasium.Env` with the spaces of the family, on the given task."""
    env = family.make(_sample(family, 1))
    fit = env.observation_space == family.observation_space and env.action_space == family.action_space
    _require(fit, "the spaces of make's environments differ from the family's")
    observation, _ = env.reset(seed=0)
    is_inside = family.observation_bounds_are_hints or bool(family.observation_space.contains(observation))
    _require(is_inside, "make: the first observation lies outside observation_space")
    env.close()


CHECKS: dict[str, Callable[[TaskDistribution], None]] = {
    each.__name__.replace("_", " "): each
    for each in (
        train_tasks_follow_their_generator,
        held_out_tasks_are_fixed,
        validation_tasks_are_no_test_tasks,
        ood_tasks_lie_outside_train,
        tasks_round_trip_json,
        reproducible,
        parameters_matter,
        observations_and_rewards_are_valid,
        episodes_end,
        lanes_match_single_lanes,
        single_environments_fit,
    )
}
"""Every check by its name; its docstring states the requirement."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _close(*envs: TaskVectorEnv) -> None:
    for env in envs:
        env.close()
