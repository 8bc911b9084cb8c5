"""No meta-training: policy-gradient steps from random initial weights, the control for any training at all.

The initial weights are those with which a learner of the same seed starts. The step size is an option, not learned.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl import inner_update as inner
from agents.rl.config import InnerConfig
from agents.rl.inner_update import FastWeights
from agents.rl.memory import check_gradient_fits
from qrl.policies.policy import Params, Policy


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of the policy-gradient steps."""

    later_step_factor: float = 1.0
    """Factor on the step sizes in updates after the first (ours: none, since there is no optimum to be near to)."""


def defaults(env_name: str) -> Config:
    """Return the data of `maml` in few-shot classification, with the best step size on validation datasets of 0.1, 1
    and 3."""
    return Config(episodes=10, inner_step_size=3.0) if env_name == "few_shot_classification" else Config()


class Scratch:
    """An agent without an outer step: its weights follow from the seed."""

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.theta: Params = dict(policy.named_parameters())

    def begin(self, n_tasks: int, n_envs: int) -> FastWeights:
        """Return the initial weights for every task."""
        return inner.initial_weights(self.policy, self.theta, n_tasks)

    def act(self, state: FastWeights, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, FastWeights]:
        """Draw an action for each lane from its task's policy."""
        return inner.draw_actions(self.policy, state, observation, generator), state

    def mode(self, state: FastWeights, observation: Tensor) -> Tensor:
        """Return the most likely action of each lane."""
        return inner.likeliest_actions(self.policy, state, observation)

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the policy's actions to the environment's units."""
        return self.policy.to_environment(action)

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one policy-gradient step in every task."""
        return inner.adapt(self.policy, state, rollout, self.config, self.config.inner_step_size)

    def check_memory(self, episodes: int) -> None:
        """Raise UsageError if adapting to one task from this many episodes cannot fit."""
        inner.check_adaptation_fits(self.policy, self.config, self.horizon, episodes)


def build(config: Config, context: BuildContext) -> Scratch:
    """Return the agent of the run's policy as it is initialised."""
    agent = Scratch(config, context.make_policy(), context.horizon)
    check_gradient_fits("agent scratch", agent.policy, 2 * config.episodes * context.horizon)
    return agent
