"""Whom an agent that learns in its memory is read against: the optimum where it can be computed, and a classic."""

from typing import Any

import torch

from agents.core.context import BuildContext
from agents.core.registry import AGENTS
from agents.experiment.memory_ablation import MemoryAblation
from agents.references.shared import bernoulli
from envs import TaskDistribution
from envs.automl.lookup_tasks import Tries
from envs.bandit import Bandit
from envs.tabular_mdp import TabularMDP


def beside_which(agent: Any, distribution: TaskDistribution, device: str = "cpu") -> dict[str, Any]:
    """By name, what an agent that learns in its memory is read against: references, and itself without that memory.

    The latter where a trial has episodes after which there is something to forget.
    """
    control = {"forgetful": MemoryAblation(agent)} if hasattr(agent, "forget") and agent.trial_episodes > 1 else {}
    return references(distribution, agent.trial_episodes, device) | control


def references(distribution: TaskDistribution, n_episodes: int, device: str = "cpu") -> dict[str, Any]:
    """Agents by their names, for trials of this length; none for a family without any."""
    context = BuildContext(distribution, torch.device(device), _no_policy, _no_policy)
    built = {}
    for name in _names(distribution, n_episodes):
        plugin = AGENTS.load(name)
        built[name] = plugin.build(plugin.Config(episodes=n_episodes), context)
    return built


def _names(distribution: TaskDistribution, n_episodes: int) -> tuple[str, ...]:
    if isinstance(distribution, Bandit):
        n_pulls = n_episodes * distribution.horizon
        if bernoulli.n_beliefs(distribution.n_arms, n_pulls) <= bernoulli.LARGEST:
            return ("bayes", "thompson")
        return ("gittins", "thompson") if n_pulls <= bernoulli.MOST_PULLS else ("thompson",)
    if isinstance(distribution, TabularMDP):
        return ("oracle", "psrl")
    if isinstance(distribution, Tries):
        return ("oracle", "portfolio", "nearest_tasks", "random_search")
    return ()


def _no_policy(*_: int) -> Any:
    raise NotImplementedError("a reference has no policy network")
