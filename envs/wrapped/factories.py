"""Factories of environments on a task: a Gymnasium id, a class of environments, or a function.

Of an id or a class, a parameter is an argument of the constructor, an attribute, or a dotted path. An attribute's value
is set before the environment's `__init__` runs, and assignments of `__init__` to the attribute are ignored, so that
derived attributes (CartPole's `polemass_length`) are computed from the task's value. After `__init__` the environment
is an instance of its original class, without any overhead. A path, such as `model.opt.gravity.2`, is set afterwards.
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from numbers import Real
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvCreator, EnvSpec, load_env_creator

from envs.wrapped.faults import wrap_env_errors
from envs.wrapped.guest import Guest
from envs.wrapped.paths import number_at, set_number
from envs.wrapped.results import Environment, of_old_gym, old_gym_advice
from envs.wrapped.time_limit import STEP_TIMEOUT, Marker, TimeLimit
from qrl.common.errors import UsageError, suggest

Task = Mapping[str, Any]
"""Values of the parameters, in the types that the environment takes."""


class EnvFactory(ABC):
    """Factory of environments on a task, which can also change the task of an environment."""

    name: str
    """Name of the environment in messages."""
    defaults: dict[str, Any]
    """Default values of the parameters that have one."""
    horizon: int | None
    """Longest episode as registered [steps]."""
    renders: bool
    """Whether the environments take a render mode."""
    guest: Guest
    """What the environments left behind in this process."""
    step_timeout: float
    """Longest time of one call of an environment [s]; 0: no limit."""
    masked = False
    """Whether observations end with a flag for each invalid action; the family finds out, before it makes any more."""

    @contextmanager
    def calling(self, what: str, marker: Marker | None = None) -> Iterator[None]:
        """Call third-party code in this context, with a time limit.

        The limit holds for the whole context, or for as long as the marker stays the same. Raise UsageError for any
        exception of that code, in one line that begins with `what`.
        """
        with wrap_env_errors(what, self.step_timeout), self.guest.running(), TimeLimit(self.step_timeout, marker):
            yield

    def close(self, env: Environment) -> None:
        """Close an environment. Raise UsageError if it cannot be closed."""
        with self.calling(f"{self.name}: close"):
            env.close()

    @abstractmethod
    def make(self, task: Task, render_mode: str | None = None) -> Environment:
        """Make an environment on `task`, without Gymnasium's time limit. Raise UsageError if the constructor fails."""

    @abstractmethod
    def set_task(self, env: Environment, task: Task) -> Environment:
        """Return `env`, which this factory made, on another task; or a new environment instead."""


