"""Making environments of tasks: an id of Gymnasium whose constructor or attributes take the values, or a function.

An attribute's value is in place while the environment's own `__init__` runs, and what `__init__` assigns to it is
dropped: so whatever is derived from it there (CartPole's `polemass_length`) follows. Afterwards the environment is an
instance of its own class again, and runs at its own speed.
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from qrl.common.errors import UsageError, describe, suggest

Task = Mapping[str, Any]
"""Values of the parameters, as the environment takes them."""


class Maker(ABC):
    """Makes environments on a task, and puts one on another task."""

    name: str
    """What messages call it."""
    defaults: dict[str, Any]
    """The values that parameters have unless told, as far as they have any."""
    horizon: int | None
    """Longest episode as registered [steps]."""
    renders: bool
    """Whether the environments can be told to make pictures."""

    @abstractmethod
    def make(self, task: Task, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """An environment on `task`, without a time limit of Gymnasium's. Raises UsageError if it cannot be made."""

    @abstractmethod
    def retask(self, env: gym.Env[Any, Any], task: Task) -> gym.Env[Any, Any]:
        """`env`, which this one made, on another task; or another one in its place."""


class FromId(Maker):
    """Makes environments of a registered id.

    Args:
        id: such as `CartPole-v1`; `module:Id-v0` imports the module, which registers it.
        names: the parameters.

    Raises:
        UsageError: no such id (a near match is suggested), a package that it needs is missing, or the environment has
            no such parameter (those it has are listed).
    """

    def __init__(self, id: str, names: Sequence[str]) -> None:
        self.name = id
        self._spec = find_spec(id)
        self.renders = True
        self.horizon = self._spec.max_episode_steps
        self._class = told(id, lambda: _creator(self._spec))
        accepted = _keywords(self._class)
        self._by_constructor = [name for name in names if name in accepted]
        self._by_attribute = [name for name in names if name not in accepted]
        plain = self.make({})
        inner = plain.unwrapped
        known = self.numbers = numbers_of(inner, accepted | self._spec.kwargs)
        """Names of what may vary."""
        held = type(inner) is self._class  # a function's environment has no constructor of which we know
        for name in self._by_attribute:
            if not held or (name not in known and not isinstance(vars(inner).get(name), np.ndarray)):
                raise UsageError(f"{id}: no parameter {name!r}{suggest(name, known)}")
        given = accepted | self._spec.kwargs | {name: getattr(inner, name) for name in self._by_attribute}
        self.defaults = {name: given[name] for name in names if given.get(name) is not None}
        plain.close()

    def make(self, task: Task, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """See `Maker`."""
        attributes = {name: task[name] for name in self._by_attribute if name in task}
        arguments = {name: task[name] for name in self._by_constructor if name in task}
        if render_mode is not None:
            arguments["render_mode"] = render_mode
        spec = deepcopy(self._spec)
        if attributes:
            spec.entry_point = functools.partial(_create, self._class, attributes)
        return told(self.name, lambda: gym.make(spec, max_episode_steps=-1, disable_env_checker=True, **arguments))

    def retask(self, env: gym.Env[Any, Any], task: Task) -> gym.Env[Any, Any]:
        """See `Maker`: the same object, initialised anew; its generator goes on."""
        inner = env.unwrapped
        if not isinstance(self._class, type) or type(inner) is not self._class or inner.spec is None:
            env.close()
            return self.make(task, env.render_mode)
        attributes = {name: task[name] for name in self._by_attribute}
        arguments = inner.spec.kwargs | {name: task[name] for name in self._by_constructor}
        kept = {name: inner.__dict__[name] for name in _KEPT if name in inner.__dict__}
        inner.close()
        inner.__dict__.clear()
        told(self.name, lambda: _initialise(inner, attributes, arguments))
        inner.__dict__.update(kept)
        return env


_KEPT = ("_np_random", "_np_random_seed", "spec")
"""What an environment keeps over a change of its task."""


class FromFunction(Maker):
    """Makes environments by `make(**task)`, which returns a `gymnasium.Env` or an id.

    An environment that has a method `set_task(task)`, itself or one of its wrappers, is kept when the task changes, and
    told; others are closed and made anew. `make` is given `render_mode` if it takes one.

    Raises:
        UsageError: `make` does not take a parameter.
    """

    def __init__(self, make: Callable[..., gym.Env[Any, Any] | str], names: Sequence[str]) -> None:
        self._make = make
        self.name = getattr(make, "__name__", type(make).__name__)
        self.horizon = None
        accepted = _keywords(make)
        self.renders = "render_mode" in accepted
        if not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(make).parameters.values()):
            for name in names:
                if name not in accepted:
                    raise UsageError(f"{self.name}: takes no parameter {name!r}{suggest(name, accepted)}")
        self.defaults = {name: accepted[name] for name in names if accepted.get(name) is not None}

    def make(self, task: Task, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """See `Maker`."""
        extra = {"render_mode": render_mode} if "render_mode" in _keywords(self._make) else {}
        made = told(self.name, lambda: self._make(**task, **extra))
        if isinstance(made, str):
            self.horizon, self.renders = self.horizon or _registered(made).horizon, True
            return _registered(made).make({}, render_mode)
        if not isinstance(made, gym.Env):
            raise UsageError(f"{self.name}: returned {type(made).__name__}, not a gymnasium.Env or the id of one")
        if self.horizon is None and made.spec is not None:
            self.horizon = made.spec.max_episode_steps
        return made

    def retask(self, env: gym.Env[Any, Any], task: Task) -> gym.Env[Any, Any]:
        """See `Maker`."""
        if env.has_wrapper_attr("set_task"):
            told(self.name, lambda: env.get_wrapper_attr("set_task")(dict(task)))
            return env
        env.close()
        return self.make(task, env.render_mode)


@functools.cache
def _registered(id: str) -> FromId:
    return FromId(id, ())


def find_spec(id: str) -> EnvSpec:
    """What Gymnasium has registered under an id; `module:Id-v0` imports the module first.

    Raises:
        UsageError: no such id; a near match is suggested.
    """
    module, _, name = id.rpartition(":")
    if module:
        told(id, lambda: import_module(module))
    if name not in gym.registry:
        near = suggest(name, list(gym.registry)).partition(" (choices")[0]  # there are dozens
        near = near if near.startswith("; did") else "; gymnasium.pprint_registry() shows all"
        namespace = name.rpartition("/")[0]
        if namespace and not any(known.startswith(f"{namespace}/") for known in gym.registry):
            near = (
                f"; the package that registers {namespace}/ goes before a colon, once it is installed: PACKAGE:{name}"
            )
        raise UsageError(f"{id}: Gymnasium has no environment of that id{near}")
    return gym.spec(name)


def numbers_of(env: Any, accepted: Mapping[str, Any]) -> list[str]:
    """Names of what may vary: numbers and switches among the constructor's arguments, numbers among the attributes."""
    names = [name for name, value in accepted.items() if isinstance(value, Real)]
    attributes = {**{n: v for cls in type(env).__mro__ for n, v in vars(cls).items()}, **vars(env)}
    return sorted({*names, *(n for n, value in attributes.items() if not n.startswith("_") and _is_number(value))})


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """Arguments that can be given by name, with their defaults, None without one."""
    found = inspect.signature(function).parameters.values()
    named = [each for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {each.name: None if each.default is each.empty else each.default for each in named}


def _creator(spec: EnvSpec) -> Any:
    if isinstance(spec.entry_point, str):
        return load_env_creator(spec.entry_point)
    return spec.entry_point


def _create(cls: Any, attributes: Task, **arguments: Any) -> Any:
    env = cls.__new__(cls)
    _initialise(env, attributes, arguments)
    return env


def _initialise(env: Any, attributes: Task, arguments: Task) -> None:
    """Run `__init__` on a bare instance, in which `attributes` have their values already and keep them."""
    cls: Any = type(env)
    env.__dict__.update(attributes)
    env.__class__ = _holding(cls, frozenset(attributes))
    try:
        env.__init__(**arguments)
    finally:
        env.__class__ = cls


@functools.cache
def _holding(cls: Any, names: frozenset[str]) -> Any:
    """A subclass on which assignments to `names` have no effect."""

    def setattr_(self: Any, name: str, value: Any) -> None:
        if name not in names:
            super(holding, self).__setattr__(name, value)

    holding: Any = type(cls.__name__, (cls,), {"__setattr__": setattr_, "__module__": cls.__module__})
    return holding


def told(name: str, action: Callable[[], Any]) -> Any:
    """Run somebody else's code; what it raises becomes one line that names the environment."""
    try:
        return action()
    except UsageError:
        raise
    except (gym.error.Error, ImportError) as error:
        raise UsageError(f"{name}: {' '.join(str(error).split())}") from error
    except (Exception, SystemExit) as error:  # an environment may be anybody's code; what it raises is its defect
        raise UsageError(f"{name}: {describe(error)}") from error


def as_environment_takes(value: Any, default: Any) -> Any:
    """A parameter's value: an integer where the default is one and nothing is lost, an array as an array."""
    if isinstance(value, list):
        return np.asarray(value, dtype=np.asarray(default).dtype if default is not None else np.float64)
    if isinstance(default, int | np.integer) and float(value).is_integer():
        return type(default)(value)
    return float(value)
