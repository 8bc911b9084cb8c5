"""Plug-ins from a Gymnasium id, `--env CartPole-v1 --vary gravity=5:15`, or from a task distribution."""

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
from envs.wrapped.time_limit import STEP_TIMEOUT
from qrl.common.errors import UsageError
from qrl.common.registry import NoOptions


@dataclass(frozen=True)
class IdOptions:
    """Options of an environment given by a Gymnasium id."""

    vary: tuple[str, ...] = ()
    """Parameters that vary between the train and test tasks, as NAME=RANGE: NAME=LOW:HIGH is uniform,
    NAME=log:LOW:HIGH log-uniform, NAME=±LOW:HIGH (or +-LOW:HIGH) uniform with a random sign, NAME=int:LOW:HIGH an
    integer, NAME=A,B,... one of these numbers, NAME=sign -1 or 1. NAME is an argument of the environment's constructor
    or one of its numeric attributes. On the command line also --vary, once or more."""

    ood: tuple[str, ...] = ()
    """Ranges of the out-of-distribution tasks, also as NAME=RANGE; other parameters are as in training. Also --ood."""

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
    """Plug-in of a Gymnasium id."""

    id: str
    Config: type[Any] = IdOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"Gymnasium's {self.id}; parameters vary by --vary NAME=RANGE."

    def default_agent(self, config: IdOptions) -> tuple[str, str]:
        """Return REINFORCE for a single task, MAML for a family of tasks; both with a re-uploading circuit."""
        return ("maml" if config.vary else "reinforce"), "reuploading"

    def build(self, config: IdOptions) -> GymnasiumTasks:
        """Return the family that the options describe. Raise UsageError for invalid options."""
        vary, ood = _parse("--vary", config.vary), _parse("--ood", config.ood)
        missing = [name for name in ood if name not in vary]
        if missing:
            raise UsageError(f"--ood {missing[0]}: the parameter needs a train range too, --vary {missing[0]}=RANGE")
        return GymnasiumTasks(
            self.id,
            vary,
            ood=ood,
            horizon=_horizon(config.horizon),
            skip_sensitivity_check=config.skip_sensitivity_check,
            workers=config.workers,
            step_timeout=config.step_timeout,
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
class DistributionPlugin:
    """Plug-in of an existing task distribution."""

    distribution: TaskDistribution
    Config: type[Any] = NoOptions

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"{self.distribution.name}, with {', '.join(self.distribution.parameters)}."

    def build(self, config: NoOptions) -> TaskDistribution:
        """Return the distribution itself."""
        return self.distribution


def plugin_of_object(value: object) -> DistributionPlugin | None:
    """Return the plug-in of a task distribution, or of a module with an attribute `distribution`; else None.

    Raises:
        UsageError: a module with neither `distribution` nor `Config`.
    """
    if isinstance(value, ModuleType) and "Config" not in vars(value):
        if "distribution" not in vars(value):
            near = difflib.get_close_matches("distribution", vars(value), n=1)
            hint = f"; {near[0]!r} may be a typo" if near else ""
            raise UsageError(f"has no task distribution called 'distribution', and no Config and build{hint}")
        value = value.distribution
        if not isinstance(value, TaskDistribution):
            raise UsageError(f"'distribution' must be a task distribution, not {value!r}")
    return DistributionPlugin(value) if isinstance(value, TaskDistribution) else None