class FromClass(EnvFactory):
    """Factory of environments of a registered id, or of a class of environments.

    Args:
        target: Gymnasium id, such as `CartPole-v1`; `module:Id-v0` imports the module, which registers the id. Or a
            class, a subclass of `gymnasium.Env`.
        names: names of the parameters.
        fixed: values of further arguments and attributes, the same in all tasks.
        step_timeout: longest time of one call of an environment [s]; 0: no limit.

    Raises:
        UsageError: no such id (a near match is suggested), a package that the environment needs is missing, or the
            environment has no such parameter (the message lists its parameters).
    """

    def __init__(
        self,
        target: str | type[Environment],
        names: Sequence[str],
        fixed: Mapping[str, object] | None = None,
        step_timeout: float = STEP_TIMEOUT,
    ) -> None:
        self.guest, self.step_timeout, self._fixed = Guest(), step_timeout, dict(fixed or {})
        if isinstance(target, str):
            self.name, self._spec = target, find_spec(target)
        else:
            self.name, self._spec = target.__name__, EnvSpec(id=target.__name__, entry_point=cast(EnvCreator, target))
        self.renders = True
        self.horizon = self._spec.max_episode_steps
        with self.calling(self.name):
            creator = _creator(self._spec)
        self._class: type[Environment] | None = creator if isinstance(creator, type) else None
        accepted = _keywords(creator)
        every = [*names, *self._fixed]
        self._by_path = [name for name in every if "." in name]
        self._by_constructor = [name for name in every if name in accepted]
        self._by_attribute = [name for name in every if name not in (*self._by_path, *accepted)]
        env = self._make({name: value for name, value in self._fixed.items() if name in accepted}, {}, None)
        inner = env.unwrapped
        known = self.numbers = _numbers_of(inner, accepted | self._spec.kwargs)
        """Names of the numbers that may vary between tasks."""
        sets_attributes = type(inner) is self._class  # the constructor of a function's environment is unknown
        for name in self._by_attribute:
            if not sets_attributes or (name not in known and not isinstance(vars(inner).get(name), np.ndarray)):
                choices = sorted({*known, *accepted}) if name in self._fixed else known
                raise UsageError(f"{self.name}: unknown parameter {name!r}{suggest(name, choices)}")
        given = accepted | self._spec.kwargs | {name: getattr(inner, name) for name in self._by_attribute}
        given |= {path: number_at(inner, path) for path in self._by_path}
        self.defaults = {name: given[name] for name in names if given.get(name) is not None}
        self.close(env)

    def make(self, task: Task, render_mode: str | None = None) -> Environment:
        """See `EnvFactory`."""
        values = self._fixed | dict(task)
        attributes = {name: values[name] for name in self._by_attribute if name in values}
        arguments = {name: values[name] for name in self._by_constructor if name in values}
        env = self._make(arguments, attributes, render_mode)
        self._set_paths(env.unwrapped, values)
        return env

    def _make(self, arguments: Task, attributes: Task, render_mode: str | None) -> Environment:
        spec, extra = deepcopy(self._spec), {} if render_mode is None else {"render_mode": render_mode}
        if attributes:
            assert self._class is not None
            spec.entry_point = functools.partial(_create, self._class, attributes)
        with self.calling(self.name):
            return gym.make(spec, max_episode_steps=-1, disable_env_checker=True, **arguments, **extra)

    def _set_paths(self, inner: Environment, values: Task) -> None:
        for path in self._by_path:
            if path in values:
                set_number(inner, path, values[path])

    def set_task(self, env: Environment, task: Task) -> Environment:
        """Reinitialise the same object with the new task, and keep its random generator; see `EnvFactory`."""
        inner = env.unwrapped
        if type(inner) is not self._class or inner.spec is None:
            self.close(env)
            return self.make(task, env.render_mode)
        values = self._fixed | dict(task)
        attributes = {name: values[name] for name in self._by_attribute}
        arguments = inner.spec.kwargs | {name: values[name] for name in self._by_constructor}
        preserved = {name: inner.__dict__[name] for name in _PRESERVED if name in inner.__dict__}
        self.close(inner)
        inner.__dict__.clear()
        with self.calling(self.name):
            _initialise(inner, attributes, arguments)
        inner.__dict__.update(preserved)
        self._set_paths(inner, values)
        return env


_PRESERVED = ("_np_random", "_np_random_seed", "spec")
"""Attributes that an environment keeps when its task changes."""


class FromFunction(EnvFactory):
    """Factory of environments by a function `make(**task)`, which returns a `gymnasium.Env` or an id.

    When the task changes, an environment with a method `set_task(task)`, its own or a wrapper's, is preserved; other
    environments are closed and recreated. `make` receives `render_mode` if it has such an argument.

    Raises:
        UsageError: `make` does not take a parameter.
    """

    def __init__(self, make: Callable[..., object], names: Sequence[str], step_timeout: float = STEP_TIMEOUT) -> None:
        self._make, self.guest, self.step_timeout = make, Guest(), step_timeout
        self.name = getattr(make, "__name__", type(make).__name__)
        self.horizon = None
        accepted = _keywords(make)
        self.renders = "render_mode" in accepted
        if not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(make).parameters.values()):
            for name in names:
                if name not in accepted:
                    raise UsageError(f"{self.name}: unknown parameter {name!r}{suggest(name, accepted)}")
        self.defaults = {name: accepted[name] for name in names if accepted.get(name) is not None}

    def make(self, task: Task, render_mode: str | None = None) -> Environment:
        """See `EnvFactory`."""
        extra = {"render_mode": render_mode} if "render_mode" in _keywords(self._make) else {}
        with self.calling(self.name):
            env = self._make(**task, **extra)
        if isinstance(env, str):
            self.horizon, self.renders = self.horizon or _registered(env).horizon, True
            return _registered(env).make({}, render_mode)
        if of_old_gym(type(env)):
            raise UsageError(f"{self.name}: {old_gym_advice(type(env))}")
        if not isinstance(env, gym.Env):
            raise UsageError(f"{self.name}: must return a gymnasium.Env or an id, not {type(env).__name__}")
        if self.horizon is None and env.spec is not None:
            self.horizon = env.spec.max_episode_steps
        return env

    def set_task(self, env: Environment, task: Task) -> Environment:
        """See `EnvFactory`."""
        if env.has_wrapper_attr("set_task"):
            with self.calling(f"{self.name}: set_task"):
                env.get_wrapper_attr("set_task")(dict(task))
            return env
        self.close(env)
        return self.make(task, env.render_mode)


