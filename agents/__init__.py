"""Meta-learners, one file per algorithm, and what one does with them: train, load, evaluate, plot.

    >>> import agents
    >>> run = agents.train("runs/first", env="navigation", agent="maml", iterations=5)  # doctest: +SKIP
    >>> policy = run.adapt(env, episodes=20)  # doctest: +SKIP

What an author of an agent needs is here too: the protocols that an agent fulfils, what it is built from, and the
mathematics that algorithms share. Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

from typing import TYPE_CHECKING

from qrl.common.lazy import lazy_names

if TYPE_CHECKING:
    from agents.core.agent import Agent as Agent
    from agents.core.agent import DeterministicAgent as DeterministicAgent
    from agents.core.agent import InContextAgent as InContextAgent
    from agents.core.agent import Learner as Learner
    from agents.core.agent import NetworkAgent as NetworkAgent
    from agents.core.agent import OpenLoopAgent as OpenLoopAgent
    from agents.core.agent import OracleAgent as OracleAgent
    from agents.core.context import BuildContext as BuildContext
    from agents.core.context import FeatureNetwork as FeatureNetwork
    from agents.core.options import Options as Options
    from agents.core.rollout import Rollout as Rollout
    from agents.experiment.adapted_policy import AdaptedPolicy as AdaptedPolicy
    from agents.experiment.api import evaluate as evaluate
    from agents.experiment.api import load as load
    from agents.experiment.api import plot as plot
    from agents.experiment.api import train as train
    from agents.experiment.evaluation import Curve as Curve
    from agents.experiment.run import Run as Run
    from agents.rl.losses import dice as dice
    from agents.rl.losses import lvc as lvc
    from agents.rl.losses import magic_box as magic_box
    from agents.rl.losses import policy_gradient as policy_gradient
    from agents.rl.losses import ppo_clip as ppo_clip
    from agents.rl.returns import generalised_advantages as generalised_advantages
    from agents.rl.returns import leave_one_out as leave_one_out
    from agents.rl.returns import linear_baseline as linear_baseline
    from agents.rl.returns import returns_to_go as returns_to_go
    from agents.rl.returns import standardise as standardise

_HOMES = {
    "agents.core.agent": (
        "Agent",
        "DeterministicAgent",
        "InContextAgent",
        "Learner",
        "NetworkAgent",
        "OpenLoopAgent",
        "OracleAgent",
    ),
    "agents.core.context": (
        "BuildContext",
        "FeatureNetwork",
    ),
    "agents.core.options": ("Options",),
    "agents.core.rollout": ("Rollout",),
    "agents.experiment.adapted_policy": ("AdaptedPolicy",),
    "agents.experiment.api": (
        "evaluate",
        "load",
        "plot",
        "train",
    ),
    "agents.experiment.evaluation": ("Curve",),
    "agents.experiment.run": ("Run",),
    "agents.rl.losses": (
        "dice",
        "lvc",
        "magic_box",
        "policy_gradient",
        "ppo_clip",
    ),
    "agents.rl.returns": (
        "generalised_advantages",
        "leave_one_out",
        "linear_baseline",
        "returns_to_go",
        "standardise",
    ),
}

if not TYPE_CHECKING:  # or type checkers would accept any name
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES, "register")


def register(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as an agent in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another agent.
    """
    from agents.core.registry import AGENTS

    AGENTS.register(name, plugin)
