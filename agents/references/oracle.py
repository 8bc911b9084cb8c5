"""Oracle: optimal policy with known task parameters, an upper bound for agents that must identify the task.

In the bandit, the oracle pulls the arm with the largest success probability. In lookup tasks, it evaluates the
candidate with the largest improvement. In the tabular MDP, it solves the true MDP by backward induction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.mdp import best_actions
from agents.references.shared.trial import TrialConfig, require_family
from envs import Tasks
from envs.automl.lookup_tasks import LookupTasks
from envs.bandit import Bandit
from envs.tabular_mdp import TabularMDP

FAMILIES = ("bandit", "tabular_mdp", "algorithm_selection", "hyperparameter_tuning")


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the oracle."""


@dataclass(frozen=True)
class Plan:
    """Optimal action at each step of an episode in each state [task, time, state], and current step [task, env]."""

    actions: Tensor
    step: Tensor


class Oracle:
    """Oracle agent (`agents.core.agent.OracleAgent`): `reveal_tasks` gives it the task parameters.

    Raises UsageError for a family whose optimal policy is not implemented.
    """

    def __init__(self, config: Config, context: BuildContext) -> None:
        family = require_family("oracle", context, Bandit, TabularMDP, LookupTasks)
        self._plan: Callable[[Tasks], Tensor] = self._actions if isinstance(family, TabularMDP) else self._best
        self._value: Callable[[Tasks], Tensor] = (
            family.improvement_of if isinstance(family, LookupTasks) else lambda tasks: tasks.p
        )
        self.n_states = family.n_states if isinstance(family, TabularMDP) else 1
        self.horizon, self.trial_episodes, self.device = family.horizon, config.episodes, context.device

    def begin(self, n_tasks: int, n_envs: int) -> Plan:
        """Return the plan before the tasks are revealed: always action 0."""
        actions = torch.zeros(n_tasks, self.horizon, self.n_states, dtype=torch.int64, device=self.device)
        return Plan(actions, torch.zeros(n_tasks, n_envs, dtype=torch.int64, device=self.device))

    def reveal_tasks(self, state: Plan, tasks: Tasks) -> Plan:
        """Return the optimal plan for these tasks."""
        return Plan(self._plan(tasks.to(self.device)), state.step)

    def _best(self, tasks: Tasks) -> Tensor:
        return self._value(tasks).argmax(-1)[:, None, None].expand(-1, self.horizon, 1)

    def _actions(self, tasks: Tasks) -> Tensor:
        return best_actions(tasks.mean_reward, tasks.transition, self.horizon)[0]

    def act(self, state: Plan, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Plan]:
        """Return the planned action. Families other than the tabular MDP have a single state."""
        task = torch.arange(len(state.actions), device=self.device)[:, None]
        current = observation[..., : self.n_states].argmax(-1)
        return state.actions[task, state.step.clamp_max(self.horizon - 1), current], state

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(self, state: Plan, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Plan:
        """Advance the step of the episode; the transition carries no new information."""
        return Plan(state.actions, torch.where(ended, 0, state.step + 1))

    def adapt(self, state: Plan, rollout: Rollout) -> Plan:
        """Return the state unchanged."""
        return state


def build(config: Config, context: BuildContext) -> Oracle:
    """Return the reference agent."""
    return Oracle(config, context)
