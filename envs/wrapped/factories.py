"""Factories of environments on a task: a Gymnasium id, a class of environments, or a function.

Of an id or a class, a parameter is an argument of the constructor, an attribute, or a dotted path. An attribute's value
is set before the environment's `__init__` runs, and assignments of `__init__` to the attribute are ignored, so that
derived attributes (CartPole's `polemass_length`) are computed from the task's value. After `__init__` the environment
is an instance of its original class, without any overhead. A path, such as `model.opt.gravity.2`, is set afterwards.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvCreator, EnvSpec, load_env_creator

from envs.wrapped.arguments import (
    checked_fixed,
    choices_of,
    copies,
    keywords,
    numbers_of,
    require_arguments,
    takes_any_keyword,
    unknown_parameter,
)
from envs.wrapped.faults import wrap_env_errors
from envs.wrapped.guest import Guest
from envs.wrapped.paths import number_at, set_number
from envs.wrapped.results import Environment, of_old_gym, old_gym_advice
from envs.wrapped.specs import find_spec
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
        examples: a value of each parameter, for arguments without default.
        step_timeout: longest time of one call of an environment [s]; 0: no limit.

    Raises:
        UsageError: no such id (a near match is suggested), a package that the environment needs is missing, the
            environment has no such parameter (the message lists its parameters), or an argument without default is not
            given.
    """

    def __init__(
        self,
        target: str | type[Environment],
        names: Sequence[str],
        fixed: Mapping[str, object] | None = None,
        examples: Mapping[str, object] | None = None,
        step_timeout: float = STEP_TIMEOUT,
    ) -> None:
        self.guest, self.step_timeout = Guest(), step_timeout
        if isinstance(target, str):
            self.name, self._spec = target, find_spec(target)
        else:
            self.name, self._spec = target.__name__, EnvSpec(id=target.__name__, entry_point=cast(EnvCreator, target))
        self.renders = True
        self.horizon = self._spec.max_episode_steps
        with self.calling(self.name):
            creator = _creator(self._spec)
        self._class: type[Environment] | None = creator if isinstance(creator, type) else None
        accepted = keywords(creator)
        self._fixed = checked_fixed(self.name, fixed or {}, accepted | self._spec.kwargs)
        every = [*names, *self._fixed]
        self._by_path = [name for name in every if "." in name]
        self._by_constructor = [name for name in every if name in accepted]
        self._by_attribute = [name for name in every if name not in (*self._by_path, *accepted)]
        require_arguments(self.name, creator, {*every, *self._spec.kwargs})
        defaults = accepted | self._spec.kwargs
        needed = {name: value for name, value in (examples or {}).items() if defaults.get(name, 0) is None}
        values = needed | copies(self._fixed)
        env = self._make({name: value for name, value in values.items() if name in accepted}, {}, None)
        inner = env.unwrapped
        known = numbers_of(inner, accepted | self._spec.kwargs)
        sets_attributes = type(inner) is self._class  # the constructor of a function's environment is unknown
        for name in self._by_attribute:
            is_array = isinstance(vars(inner).get(name), np.ndarray)
            is_settable = name in known or is_array or (name in self._fixed and name in vars(inner))
            if not (sets_attributes and is_settable):
                offered = choices_of(inner, accepted | self._spec.kwargs)
                choices = sorted({*offered, *accepted}) if name in self._fixed else offered
                raise UsageError(f"{self.name}: {unknown_parameter(inner, name, choices)}")
        given = accepted | self._spec.kwargs | {name: getattr(inner, name) for name in self._by_attribute}
        given |= {path: number_at(inner, path) for path in self._by_path}
        self.defaults = {name: given[name] for name in names if given.get(name) is not None}
        self.close(env)

    def make(self, task: Task, render_mode: str | None = None) -> Environment:
        """See `EnvFactory`."""
        values = copies(self._fixed) | dict(task)
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
        values = copies(self._fixed) | dict(task)
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

    Args:
        make: the function, or a class with a method `set_task`.
        names: names of the parameters.
        fixed: values of further arguments, the same in all tasks.
        step_timeout: longest time of one call of an environment [s]; 0: no limit.

    Raises:
        UsageError: `make` does not take a parameter, or an argument without default is not given.
    """

    def __init__(
        self,
        make: Callable[..., object],
        names: Sequence[str],
        fixed: Mapping[str, object] | None = None,
        step_timeout: float = STEP_TIMEOUT,
    ) -> None:
        self._make, self.guest, self.step_timeout = make, Guest(), step_timeout
        self.name = getattr(make, "__name__", type(make).__name__)
        self.horizon = None
        accepted = keywords(make)
        self.renders = self._takes_render_mode = "render_mode" in accepted
        self._fixed = checked_fixed(self.name, fixed or {}, accepted)
        if not takes_any_keyword(make):
            for name in (*names, *self._fixed):
                if name not in accepted:
                    raise UsageError(f"{self.name}: unknown parameter {name!r}{suggest(name, accepted)}")
        require_arguments(self.name, make, {*names, *self._fixed, "render_mode"})
        self.defaults = {name: accepted[name] for name in names if accepted.get(name) is not None}

    def make(self, task: Task, render_mode: str | None = None) -> Environment:
        """See `EnvFactory`."""
        extra = {"render_mode": render_mode} if self._takes_render_mode else {}
        with self.calling(self.name):
            env = self._make(**copies(self._fixed) | dict(task) | extra)
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
