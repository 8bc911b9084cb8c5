"""Meta-learners, one file per algorithm, and what one does with them: train, load, evaluate, plot.

Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.experiment.api import evaluate, load, plot, train

__all__ = ["evaluate", "load", "plot", "register", "train"]


def register(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as an agent in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another agent.
    """
    from agents.core.registry import AGENTS

    AGENTS.register(name, plugin)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("agents.experiment.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
