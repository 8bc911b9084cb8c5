"""Task distributions: the parameters that vary, how tasks are drawn, and how environments are made from tasks.

Two kinds of families build on it: `envs.TorchTasks`, whose dynamics are written here in torch, and
`envs.GymnasiumTasks`, which wraps third-party Gymnasium environments.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from envs.core.arrays import finite_array
from envs.core.ranges import Range
from envs.core.task_vector import TaskVectorEnv
from envs.core.tasks import Tasks
from qrl.circuits.registers import Registers
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, suggest
from qrl.common.memory import check_fits

Split = Literal["train", "validation", "test", "ood"]

MAX_NUMBERS = 10_000_000
"""Upper bound of the size of a task; larger arrays are rejected as typos [numbers]."""

SAMPLING_BYTES = 24
"""Memory of a number of a task while tasks are drawn: a uniform, its value and an intermediate [bytes]."""

MAX_HORIZON = 1_000_000
"""Upper bound of the horizon; larger values are rejected as typos, since a rollout holds all steps [steps]."""

# Seeds of the held-out tasks. These seeds belong to the benchmark, not to a run: every run is evaluated on the same
# tasks, whatever its own seed. The numbers are unlikely to be chosen as a training seed.
TEST_SEED = 0x7E57_2026_5EED
OOD_SEED = 0x0D15_2026_5EED
VALIDATION_SEED = 0x7A11_2026_5EED

MOST_LISTED = 1000
"""Largest number of distinct tasks of a family whose validation tasks are its test tasks in reverse order [tasks]."""


def check_horizon(family: str, horizon: object) -> int:
    """Return the longest episode of a family [steps] as an int.

    Raises:
        UsageError: it is no integer, or not in 1 to MAX_HORIZON.
    """
    return check_count(f"{family}: horizon [steps]", horizon, most=MAX_HORIZON)


class TaskDistribution(ABC):
    """A family of environments that differ in a few numbers.

    Args:
        name: the family's name, as on the command line.
        horizon: longest episode [steps]; an episode that reaches it is truncated, or terminates if `ends_at_horizon`.
        observation_space: of one environment; Box, or Registers if the task hands over qubits.
        action_space: of one environment; Box or Discrete.
        observation_scale: typical magnitude of each observation, [obs]; policies divide by it.
        reward_scale: typical magnitude of a reward; agents that take rewards as inputs, or predict them, divide by it.
        parameters: name of each task parameter to its range in the train and test splits.
        validation: ranges that replace those of `parameters` in the validation split, for tasks held out of training
            and test; empty if validation tasks are drawn from the same ranges as train tasks.
        test: ranges that replace those of `parameters` in the test split, likewise.
        nominal: the reference task, a value for every parameter; a number stands for a whole array.
        ood: ranges that replace those of `parameters` in the ood split; empty if the family has no such split.
        positive: parameters that must be above zero (masses, lengths); other tasks raise UsageError.
        skip_sensitivity_check: parameters exempt from the sensitivity check, such as a goal that random actions never
            reach.

    Raises:
        UsageError: the arguments contradict each other.
    """

    render_modes: tuple[str, ...] = ()
    """Values that `make` accepts as its `render_mode`."""
    ends_at_horizon = False
    """Whether the task is complete at the horizon, as after a single decision: episodes then terminate there, and are
    truncated otherwise."""
    steps_are_evaluations = False
    """Whether each step evaluates a candidate; a curve over an episode then shows the return after each evaluation."""
    notes: tuple[str, ...] = ()
    """Remarks for the user about these environments, told before training."""
    invalid_action_slice: slice | None = None
    """Slice of the observation with one entry per discrete action, 1 if the action is invalid; policies mask it."""
    invalid_actions_fail = False
    """Whether an environment may raise for an invalid action, so that agents without masks cannot act in it."""
    observation_bounds_are_hints = False
    """Whether observations may leave the bounds of their space, which then only suggest scales."""

    def __init__(
        self,
        *,
        name: str,
        horizon: int,
        observation_space: gym.spaces.Box | Registers,
        action_space: gym.spaces.Box | gym.spaces.Discrete,
        observation_scale: Sequence[float],
        parameters: Mapping[str, Range],
        nominal: Mapping[str, object],
        validation: Mapping[str, Range] | None = None,
        test: Mapping[str, Range] | None = None,
        ood: Mapping[str, Range] | None = None,
        positive: Sequence[str] = (),
        skip_sensitivity_check: Sequence[str] = (),
        reward_scale: float = 1.0,
    ) -> None:
        self.name = name
        self.horizon = check_horizon(name, horizon)
        self.observation_space = observation_space
        self.action_space = action_space
        self.observation_scale: Float[Tensor, " obs"] = torch.tensor(observation_scale)
        self.reward_scale = float(reward_scale)
        self.parameters = dict(parameters)
        self._n_numbers = sum(math.prod(range_.shape) for range_ in parameters.values())
        check_count(f"{name}: numbers that define a task", self._n_numbers, least=0, most=MAX_NUMBERS)
        self.validation, self.test, self.ood = dict(validation or {}), dict(test or {}), dict(ood or {})
        self.positive = tuple(positive)
        self.skip_sensitivity_check = tuple(skip_sensitivity_check)
        self._check_scales()
        self._check_parameters(nominal)
        self.nominal = self._values(nominal, f"{name}: nominal ")

    def _values(self, values: Mapping[str, object], what: str) -> dict[str, Any]:
        """Convert values to numbers and nested lists of numbers, each parameter in its shape."""
        return {
            key: finite_array(f"{what}{key}", value, self.parameters[key].shape).tolist()
            for key, value in values.items()
        }

    def _check_scales(self) -> None:
        if self.observation_space.shape != tuple(self.observation_scale.shape):
            raise UsageError(
                f"{self.name}: observation_scale has shape {tuple(self.observation_scale.shape)}, "
                f"observations {self.observation_space.shape}"
            )
        if not bool((torch.isfinite(self.observation_scale) & (self.observation_scale > 0)).all()):
            raise UsageError(f"{self.name}: observation_scale must be positive, not {self.observation_scale.tolist()}")
        if not 0 < self.reward_scale < math.inf:
            raise UsageError(f"{self.name}: reward_scale must be positive and finite, not {self.reward_scale}")

    def _check_parameters(self, nominal: Mapping[str, object]) -> None:
        if set(nominal) != set(self.parameters):
            raise UsageError(
                f"{self.name}: nominal must have the parameters {sorted(self.parameters)}, not {sorted(nominal)}"
            )
        held_out = (*self.validation, *self.test, *self.ood)
        for name in (*held_out, *self.positive, *self.skip_sensitivity_check):
            if name not in self.parameters:
                raise UsageError(f"{self.name}: no task parameter {name!r}{suggest(name, list(self.parameters))}")
        overrides = (("validation", self.validation), ("test", self.test), ("ood", self.ood))
        for split, name, range_ in ((split, *item) for split, ranges in overrides for item in ranges.items()):
            train_range = self.parameters[name]
            if range_.shape != train_range.shape:
                raise UsageError(
                    f"{self.name}: {name} has shape {train_range.shape} in train, but {range_.shape} in {split}"
                )
            if range_.overlaps(train_range):
                both = f"{range_.describe()}, overlaps the train range, {train_range.describe()}"
                raise UsageError(f"{self.name}: the {split} range of {name}, {both}")
        for name in self.validation.keys() & self.test.keys():
            if self.validation[name].overlaps(self.test[name]):
                raise UsageError(f"{self.name}: the validation range of {name} overlaps its test range")
        for name in self.parameters:
            if name in dir(Tasks):  # tasks.<name> would be the method
                raise UsageError(f"{self.name}: a task parameter cannot be named {name!r}, since Tasks.{name} exists")

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def without_sensitivity_check(self, names: Sequence[str]) -> "TaskDistribution":
        """Return this family with these parameters exempt from the sensitivity check too.

        Raises:
            UsageError: there is no such parameter.
        """
        for name in names:
            if name not in self.parameters:
                raise UsageError(f"{self.name}: unknown parameter {name!r}{suggest(name, self.parameters)}")
        if not names:
            return self
        family = copy(self)
        family.skip_sensitivity_check = (*self.skip_sensitivity_check, *names)
        return family

    def n_distinct(self, split: Split | str = "train") -> int | None:
        """Return the number of distinct tasks of a split; None if it is infinite or unknown.

        If the number is finite and `test` is empty, test tasks are drawn from the same few tasks as train tasks; so are
        validation tasks if `validation` is empty.
        """
        counts = [range_.n_values for range_ in self._ranges(split).values()]
        known = [count for count in counts if count is not None]
        return math.prod(known) if len(known) == len(counts) else None

    def _ranges(self, split: Split | str) -> dict[str, Range]:
        overrides = {"validation": self.validation, "test": self.test, "ood": self.ood}
        return self.parameters | overrides.get(split, {})

    def sample(self, n: int, split: Split | str = "train", rng: np.random.Generator | None = None) -> Tasks:
        """Draw `n` tasks.

        Validation, test and ood tasks come from their own fixed seeds: they do not depend on `rng`, and the first 50 of
        100 tasks are the same as 50 tasks. If the split has finitely many tasks, each task occurs before any is
        repeated. If the same few tasks, up to 1000, serve for train, validation and test, validation takes them in the
        reverse of the order of test, so that the two share a task only if together they need more than there are.

        Args:
            n: number of tasks, at least 1.
            split: `train` draws from `parameters`; `validation`, `test` and `ood` from `parameters` with their own
                overrides.
            rng: source of the train tasks; required there.

        Raises:
            UsageError: an unknown split, ood in a family without one, train without `rng`, or n < 1.
        """
        n = check_count(f"{self.name}: number of tasks", n)
        check_fits(self.name, f"drawing {n:,} tasks", SAMPLING_BYTES * n * self._n_numbers)
        if split not in get_args(Split):
            raise UsageError(f"{self.name}: unknown split {split!r}{suggest(str(split), get_args(Split))}")
        if split == "ood" and not self.ood:
            raise UsageError(f"{self.name}: this family has no ood split; use 'train' or 'test'")
        if split == "train":
            if rng is None:
                raise UsageError(f"{self.name}: train tasks need rng, a numpy.random.Generator")
            return self._draw(n, split, rng)
        count = self.n_distinct(split)
        if split == "validation" and not (self.validation or self.test) and count and count <= MOST_LISTED:
            return self._in_reverse(n, count)
        seed = {"validation": VALIDATION_SEED, "test": TEST_SEED}.get(split, OOD_SEED)
        drawn = self._draw(n, split, np.random.default_rng(seed))
        return drawn if count is None else self._distinct(drawn, split, seed, count)

    def _distinct(self, tasks: Tasks, split: Split | str, seed: int, count: int) -> Tasks:
        """Return as many distinct tasks as possible, in the order of their first draws, repeated as often as needed."""
        n = drawn = len(tasks)
        while True:
            first = {tasks.key(i): i for i in reversed(range(drawn))}
            if len(first) >= min(n, count) or drawn > 1000 * count:  # some values may be rare
                break
            drawn *= 2
            tasks = self._draw(drawn, split, np.random.default_rng(seed))
        order = sorted(first.values())
        return tasks[torch.tensor([order[i % min(len(order), count)] for i in range(n)])]

    def _in_reverse(self, n: int, count: int) -> Tasks:
        """Return `n` of all tasks of a finite family, from the last one to the first one of its test split."""
        drawn = self._draw(count, "test", np.random.default_rng(TEST_SEED))
        listed = self._distinct(drawn, "test", TEST_SEED, count)
        return listed[torch.tensor([count - 1 - i % count for i in range(n)])]

    def _draw(self, n: int, split: Split | str, rng: np.random.Generator) -> Tasks:
        ranges = self._ranges(split)
        sizes = [math.prod(range_.shape) for range_ in ranges.values()]
        uniforms = rng.random((n, sum(sizes)))  # a row per task: fewer tasks are a prefix of more
        columns = zip(ranges.items(), np.split(uniforms, np.cumsum(sizes)[:-1], axis=1), strict=True)
        return Tasks({name: torch.from_numpy(r.ppf(column.reshape(n, *r.shape))) for (name, r), column in columns})

    def nominal_tasks(self, n: int) -> Tasks:
        """Return the nominal task, `n` times."""
        return Tasks.from_rows([self.nominal] * check_count(f"{self.name}: number of tasks", n))

    def task(self, values: Mapping[str, object]) -> Tasks:
        """Return one task (Tasks of length 1) from some of its parameters; the others are nominal.

        Raises:
            UsageError: an unknown parameter or a value that is not a finite number.
        """
        for name in values:
            if name not in self.parameters:
                raise UsageError(f"{self.name}: no task parameter {name!r}{suggest(str(name), list(self.parameters))}")
        return self.check_tasks(Tasks.from_rows([self.nominal | self._values(values, "task 0: ")]), 1)

    def as_single_task(self, task: object) -> Tasks:
        """Return one task from Tasks of length 1, or from a mapping of some parameters.

        Raises:
            UsageError: `task` is neither, or not a task of this family.
        """
        if isinstance(task, Tasks):
            return self.check_tasks(task, 1)
        if not isinstance(task, Mapping):
            raise UsageError(f"{self.name}: a task must be a mapping of parameters, not {type(task).__name__}")
        return self.task(task)

    def check_render_mode(self, render_mode: str | None) -> None:
        """Raise UsageError for a render mode that the family does not have."""
        if render_mode is not None and render_mode not in self.render_modes:
            supported = ", ".join(self.render_modes) or "none"
            raise UsageError(f"{self.name}: unknown render_mode {render_mode!r}; supported: {supported}")

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Return `tasks`, or raise UsageError unless they are `n_tasks` tasks of this family."""
        if not isinstance(tasks, Tasks):
            raise UsageError(f"{self.name}: expected envs.Tasks, not {type(tasks).__name__}")
        if len(tasks) != n_tasks:
            raise UsageError(f"{self.name}: expected {n_tasks} tasks, not {len(tasks)}")
        if set(tasks.names) != set(self.parameters):
            raise UsageError(
                f"{self.name}: expected tasks with parameters {sorted(self.parameters)}, not {sorted(tasks.names)}"
            )
        for name, column in tasks.values.items():
            shape = self.parameters[name].shape
            if column.shape[1:] != shape:
                raise UsageError(
                    f"{self.name}: {name} of a task must have shape {shape}, not {tuple(column.shape[1:])}"
                )
            bad = ~torch.isfinite(column)
            if name in self.positive:
                bad |= column <= 0
            if bool(bad.any()):
                index = tuple(bad.nonzero()[0].tolist())
                wanted = "positive and finite" if name in self.positive else "finite"
                raise UsageError(f"{self.name}: task {index[0]}: {name} must be {wanted}, not {float(column[index]):g}")
        return tasks

    # -- environments --------------------------------------------------------------------------------------------------

    @abstractmethod
    def vectorise(self, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu") -> TaskVectorEnv:
        """Make a `gymnasium.vector.VectorEnv` of n_tasks · envs_per_task lanes with tensors on `device`.

        Lane `task · envs_per_task + env` is environment `env` of task `task`. The environment's `reset` takes the
        options `tasks` and `reset_mask`, there is no autoreset, and a finished lane is frozen until its reset; see
        `envs.TorchVectorEnv`.
        """

    @abstractmethod
    def make(
        self, task: Mapping[str, object] | Tasks | None = None, render_mode: str | None = None
    ) -> gym.Env[Any, Any]:
        """Make a `gymnasium.Env` on one task (NumPy in and out); parameters that are not given are nominal.

        The environment's `reset` takes the option `task`.

        Raises:
            UsageError: an unknown parameter, a value that is not a finite number, Tasks of more than one task, or a
                render mode that the family does not have.
        """


def datasheet(distribution: TaskDistribution) -> str:
    """Return the task parameters as a Markdown table: nominal value, range in train and test, range in ood."""
    lines = ["| Parameter | Nominal | Train, test | OOD |", "|---|---|---|---|"]
    for name, range_ in distribution.parameters.items():
        ood = distribution.ood.get(name, range_).describe() if distribution.ood else "no ood split"
        lines.append(f"| {name} | {range_.describe_value(distribution.nominal[name])} | {range_.describe()} | {ood} |")
    return "\n".join(lines)
