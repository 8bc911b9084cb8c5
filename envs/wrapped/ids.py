"""Plug-ins from a Gymnasium id, a class or a function, `--env CartPole-v1 --vary gravity=5:15`, or a distribution."""

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import gymnasium as gym

from envs.core.distribution import TaskDistribution
from envs.core.notation import parse_range
from envs.core.ranges import Range
from envs.native.ids import ids
from envs.wrapped.gymnasium_tasks import GymnasiumTasks
from envs.wrapped.results import Environment, of_old_gym, old_gym_advice
from envs.wrapped.specs import find_spec
from envs.wrapped.time_limit import STEP_TIMEOUT
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class IdOptions:
    """Options of an environment given by a Gymnasium id, a class or a function."""

    vary: tuple[str, ...] = ()
    """Parameters that vary between the train and test tasks, as NAME=RANGE: NAME=LOW:HIGH is uniform,
    NAME=log:LOW:HIGH log-uniform, NAME=±LOW:HIGH (or +-LOW:HIGH) uniform with a random sign, NAME=int:LOW:HIGH an
    integer, NAME=A,B,... one of these numbers or words, NAME=sign -1 or 1. NAME is an argument of the environment's
    constructor, one of its numeric attributes, or a path such as model.opt.gravity.2. On the command line also --vary,
    once or more."""

    ood: tuple[str, ...] = ()
    """Ranges of the out-of-distribution tasks, also as NAME=RANGE; other parameters are as in training. Also --ood."""

    fixed: tuple[str, ...] = ()
    """Arguments and attributes that are the same in all tasks, as NAME=VALUE: a number, true, false, none, text, or a
    list or object in JSON such as [1,2] or {"a":1}. Also --set, once or more."""

    horizon: int = 0
    """Longest episode [steps]; 0: the environment's own limit."""

    skip_sensitivity_check: tuple[str, ...] = ()
    """Parameters exempt from the sensitivity check before training, such as a goal that random actions never reach."""

    workers: int = 0
    """Worker processes that step the environments [processes]; 0: the main process. Results do not depend on the number
    of processes. Also --workers."""

    step_timeout: float = STEP_TIMEOUT
    """Longest time that one step or reset of one environment may take [s]; 0: no limit."""


@dataclass(frozen=True)
class IdPlugin:
    """Plug-in of a Gymnasium id, of a class of environments, or of a function that makes one."""

    target: str | type[Environment] | Callable[..., object]
    Config: type[Any] = IdOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        kind = "Class" if isinstance(self.target, type) else "Function"
        what = f"Gymnasium's {self.target}" if isinstance(self.target, str) else f"{kind} {self.target.__name__}"
        return f"{what}; parameters vary by --vary NAME=RANGE."

    def default_agent(self, config: IdOptions) -> tuple[str, str]:
        """Return REINFORCE for a single task, MAML for a family of tasks; both with a re-uploading circuit."""
        return ("maml" if config.vary else "reinforce"), "reuploading"

    def build(self, config: IdOptions) -> GymnasiumTasks:
        """Return the family that the options describe. Raise UsageError for invalid options."""
        vary, ood = _ranges("--vary", config.vary), _ranges("--ood", config.ood)
        missing = [name for name in ood if name not in vary]
        if missing:
            raise UsageError(f"--ood {missing[0]}: the parameter needs a train range too, --vary {missing[0]}=RANGE")
        values = {
            name: _value(name, text)
            for name, text in _assignments("--set", config.fixed, "NAME=VALUE, such as windy=true").items()
        }
        return GymnasiumTasks(
            self.target,
            vary,
            ood=ood,
            fixed=values,
            horizon=_horizon(config.horizon),
            skip_sensitivity_check=config.skip_sensitivity_check,
            workers=config.workers,
            step_timeout=config.step_timeout,
        )


def _horizon(steps: int) -> int | None:
    if steps < 0:
        raise UsageError(f"horizon [steps] must be at least 1, or 0 for the environment's own, not {steps}")
    return steps or None


_NAME = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""Name of an argument or attribute, or a dotted path."""


def _assignments(option: str, given: Sequence[str], form: str) -> dict[str, str]:
    """Return texts by name. Raise UsageError for a text that is no assignment, and for a name given twice."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and _NAME.fullmatch(name)):
            raise UsageError(f"{option}: {text!r} is not of the form {form}")
        if name in found:
            raise UsageError(f"{option}: {name} is given twice")
        found[name] = value
    return found


