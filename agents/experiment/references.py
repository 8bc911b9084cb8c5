"""Reference agents for in-context learners: the Bayes optimum where computable, otherwise a classical baseline."""

from typing import NoReturn, Protocol, runtime_checkable

import torch

from agents.core.agent import InContextAgent
from agents.core.context import BuildContext
from agents.core.registry import AGENTS
from agents.experiment.memory_ablation import MemoryAblation, ResettableAgent
from agents.references.shared import bernoulli, frame
from envs import TaskDistribution
from envs.automl.lookup_tasks import LookupTasks
from envs.bandit import Bandit
from envs.quantum_memory import QuantumMemory
from envs.tabular_mdp import TabularMDP


@runtime_checkable
class ExactReference(Protocol):
    """Reference agent whose expected return is known exactly, without simulation; or a bound that its label names."""

    @property
    def expected_returns(self) -> list[float]:
        """Expected return of each episode of a trial, over all tasks."""


@runtime_checkable
class LabelledReference(Protocol):
    """Reference agent that pictures and tables show by another name than its file's."""

    @property
    def label(self) -> str:
        """Name, with a remark on what the agent's line means."""


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
        built[agent.label if isinstance(agent, LabelledReference) else name] = agent
    return built


def _names(distribution: TaskDistribution, n_episodes: int) -> tuple[str, ...]:
    if isinstance(distribution, Bandit):
        n_pulls = n_episodes * distribution.horizon
        if bernoulli.n_beliefs(distribution.n_arms, n_pulls) <= bernoulli.MAX_BELIEFS:
            return ("bayes", "thompson")
        return ("gittins", "thompson") if n_pulls <= bernoulli.MAX_PULLS else ("thompson",)
    if isinstance(distribution, TabularMDP):
        return ("oracle", "psrl")
    if isinstance(distribution, QuantumMemory):
        return _quantum_memory_names(distribution, n_episodes)
    if isinstance(distribution, LookupTasks):
        return ("oracle", "portfolio", "nearest_tasks", "random_search")
    return ()


def _quantum_memory_names(family: QuantumMemory, n_episodes: int) -> tuple[str, ...]:
    fixed = ("classical_memory", "swap_test", "measure_both")
    if family.config.frame == "none":
        return ("helstrom", *fixed)
    return ("helstrom", "frame_tracking", *fixed) if n_episodes <= frame.MAX_EPISODES else fixed


def _no_policy(*_: object) -> NoReturn:
    raise NotImplementedError("a reference has no policy network")
