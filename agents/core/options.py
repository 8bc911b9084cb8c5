"""Base class of agents' options, with validation."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from agents.core.limits import LARGEST_OPTION
from qrl.common.checks import check_count, shown
from qrl.common.errors import UsageError
from qrl.common.options import check_literals, option_names

LARGEST_FLOAT = 3e38
"""Largest magnitude of a number among an agent's options; tensors of single precision hold no larger one."""


def is_learning_rate(name: str) -> bool:
    """Return whether an option of an agent is a learning rate of training, by its name: learning_rate, lr, or lr_*.

    A resume may change such an option, so it must not be needed to restore the agent from a checkpoint.
    """
    return name in ("learning_rate", "lr") or name.startswith("lr_")


@dataclass(frozen=True)
class Options:
    """Base class of an agent's options."""

    def __post_init__(self) -> None:
        """Raise UsageError for a word that its option's type does not list, and for a number that is too large."""
        check_literals(self, f"agent {self.agent}")
        for name in option_names(type(self)):
            value = getattr(self, name)
            if isinstance(value, int) and value > LARGEST_OPTION:
                check_count(f"agent {self.agent}: {name}", value, most=LARGEST_OPTION)
            if isinstance(value, float) and LARGEST_FLOAT < abs(value) < math.inf:
                raise UsageError(f"agent {self.agent}: {name} must be at most {LARGEST_FLOAT:.3g} in size, not {value}")

    @property
    def agent(self) -> str:
        """Name of the agent: the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def require(self, names: tuple[str, ...], holds: Callable[[float], bool], wanted: str) -> None:
        """Raise UsageError for the first of these options whose value does not satisfy `holds`.

        The message says that the value must be `wanted`.
        """
        for name in names:
            if not holds(getattr(self, name)):
                raise UsageError(f"agent {self.agent}: {name} must be {wanted}, not {shown(getattr(self, name))}")

    def refuse(self, names: tuple[str, ...], where: str) -> None:
        """Raise UsageError for the first of these options with a non-default value: it has no effect with `where`."""
        for field in dataclasses.fields(self):
            if field.name in names and getattr(self, field.name) != field.default:
                raise UsageError(f"agent {self.agent}: {field.name} has no effect with {where}")
