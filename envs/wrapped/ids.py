"""A Gymnasium id as a plug-in, `--env CartPole-v1 --vary gravity=5:15`; and a task distribution as one."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium as gym

from envs.core.distribution import TaskDistribution
from envs.core.notation import parse_range
from envs.core.ranges import Range
from envs.native.ids import ids
from envs.wrapped.factories import find_spec
from envs.wrapped.gymnasium_tasks import GymnasiumTasks
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class IdOptions:
    """Options of an environment that Gymnasium knows by its id."""

    vary: tuple[str, ...] = ()
    """What differs from task to task, in training and in the test tasks, as NAME=RANGE: NAME=LOW:HIGH is uniform,
    NAME=log:LOW:HIGH log-uniform, NAME=±LOW:HIGH (or +-LOW:HIGH) of either sign, NAME=int:LOW:HIGH a whole number,
    NAME=A,B,... one of these, NAME=sign -1 or 1. Arguments of the environment's constructor or numbers among its
    attributes. On the command line also --vary, once or more."""

    ood: tuple[str, ...] = ()
    """Ranges of the tasks out of distribution, written likewise; what is not named is as in training. Also --ood."""

    horizon: int = 0
    """Longest episode [steps]; 0 takes the environment's own limit."""

    unproved: tuple[str, ...] = ()
    """Parameters that training may start with although random actions do not show that they matter, such as a goal
    that they never reach."""

    workers: int = 0
    """Processes that step the environments [processes]; 0 steps them in this one. Results do not depend on it. Also
    --workers."""


@dataclass(frozen=True)
class ById:
    """The plug-in of an id."""

    id: str
    Config: type[Any] = IdOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"Gymnasium's {self.id}; say what varies with --vary NAME=RANGE."

    def build(self, config: IdOptions) -> GymnasiumTasks:
        """The family that the options describe. Raises UsageError for options that describe none."""
        vary, ood = _parse("--vary", config.vary), _parse("--ood", config.ood)
        alone = [name for name in ood if name not in vary]
        if alone:
            raise UsageError(f"--ood {alone[0]}: give its range in training too, --vary {alone[0]}=RANGE")
        return GymnasiumTasks(
            self.id,
            vary,
            ood=ood,
            horizon=_horizon(config.horizon),
            unproved=config.unproved,
            workers=config.workers,
        )


def _horizon(steps: int) -> int | None:
    if steps < 0:
        raise UsageError(f"horizon [steps] must be at least 1, or 0 for the environment's own, not {steps}")
    return steps or None


def _parse(option: str, assignments: Sequence[str]) -> dict[str, Range]:
    ranges = {}
    for text in assignments:
        name, equals, range_ = text.partition("=")
        if not (equals and name.isidentifier()):
            raise UsageError(f"{option}: {text!r} is not of the form NAME=RANGE, such as gravity=5:15")
        if name in ranges:
            raise UsageError(f"{option}: {name} is given twice")
        ranges[name] = parse_range(range_, f"{option} {name}")
    return ranges


def plugin_of_id(name: str) -> ById | None:
    """The plug-in of an id, None if `name` is none and does not look like one.

    Raises:
        UsageError: it looks like an id, or names a module first, and Gymnasium does not know it.
    """
    if name.rpartition(":")[2] in gym.registry or re.search(r"-v\d+$", name):
        family = next((family for family, id in ids().items() if id == name), None)
        if family is not None:
            raise UsageError(f"{name} is a family of tasks itself: --env {family}")
        find_spec(name)
        return ById(name)
    return None


@dataclass(frozen=True)
class NoOptions:
    """This environment has no options here."""


@dataclass(frozen=True)
class OfDistribution:
    """The plug-in of a task distribution that is there already."""

    distribution: TaskDistribution
    Config: type[Any] = NoOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"{self.distribution.name}, with {', '.join(self.distribution.parameters)}."

    def build(self, config: NoOptions) -> TaskDistribution:
        """The distribution itself."""
        return self.distribution


def plugin_of_object(thing: object) -> OfDistribution | None:
    """The plug-in of a task distribution, or of a module that has one called `distribution`; else None.

    Raises:
        UsageError: a module that has neither that nor a `Config`.
    """
    if isinstance(thing, ModuleType) and "Config" not in vars(thing):
        if "distribution" not in vars(thing):
            near = difflib.get_close_matches("distribution", vars(thing), n=1)
            hint = f"; {near[0]!r} is something else" if near else ""
            raise UsageError(f"has no task distribution called 'distribution', and no Config and build{hint}")
        thing = thing.distribution
        if not isinstance(thing, TaskDistribution):
            raise UsageError(f"'distribution' must be a task distribution, not {thing!r}")
    return OfDistribution(thing) if isinstance(thing, TaskDistribution) else None