@functools.cache
def _registered(id: str) -> FromClass:
    return FromClass(id, ())


def find_spec(id: str) -> EnvSpec:
    """Return Gymnasium's specification of an id; `module:Id-v0` imports the module first.

    Raises:
        UsageError: no such id; a near match is suggested.
    """
    module, _, name = id.rpartition(":")
    if module:
        with wrap_env_errors(id):
            import_module(module)
    if name not in gym.registry:
        near = suggest(name, list(gym.registry)).partition(" (choices")[0]  # too many choices to list
        near = near if near.startswith("; did") else "; gymnasium.pprint_registry() lists all"
        namespace = name.rpartition("/")[0]
        if namespace and not any(known.startswith(f"{namespace}/") for known in gym.registry):
            near = f"; install the package that registers {namespace}/ and put its name before a colon: PACKAGE:{name}"
        raise UsageError(f"{id}: unknown Gymnasium id{near}")
    return gym.spec(name)


def _numbers_of(env: Environment, accepted: Mapping[str, object]) -> list[str]:
    """Return the names that may vary: numbers and booleans among the arguments, numbers among the attributes."""
    names = [name for name, value in accepted.items() if isinstance(value, Real)]
    attributes = {**{n: v for cls in type(env).__mro__ for n, v in vars(cls).items()}, **vars(env)}
    return sorted({*names, *(n for n, value in attributes.items() if not n.startswith("_") and _is_number(value))})


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _keywords(function: Callable[..., object]) -> dict[str, Any]:
    """Return the arguments that can be given by name, with their defaults (None for an argument without default)."""
    found = inspect.signature(function).parameters.values()
    named = [each for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {each.name: None if each.default is each.empty else each.default for each in named}


def _creator(spec: EnvSpec) -> Callable[..., Any]:
    if isinstance(spec.entry_point, str):
        return load_env_creator(spec.entry_point)
    assert spec.entry_point is not None
    return spec.entry_point


def _create(cls: type[Environment], attributes: Task, **arguments: object) -> Environment:
    env = cls.__new__(cls)
    _initialise(env, attributes, arguments)
    return env


def _initialise(env: Environment, attributes: Task, arguments: Task) -> None:
    """Run `__init__` on a bare instance whose `attributes` are already set and stay fixed."""
    cls: type = type(env)
    env.__dict__.update(attributes)
    env.__class__ = _with_frozen_attributes(cls, frozenset(attributes))
    try:
        env.__init__(**arguments)  # type: ignore[misc]  # again, on the same object
    finally:
        env.__class__ = cls


@functools.cache
def _with_frozen_attributes(cls: type, names: frozenset[str]) -> type:
    """Return a subclass on which assignments to `names` have no effect."""

    def set_unless_frozen(self: Environment, name: str, value: object) -> None:
        if name not in names:
            set_attribute(self, name, value)

    set_attribute = cast(Callable[[Environment, str, object], None], cls.__setattr__)
    return type(cls.__name__, (cls,), {"__setattr__": set_unless_frozen, "__module__": cls.__module__})


def environment_value(value: float | list[Any], default: object) -> object:
    """Convert a task parameter to the kind of its default: a whole number to an integer, 0 and 1 to a boolean.

    A list becomes an array.
    """
    if isinstance(default, bool | np.bool_) and value in (0, 1):
        return bool(value)
    if isinstance(value, list):
        return np.asarray(value, dtype=np.asarray(default).dtype if default is not None else np.float64)
    if isinstance(default, int | np.integer) and float(value).is_integer():
        return type(default)(int(value))
    return float(value)
