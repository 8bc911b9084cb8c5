"""Meta-learners, one file per algorithm, and what one does with them: train, load, evaluate, plot.

    >>> import agents
    >>> run = agents.train("runs/first", env="navigation", agent="maml", iterations=5)  # doctest: +SKIP
    >>> policy = run.adapt(env, episodes=20)  # doctest: +SKIP

What an author of an agent needs is here too: the protocols that an agent fulfils, what it is built from, and the
mathematics that algorithms share. Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.core.agent import (
        Agent,
        DeterministicAgent,
        InContextAgent,
        Learner,
        NetworkAgent,
        OpenLoopAgent,
        OracleAgent,
    )
    from agents.core.context import BuildContext, FeatureNetwork
    from agents.core.options import Options
    from agents.core.rollout import Rollout
    from agents.experiment.adapted_policy import AdaptedPolicy
    from agents.experiment.api import evaluate, load, plot, train
    from agents.experiment.evaluation import Curve
    from agents.experiment.run import Run
    from agents.rl.losses import dice, lvc, magic_box, policy_gradient, ppo_clip
    from agents.rl.returns import (
        generalised_advantages,
        leave_one_out,
        linear_baseline,
        returns_to_go,
        standardise,
    )

_HOMES = {
    "AdaptedPolicy": "experiment.adapted_policy",
    "Agent": "core.agent",
    "BuildContext": "core.context",
    "Curve": "experiment.evaluation",
    "DeterministicAgent": "core.agent",
    "FeatureNetwork": "core.context",
    "InContextAgent": "core.agent",
    "Learner": "core.agent",
    "NetworkAgent": "core.agent",
    "OpenLoopAgent": "core.agent",
    "Options": "core.options",
    "OracleAgent": "core.agent",
    "Rollout": "core.rollout",
    "Run": "experiment.run",
    "dice": "rl.losses",
    "evaluate": "experiment.api",
    "generalised_advantages": "rl.returns",
    "leave_one_out": "rl.returns",
    "linear_baseline": "rl.returns",
    "load": "experiment.api",
    "lvc": "rl.losses",
    "magic_box": "rl.losses",
    "plot": "experiment.api",
    "policy_gradient": "rl.losses",
    "ppo_clip": "rl.losses",
    "returns_to_go": "rl.returns",
    "standardise": "rl.returns",
    "train": "experiment.api",
}
"""Modules of the names that are imported when they are first used."""

__all__ = [
    "AdaptedPolicy",
    "Agent",
    "BuildContext",
    "Curve",
    "DeterministicAgent",
    "FeatureNetwork",
    "InContextAgent",
    "Learner",
    "NetworkAgent",
    "OpenLoopAgent",
    "Options",
    "OracleAgent",
    "Rollout",
    "Run",
    "dice",
    "evaluate",
    "generalised_advantages",
    "leave_one_out",
    "linear_baseline",
    "load",
    "lvc",
    "magic_box",
    "plot",
    "policy_gradient",
    "ppo_clip",
    "register",
    "returns_to_go",
    "standardise",
    "train",
]


def register(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as an agent in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another agent.
    """
    from agents.core.registry import AGENTS

    AGENTS.register(name, plugin)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"agents.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