def _ranges(option: str, given: Sequence[str]) -> dict[str, Range]:
    texts = _assignments(option, given, "NAME=RANGE, such as gravity=5:15")
    return {
        name: parse_range(text, f"{option} {name}", f"; a value that does not vary is --set {name}={text}")
        for name, text in texts.items()
    }


def _value(name: str, text: str) -> object:
    """Return a number, a boolean, a list or a dict if the text is one, else the text."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f'--set {name}: {text!r} is not JSON, such as [1,2] or {{"a":1}}: {error}') from None
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def plugin_of_id(name: str) -> IdPlugin | None:
    """Return the plug-in of an id; None if `name` is not an id and does not look like one.

    Raises:
        UsageError: `name` looks like an id, or begins with a module, and Gymnasium has no such id.
    """
    if name.rpartition(":")[2] in gym.registry or re.search(r"-v\d+$", name):
        family = next((family for family, id in ids().items() if id == name), None)
        if family is not None:
            raise UsageError(f"{name} is a task distribution of this library: use --env {family}")
        find_spec(name)
        return IdPlugin(name)
    return None


@dataclass(frozen=True)
class DistributionOptions:
    """Options of an existing task distribution."""

    skip_sensitivity_check: tuple[str, ...] = ()
    """Parameters exempt from the sensitivity check before training, besides those that the distribution exempts."""


@dataclass(frozen=True)
class DistributionPlugin:
    """Plug-in of an existing task distribution."""

    distribution: TaskDistribution
    Config: type[Any] = DistributionOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"{self.distribution.name}, with {', '.join(self.distribution.parameters)}."

    def build(self, config: DistributionOptions) -> TaskDistribution:
        """Return the distribution itself, or one with further exempt parameters."""
        return self.distribution.without_sensitivity_check(config.skip_sensitivity_check)


def plugin_of_object(value: object) -> "DistributionPlugin | IdPlugin | None":
    """Return the plug-in of a task distribution, a class, a function, or a module that has one of these; else None.

    A module has an attribute `distribution`, or defines a single subclass of `gymnasium.Env`.

    Raises:
        UsageError: an environment in place of its class; a module with neither of these nor `Config`, or with several
            classes of environments.
    """
    if isinstance(value, ModuleType) and "Config" not in vars(value):
        value = _distribution_or_class(value)
    if isinstance(value, TaskDistribution):
        return DistributionPlugin(value)
    if isinstance(value, gym.Env):
        kind = type(value.unwrapped).__name__
        raise UsageError(
            f"is an environment; name its class, such as {kind}, or a function that makes it, since each "
            "task needs one of its own"
        )
    if isinstance(value, FunctionType) or (isinstance(value, type) and issubclass(value, gym.Env)):
        return IdPlugin(value)
    return None


def _distribution_or_class(module: ModuleType) -> object:
    if "distribution" in vars(module):
        if not isinstance(module.distribution, TaskDistribution):
            raise UsageError(f"'distribution' must be a task distribution, not {module.distribution!r}")
        return module.distribution
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    complete = [each for each in own if _is_complete(each)]
    classes = [each for each in complete if not each.__name__.startswith("_")] or complete
    if len(classes) == 1:
        return classes[0]
    if classes:
        names = ", ".join(_address(module, each.__name__) for each in classes)
        raise UsageError(f"has several classes of environments; choose one of {names}")
    if old := [each for each in own if of_old_gym(each)]:
        raise UsageError(old_gym_advice(old[0]))
    near = difflib.get_close_matches("distribution", vars(module), n=1)
    hint = f"; {near[0]!r} may be a typo" if near else ""
    if candidates := ", ".join(_address(module, name) for name in _candidates(module)):
        hint = f"; to take a function or an imported class, name it: {candidates}"
    raise UsageError(
        f"has no task distribution called 'distribution', no class of environments, and no Config and build{hint}"
    )


def _is_complete(cls: type) -> bool:
    """Return whether a class is one of environments, neither abstract nor a wrapper."""
    return issubclass(cls, gym.Env) and not issubclass(cls, gym.Wrapper) and not inspect.isabstract(cls)


def _address(module: ModuleType, name: str) -> str:
    return f"{Path(module.__file__ or module.__name__).name}:{name}"


def _candidates(module: ModuleType) -> Iterator[str]:
    """Yield the names of a module's own functions, and of classes of environments that it imports."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        is_function = isinstance(value, FunctionType) and value.__module__ == module.__name__
        if is_function or (isinstance(value, type) and value is not gym.Env and _is_complete(value)):
            yield name
