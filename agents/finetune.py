"""Multi-task policy gradient, then fine-tuning: the control for meta-learning of the initial weights.

The initial weights theta are trained by PPO to do well in all tasks at once, before any adaptation; what MAML does
differently is to train them for what they become. All else is as there: the inner update, PPO and its options, the
environment steps of an iteration, and step sizes alpha for each parameter, learned by MAML's own gradient:

    maximise over theta the mean over tasks of V(theta)
    maximise over alpha the mean over tasks of V(theta + alpha * grad J(theta)), theta held

No parameter is in both gradients. Each is a sum over its steps, divided by the number of those before adapting: where
episodes differ in length, a positive factor on that of alpha, to which Adam is indifferent.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl.inner_update import Data, FastWeights
from agents.rl.outer import OuterConfig, OuterLearner, Sums
from qrl.policies.policy import Params, Policy


@dataclass(frozen=True)
class Config(OuterConfig):
    """Options of multi-task training; without `learn_step_sizes` there are no rollouts after an update."""


def defaults(env_name: str) -> Config:
    """The data of `maml`."""
    return Config(episodes=10, meta_batch=100) if env_name == "few_shot_classification" else Config()


class Finetune(OuterLearner):
    """The learner; also an adapter."""

    config: Config

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        super().__init__(config, policy, horizon, n_rollouts=2 if config.learn_step_sizes else 1)

    def meta_data(self, rollouts: list[Rollout], states: list[FastWeights]) -> list[Data]:
        """Before adapting; ahead of that, where step sizes are learned, inner data and the adapted policies'."""
        before, *after = (self.sampled(rollout, state) for rollout, state in zip(rollouts, states, strict=True))
        if not after:
            return [before]
        return [self.data(rollouts[0], standardised=self.config.standardise_inner), *after, before]

    def _task_objective(self, meta: Params, data: list[Data]) -> Sums:
        """Objective before and after adapting; KL(old || new) and entropy before."""
        *adaptation, before = data
        theta = {name: meta[name] for name in self.policy.groups}
        sums = self.clipped_sums(theta, before, self.config.clip)
        if adaptation:
            inner, outer = adaptation
            adapted = self._inner_step({name: value.detach() for name, value in theta.items()}, meta, inner)
            sums["objective"] = sums["objective"] + self.clipped_sums(adapted, outer, self.config.clip)["objective"]
        return sums


def build(config: Config, context: BuildContext) -> Finetune:
    """The learner of the run's policy."""
    learner = Finetune(config, context.make_policy(), context.horizon)
    learner.check_memory(3)
    return learner
