"""Task distributions over any Gymnasium environment: an id, or a function that makes an environment on a task."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from envs.core.arrays import finite_array
from envs.core.distribution import TaskDistribution
from envs.core.ranges import Choice, Drawn, Integer, Labels, Range
from envs.core.tasks import Tasks
from envs.wrapped import results
from envs.wrapped.actions import action_map
from envs.wrapped.arguments import environment_value
from envs.wrapped.factories import EnvFactory, FromClass, FromFunction, Task
from envs.wrapped.masks import has_masks, ignored_masks, with_flags
from envs.wrapped.observations import DISCRETE, beyond_bounds, flattened, leaves, vector
from envs.wrapped.pool import PoolVectorEnv
from envs.wrapped.random_steps import Flags, random_steps, raw_flags
from envs.wrapped.results import Environment, check_methods
from envs.wrapped.task_wrapper import TaskWrapper, format_task
from envs.wrapped.time_limit import LONGEST_TIMEOUT, STEP_TIMEOUT
from qrl.circuits.registers import Registers
from qrl.common.checks import check_count, finite_number
from qrl.common.errors import UsageError

SINGLE_TASK = "single_task"
"""Name of the parameter of a family in which nothing varies; no environment receives it."""

MAX_WORKERS = 1024
"""Upper bound of the number of worker processes; more than any machine has cores."""

PROBE_TASKS = 8
"""Number of tasks on which random actions estimate typical magnitudes of observations and rewards."""
PROBE_STEPS = 200
PROBE_SEED = 0x5CA1_2026
UNBOUNDED = 1e6
"""Observation bounds from here on are treated as infinite: they do not indicate the magnitude."""


class GymnasiumTasks(TaskDistribution):
    """Family of ordinary Gymnasium environments that differ in a few numbers.

        >>> import envs
        >>> envs.GymnasiumTasks("CartPole-v1", {"gravity": envs.Uniform(5, 15), "length": envs.Uniform(0.25, 1)})

    - **An id, or a class** of environments: parameters are arguments of its constructor if it has them, else
      attributes. An attribute's value is set before the constructor runs, so that derived attributes are computed from
      this value. A dotted path, such as `model.opt.gravity.2`, is set after the constructor has run.
    - **A function** `make(**task)` that returns a `gymnasium.Env` or an id. An environment with a method
      `set_task(task)` is kept when its task changes; other environments are recreated.

    Observations become float32 vectors: arrays are flattened, discrete observations one-hot encoded, and the parts of a
    Dict or Tuple joined. Values outside the bounds of the observation space pass, with a note. Actions become Discrete,
    or vectors that are clipped to their bounds (`envs.wrapped.actions`). Flags of invalid actions follow the
    observation if the environment has masks, `info["action_mask"]` or `action_masks()`. Environments draw from their
    own `np_random`, which is reseeded at each reset of all lanes.

    Args:
        make: a Gymnasium id, a subclass of `gymnasium.Env`, or the function.
        parameters: name of each parameter to its range in the train and test splits, or to a function of a
            `numpy.random.Generator` that draws its value. Without parameters the family is a single task.
        ood: ranges that replace those of `parameters` in the ood split; they must not overlap them.
        fixed: arguments and attributes that are the same in all tasks, of any type; of a function, arguments.
        nominal: values of the reference task; by default the environment's own defaults, or else the median of the
            range.
        horizon: longest episode [steps]; by default the environment's own limit.
        name: name of the family.
        observation_scale: typical magnitudes [obs]; by default the finite bounds of the space, or else estimates from
            random actions in eight train tasks, to two digits.
        reward_scale: typical magnitude of a reward; by default an estimate from random actions, to one digit.
        positive: parameters that must be above zero.
        skip_sensitivity_check: parameters exempt from the sensitivity check, such as a goal that random actions never
            reach.
        workers: worker processes that step the environments; 0: the main process. Results do not depend on the number
            of processes.
        step_timeout: longest time that one step or reset of one environment may take [s]; 0: no limit. An environment
            that takes longer ends the run with an error that names its task. Without workers, this works in the main
            thread, for code in Python; with workers, for any code.

    Raises:
        UsageError: there is no such environment or parameter, no time limit, an unsupported space, an environment whose
            observations do not fit its space, or contradicting arguments.
    """

    observation_bounds_are_hints = True

    def __init__(
        self,
        make: str | type[Environment] | Callable[..., object],
        parameters: Mapping[str, Range | Callable[[np.random.Generator], object]],
        *,
        ood: Mapping[str, Range | Callable[[np.random.Generator], object]] | None = None,
        fixed: Mapping[str, object] | None = None,
        nominal: Mapping[str, object] | None = None,
        horizon: int | None = None,
        name: str | None = None,
        observation_scale: Sequence[float] | None = None,
        reward_scale: float | None = None,
        positive: Sequence[str] = (),
        skip_sensitivity_check: Sequence[str] = (),
        workers: int = 0,
        step_timeout: float = STEP_TIMEOUT,
    ) -> None:
        ranges, shifted = _ranges("parameters", parameters), _ranges("ood", ood or {})
        if words := [key for key, range_ in shifted.items() if isinstance(range_, Labels)]:
            raise UsageError(f"GymnasiumTasks: ood: {words[0]}: words cannot be out of distribution; give numbers")
        if both := [key for key in fixed or {} if key in ranges]:
            raise UsageError(f"GymnasiumTasks: {both[0]!r} is both fixed and a parameter")
        self._types: dict[str, object] = {key: 0 for key, range_ in ranges.items() if isinstance(range_, Integer)}
        self._labels = {key: range_ for key, range_ in ranges.items() if isinstance(range_, Labels)}
        examples = self.to_environment({key: _median(range_) for key, range_ in ranges.items()})
        self.factory = _factory(make, fixed, examples, _checked_timeout(step_timeout))
        if not ranges:
            ranges = {SINGLE_TASK: Choice((0.0,))}
            skip_sensitivity_check = (*skip_sensitivity_check, SINGLE_TASK)
        name = name or self.factory.name
        self.workers = check_count(f"{name}: workers", workers, least=0, most=MAX_WORKERS)
        defaults = self.factory.defaults
        self._types = defaults | self._types
        for key, labels in self._labels.items():
            if key in defaults:
                defaults[key] = labels.index(defaults[key]) if defaults[key] in labels.names else 0
        reference = {key: _median(r) for key, r in ranges.items()} | defaults | dict(nominal or {})
        values = {key: finite_array(f"{name}: nominal {key}", reference[key], r.shape) for key, r in ranges.items()}
        raw = self.factory.make(self.to_environment({key: value.tolist() for key, value in values.items()}))
        _check_spaces(name, raw)
        check_methods(name, raw)
        super().__init__(
            name=name,
            horizon=horizon or self.factory.horizon or _raise_no_horizon(name),
            observation_space=flattened(raw.observation_space),
            action_space=action_map(raw.action_space).space,
            observation_scale=[1.0] * gym.spaces.flatdim(raw.observation_space),
            parameters=ranges,
            ood=shifted,
            nominal=reference,
            positive=positive,
            skip_sensitivity_check=skip_sensitivity_check,
        )
        self.render_modes = tuple(raw.metadata.get("render_modes", ())) if self.factory.renders else ()
        with self.factory.calling(f"{name} on the nominal task", marker := [0]):
            for observation, _ in random_steps(raw, 0, self._probe_steps, None, marker, partial(raw_flags, raw)):
                seen = vector(raw.observation_space, observation)
                self._note_bounds(f"{name} on the nominal task", raw.observation_space, seen)
            info = results.reset(raw, 0, None)[1]
        self._add_masks(has_masks(raw, info))
        unused = ignored_masks(raw, info)
        self.factory.close(raw)
        self._set_scales(observation_scale, reward_scale)
        self.notes += tuple(f"{name}: {note}" for note in unused)

    def _add_masks(self, masked: bool) -> None:
        """Extend observations by flags of invalid actions, which policies mask."""
        self.factory.masked = self.invalid_actions_fail = masked
        if masked:
            first = self.observation_space.shape[0]
            assert isinstance(self.observation_space, gym.spaces.Box)
            self.observation_space = with_flags(self.observation_space, self.action_space)
            self.observation_scale = torch.ones(self.observation_space.shape)
            self.invalid_action_slice = slice(first, self.observation_space.shape[0])

    def _set_scales(self, observation_scale: Sequence[float] | None, reward_scale: float | None) -> None:
        """Set the typical magnitudes: the given ones, or estimates from random actions."""
        typical, reward = self._typical_magnitudes()
        scale = typical if observation_scale is None else observation_scale
        if not isinstance(scale, Sequence | np.ndarray):
            raise UsageError(f"{self.name}: observation_scale must be {len(typical)} numbers, not {scale!r}")
        self.observation_scale = torch.tensor([finite_number(f"{self.name}: observation_scale", x) for x in scale])
        given = reward if reward_scale is None else reward_scale
        self.reward_scale = finite_number(f"{self.name}: reward_scale", given)
        self._check_scales()

    def _typical_magnitudes(self) -> tuple[list[float], float]:
        """Estimate the typical magnitudes of observations and of the reward from random actions in train tasks."""
        env, bounds = self.make(), np.maximum(np.abs(self.observation_space.low), np.abs(self.observation_space.high))
        largest, rewards, marker = np.zeros(bounds.shape), [0.0], [0]
        for index, task in enumerate(self.sample(PROBE_TASKS, "train", np.random.default_rng(PROBE_SEED)).rows()):
            where = f"{self.name} on the task {format_task(self.to_environment(task)) or SINGLE_TASK}"
            with self.factory.calling(where, marker):
                for observation, reward in random_steps(
                    env, index, self._probe_steps, {"task": task}, marker, self._valid_actions
                ):
                    for what, value in (("an observation", observation), ("a reward", reward)):
                        if not np.isfinite(value).all():
                            raise UsageError(f"{where}: {what} is not finite: {value}")
                    self._note_bounds(where, env.env.observation_space, observation)
                    largest = np.maximum(largest, np.abs(observation))
                    rewards.append(abs(reward))
        self.factory.close(env)
        # Where observations leave their bounds, these are no typical magnitudes either.
        typical = np.where(bounds < UNBOUNDED, np.maximum(bounds, largest), largest)
        return [float(f"{value:.1e}") or 1.0 for value in typical.tolist()], float(f"{max(rewards):.0e}") or 1.0

    def _valid_actions(self, observation: NDArray[np.float32], _: object) -> Flags:
        """Return 1 for each action that can be taken after an observation of the family; None if all can."""
        return None if self.invalid_action_slice is None else 1 - observation[self.invalid_action_slice]

    @property
    def _probe_steps(self) -> int:
        return min(self.horizon, PROBE_STEPS)

    def _note_bounds(self, where: str, space: gym.Space[Any], seen: NDArray[np.float32]) -> None:
        """Note the first observation outside the bounds of the environment's space."""
        size = gym.spaces.flatdim(space)
        if not self.notes and (found := beyond_bounds(space, seen[:size])):
            self.notes = (f"{where}: {found} of the observation space; such values are passed on to the policy",)
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, self.observation_space.shape)

    def to_environment(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a task to the types that its environments take, such as integers and arrays."""
        varying = {name: value for name, value in row.items() if name != SINGLE_TASK}
        return {
            name: self._labels[name].names[int(value)]
            if name in self._labels
            else environment_value(value, self._types.get(name))
            for name, value in varying.items()
        }

    def vectorise(self, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu") -> PoolVectorEnv:
        """Make a pool of n_tasks · envs_per_task environments."""
        return PoolVectorEnv(self, n_tasks, envs_per_task, device)

    def make(self, task: Mapping[str, object] | Tasks | None = None, render_mode: str | None = None) -> TaskWrapper:
        """See `TaskDistribution.make`; the environment has the spaces and the horizon of the family."""
        self.check_render_mode(render_mode)
        env = TaskWrapper(self.factory, self._complete(task or {}), self.horizon, render_mode, self._complete)
        if render_mode is not None and env.render_mode != render_mode:
            raise UsageError(f"{self.name}: the environment ignores render_mode {render_mode!r}")
        env.observation_space = self.observation_space  # without bounds, if some task leaves its own
        return env

    def _complete(self, task: Mapping[str, object] | Tasks) -> Task:
        """Return a complete task from Tasks of length 1, or from some parameters; the others are nominal."""
        return self.to_environment(self.as_single_task(task).rows()[0])


def _factory(
    make: str | type[Environment] | Callable[..., object],
    fixed: Mapping[str, object] | None,
    examples: Mapping[str, object],
    step_timeout: float,
) -> EnvFactory:
    """Return the factory of a family; `examples` has a value of each parameter."""
    if isinstance(make, str):
        return FromClass(make, list(examples), fixed, examples, step_timeout)
    if isinstance(make, type) and issubclass(make, gym.Env) and "set_task" not in dir(make):
        return FromClass(make, list(examples), fixed, examples, step_timeout)
    if not callable(make):
        raise UsageError(f"GymnasiumTasks: make must be a Gymnasium id, a class or a function, not {make!r}")
    return FromFunction(make, list(examples), fixed, step_timeout)


def _checked_timeout(seconds: object) -> float:
    number = finite_number("step_timeout [s]", seconds)
    if number < 0 or number > LONGEST_TIMEOUT:
        raise UsageError(f"step_timeout [s] must be between 0, no limit, and {LONGEST_TIMEOUT:g}, not {seconds!r}")
    return number


def _ranges(argument: str, given: object) -> dict[str, Range]:
    if not isinstance(given, Mapping):
        raise UsageError(f"GymnasiumTasks: {argument} must be a mapping of names to ranges, not {given!r}")
    for name, range_ in given.items():
        if not isinstance(name, str):
            raise UsageError(f"GymnasiumTasks: {argument} must have names as keys, not {name!r}")
        if not isinstance(range_, Range) and not callable(range_):
            wanted = "a range, such as envs.Uniform(5, 15), or a function of a numpy.random.Generator"
            raise UsageError(f"GymnasiumTasks: {argument}: {name} must be {wanted}, not {range_!r}")
    return {name: range_ if isinstance(range_, Range) else Drawn(range_) for name, range_ in given.items()}


def _median(range_: Range) -> object:
    return range_.ppf(np.full((1, *range_.shape), 0.5))[0].tolist()


def _raise_no_horizon(name: str) -> int:
    raise UsageError(
        f"{name}: the environment has no time limit; give the longest episode [steps], such as --env.horizon 100 "
        "(in Python: horizon=100)"
    )


def _check_spaces(name: str, env: Environment) -> None:
    """Raise UsageError for observations that no policy of this library supports."""
    advice = "wrap the environment in a function, see docs/custom-environments.md"
    for attribute in ("observation_space", "action_space"):
        stated: object = getattr(env, attribute, None)
        if not isinstance(stated, gym.Space):
            wanted = "a space such as gymnasium.spaces.Box(-1, 1, (4,)) before the first reset"
            package = type(stated).__module__.partition(".")[0]
            found = f"one of the package {package}" if package == "gym" else repr(stated)
            raise UsageError(f"{name}: {attribute} must be {wanted}, not {found}")
    for part, space in leaves(env.observation_space):
        what = f"{name}: observations" + (f" of {part!r}" if part else "")
        if isinstance(space, gym.spaces.Box) and not math.prod(space.shape):
            raise UsageError(f"{what} have no entries, shape {space.shape}; {advice}")
        if isinstance(space, Registers):
            raise UsageError(
                f"{what} are registers of qubits, which have no numbers for an agent to read; only families in torch "
                "(envs.TorchTasks) hand over registers"
            )
        if not isinstance(space, (gym.spaces.Box, *DISCRETE)):
            raise UsageError(f"{what} are {type(space).__name__}, which has no vector; {advice}")
        # Smaller bounds are those of a board.
        is_bytes = isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and space.high.max() == 255
        if is_bytes and len(space.shape or ()) > 1:
            raise UsageError(f"{what} are pixels of shape {space.shape}; {advice}, and return features")
