"""No meta-training: policy-gradient steps from random initial weights, the control for meta-training as such.

The initial weights are those of a learner with the same seed. The step size is an option; it is not learned.
"""

from dataclasses import dataclass, field

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.config import InnerConfig
from agents.rl.inner_update import adapt
from agents.rl.memory import check_gradient_fits
from qrl.common.options import tunable
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params

LISTED_UNDER = "baselines"


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of the policy-gradient steps."""

    extra_step_decay: float = field(default=1.0, metadata=tunable(0.05, 1))
    """Factor on the step sizes in inner updates after the first (ours: 1, constant step sizes)."""


def defaults(env_name: str) -> Config:
    """Return the defaults; in few-shot classification, the episodes of `maml` and the best step size of 0.1, 1 and 3 on
    validation datasets."""
    return Config(episodes=10, inner_step_size=3.0) if env_name == "few_shot_classification" else Config()


class Scratch:
    """Agent without an outer step; the seed determines its weights."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: EpisodePolicy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.theta: Params = dict(policy.named_parameters())

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one policy-gradient step in every task."""
        return adapt(self.policy, state, rollout, self.config, self.config.inner_step_size)


def build(config: Config, context: BuildContext) -> Scratch:
    """Return the agent of the run's policy with its initial weights."""
    agent = Scratch(config, context.make_episode_policy(), context.horizon)
    check_gradient_fits("agent scratch", agent.policy, 2 * config.episodes * context.horizon)
    return agent
