"""Reference agents for in-context learners: the Bayes optimum where computable, otherwise a classical baseline."""

from typing import NoReturn, Protocol, runtime_checkable

import torch

from agents.core.agent import InContextAgent
from agents.core.context import BuildContext
from agents.core.registry import AGENTS
from agents.experiment.memory_ablation import MemoryAblation, ResettableAgent
from agents.references.shared import bernoulli
from envs import TaskDistribution
from envs.automl.lookup_tasks import LookupTasks
from envs.bandit import Bandit
from envs.tabular_mdp import TabularMDP


@runtime_checkable
class ExactReference(Protocol):
    """Reference agent whose expected return is known exactly, without simulation."""

    @property
    def expected_returns(self) -> list[float]:
        """Expected return of each episode of a trial, over all tasks."""


def reference_agents(
    agent: InContextAgent[object], distribution: TaskDistribution, device: str = "cpu"
) -> dict[str, InContextAgent[object]]:
    """Return the agents by name that an in-context learner is compared with: references and its memory ablation.

    The memory ablation is included only if a trial has several episodes.
    """
    found = references(distribution, agent.trial_episodes, device)
    if isinstance(agent, ResettableAgent) and agent.trial_episodes > 1:
        found["memory_reset"] = MemoryAblation(agent)
    return found


def references(
    distribution: TaskDistribution, n_episodes: int, device: str = "cpu"
) -> dict[str, InContextAgent[object]]:
    """Return reference agents by name, for trials of `n_episodes` episodes; empty for a family without references."""
    context = BuildContext(distribution, torch.device(device), _no_policy, _no_policy)
    built: dict[str, InContextAgent[object]] = {}
    for name in _names(distribution, n_episodes):
        plugin = AGENTS.load(name)
        agent = plugin.build(plugin.Config(episodes=n_episodes), context)
        assert isinstance(agent, InContextAgent)
        built[name] = agent
    return built


def _names(distribution: TaskDistribution, n_episodes: int) -> tuple[str, ...]:
    if isinstance(distribution, Bandit):
        n_pulls = n_episodes * distribution.horizon
        if bernoulli.n_beliefs(distribution.n_arms, n_pulls) <= bernoulli.MAX_BELIEFS:
            return ("bayes", "thompson")
        return ("gittins", "thompson") if n_pulls <= bernoulli.MAX_PULLS else ("thompson",)
    if isinstance(distribution, TabularMDP):
        return ("oracle", "psrl")
    if isinstance(distribution, LookupTasks):
        return ("oracle", "portfolio", "nearest_tasks", "random_search")
    return ()


def _no_policy(*_: object) -> NoReturn:
    raise NotImplementedError("a reference has no policy network")
