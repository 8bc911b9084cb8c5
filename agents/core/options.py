"""Base class of agents' options, with validation."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from qrl.common.errors import UsageError
from qrl.common.options import check_literals


@dataclass(frozen=True)
class Options:
    """Base class of an agent's options."""

    def __post_init__(self) -> None:
        """Raise UsageError for an option whose word is none of those that its type lists."""
        check_literals(self, f"agent {self.agent}")

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
                raise UsageError(f"agent {self.agent}: {name} must be {wanted}, not {getattr(self, name)}")

    def refuse(self, names: tuple[str, ...], where: str) -> None:
        """Raise UsageError for the first of these options with a non-default value: it has no effect with `where`."""
        for field in dataclasses.fields(self):
            if field.name in names and getattr(self, field.name) != field.default:
                raise UsageError(f"agent {self.agent}: {field.name} has no effect with {where}")
