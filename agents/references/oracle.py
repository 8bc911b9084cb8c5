"""The optimum of those who are told the task: what no agent can reach that has to find it out.

In the bandit the arm that pays most often; in families of tries the candidate that gains most; in the tabular MDP
backward induction over its own rewards and transitions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.mdp import best_actions
from agents.references.shared.trial import TrialConfig, known_family
from envs import Tasks
from envs.automl.lookup_tasks import LookupTasks
from envs.bandit import Bandit
from envs.tabular_mdp import TabularMDP

FAMILIES = ("bandit", "tabular_mdp", "algorithm_selection", "hyperparameter_tuning")


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of optimal play of known tasks."""


@dataclass(frozen=True)
class Plan:
    """The best action at each step of an episode in each state [task, time, state], and the step [task, env]."""

    actions: Tensor
    step: Tensor


class Oracle:
    """A privileged adapter: `reveal_tasks` shows it the tasks (`agents.core.agent.OracleAgent`).

    Raises UsageError for a family that it has no optimum of.
    """

    def __init__(self, config: Config, context: BuildContext) -> None:
        family = known_family("oracle", context, Bandit, TabularMDP, LookupTasks)
        self._plan: Callable[[Tasks], Tensor] = self._actions if isinstance(family, TabularMDP) else self._best
        self._value: Callable[[Tasks], Tensor] = (
            family.improvement_of if isinstance(family, LookupTasks) else lambda tasks: tasks.p
        )
        self.n_states = family.n_states if isinstance(family, TabularMDP) else 1
        self.horizon, self.trial_episodes, self.device = family.horizon, config.episodes, context.device

    def begin(self, n_tasks: int, n_envs: int) -> Plan:
        """Nothing known yet: action 0."""
        actions = torch.zeros(n_tasks, self.horizon, self.n_states, dtype=torch.int64, device=self.device)
        return Plan(actions, torch.zeros(n_tasks, n_envs, dtype=torch.int64, device=self.device))

    def reveal_tasks(self, state: Plan, tasks: Tasks) -> Plan:
        """The plan for these tasks."""
        return Plan(self._plan(tasks.to(self.device)), state.step)

    def _best(self, tasks: Tasks) -> Tensor:
        return self._value(tasks).argmax(-1)[:, None, None].expand(-1, self.horizon, 1)

    def _actions(self, tasks: Tasks) -> Tensor:
        return best_actions(tasks.mean_reward, tasks.transition, self.horizon)[0]

    def act(self, state: Plan, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Plan]:
        """As planned. But for the tabular MDP's there is only one state."""
        task = torch.arange(len(state.actions), device=self.device)[:, None]
        where = observation[..., : self.n_states].argmax(-1)
        return state.actions[task, state.step.clamp_max(self.horizon - 1), where], state

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(self, state: Plan, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Plan:
        """One step on; there is nothing to learn."""
        return Plan(state.actions, torch.where(ended, 0, state.step + 1))

    def adapt(self, state: Plan, rollout: Rollout) -> Plan:
        """Return the state unchanged."""
        return state


def build(config: Config, context: BuildContext) -> Oracle:
    """The reference."""
    return Oracle(config, context)
