"""Posterior sampling (PSRL) for the tabular MDP: in each episode, act optimally in an MDP from the posterior.

Strens 2000; Osband, Russo and Van Roy 2013 (PSRL). The posterior is exact, because the tasks are drawn from its prior:
transitions Dirichlet(1 + counts), mean rewards N((1 + sum) / (1 + n), 1 / (1 + n)) after n rewards with noise N(0, 1).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.mdp import best_actions
from agents.references.shared.trial import TrialConfig, require_family
from envs.tabular_mdp import TabularMDP

FAMILIES = ("tabular_mdp",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of posterior sampling."""


@dataclass(frozen=True)
class Belief:
    """Transition counts and reward sums so far, and the optimal policy of the MDP sampled for this episode."""

    transitions: Float[Tensor, "task env state action state"]
    rewards: Float[Tensor, "task env state action"]
    """Sums of the observed rewards."""
    actions: Int[Tensor, "task env time state"]
    step: Int[Tensor, "task env"]
    """Current step of the episode."""
    last_state: Int[Tensor, "task env"]
    """The state in which the last action was taken."""


class PSRL:
    """Posterior-sampling agent, an `agents.core.agent.InContextAgent`.

    Raises UsageError for any family other than the tabular MDP.
    """

    def __init__(self, config: Config, context: BuildContext) -> None:
        family = require_family("psrl", context, TabularMDP)
        self.n_states, self.n_actions, self.horizon = family.n_states, family.n_actions, family.horizon
        self.trial_episodes, self.device = config.episodes, context.device

    def begin(self, n_tasks: int, n_envs: int) -> Belief:
        """Return the prior, without observations."""
        lanes, pairs = (n_tasks, n_envs), (self.n_states, self.n_actions)

        def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(*lanes, *shape, dtype=dtype, device=self.device)

        return Belief(
            transitions=zeros(*pairs, self.n_states, dtype=torch.float64),
            rewards=zeros(*pairs, dtype=torch.float64),
            actions=zeros(self.horizon, self.n_states, dtype=torch.int64),
            step=zeros(dtype=torch.int64),
            last_state=zeros(dtype=torch.int64),
        )

    def act(self, state: Belief, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Belief]:
        """Return the optimal action in the MDP drawn at the start of the episode; draw one at the first step."""
        first = state.step == 0
        if bool(first.any()):
            drawn = self._draw(state, generator)
            state = replace(state, actions=torch.where(first[..., None, None], drawn, state.actions))
        current = observation.argmax(-1)
        step = state.step.clamp_max(self.horizon - 1)
        plan = state.actions.gather(2, step[..., None, None].expand(*step.shape, 1, self.n_states)).squeeze(2)
        return plan.gather(2, current[..., None]).squeeze(2), replace(state, last_state=current)

    def _draw(self, state: Belief, generator: torch.Generator) -> Tensor:
        """Draw an MDP per lane from the posterior and return its optimal actions [task, env, time, state]."""
        weights = torch._standard_gamma(1 + state.transitions, generator=generator)
        noise = torch.randn(
            state.rewards.shape, generator=generator, dtype=state.rewards.dtype, device=state.rewards.device
        )
        n = state.transitions.sum(-1)
        mean_reward = (1 + state.rewards) / (1 + n) + noise / (1 + n).sqrt()
        return best_actions(mean_reward, weights / weights.sum(-1, keepdim=True), self.horizon)[0]

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(
        self,
        state: Belief,
        action: Tensor,
        reward: Float[Tensor, "task env"],
        ended: Bool[Tensor, "task env"],
        observation: Tensor,
    ) -> Belief:
        """Add the observed transition and reward to the counts."""
        lanes = torch.meshgrid(*(torch.arange(n, device=action.device) for n in action.shape), indexing="ij")
        pair = (*lanes, state.last_state, action)
        one = torch.ones_like(reward, dtype=state.rewards.dtype)
        return replace(
            state,
            transitions=state.transitions.index_put((*pair, observation.argmax(-1)), one, accumulate=True),
            rewards=state.rewards.index_put(pair, reward.to(state.rewards.dtype), accumulate=True),
            step=torch.where(ended, 0, state.step + 1),
        )

    def adapt(self, state: Belief, rollout: Rollout) -> Belief:
        """Return the state unchanged: `observe` has already counted every transition."""
        return state


def build(config: Config, context: BuildContext) -> PSRL:
    """Return the agent."""
    return PSRL(config, context)
