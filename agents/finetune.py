"""Multi-task policy gradient, then fine-tuning: the control for meta-learning of the initial weights.

The initial weights theta are trained by PPO to do well in all tasks at once, before any adaptation; what MAML does
differently is to train them for what they become. All else is as there: the inner update, PPO and its options, the
environment steps of an iteration, and step sizes alpha for each parameter, learned by MAML's own gradient:

    maximise over theta the mean over tasks of V(theta)
    maximise over alpha the mean over tasks of V(theta + alpha * grad J(theta)), theta held
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from agents._inner import Data, FastWeights, GradientAdapter
from agents._outer import Outer, OuterConfig, Sums, accumulate, clipped_sums, measure, with_step_sizes
from agents._rollout import Rollout
from agents._setting import Setting
from qrl.policy import Params, Policy


@dataclass(frozen=True)
class Config(OuterConfig):
    """Options of multi-task training; without `learn_step_sizes` there are no rollouts after an update."""


class Finetune(GradientAdapter):
    """The learner; also an adapter."""

    config: Config

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        super().__init__(config, policy, horizon)
        if config.learn_step_sizes:
            self.params = with_step_sizes(self.params, config.inner_step_size)
        self.outer = Outer(config, self)
        self.n_rollouts = 2 if config.learn_step_sizes else 1
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes
        self.state_dict, self.load_state_dict = self.outer.state_dict, self.outer.load_state_dict

    def update(self, rollouts: list[Rollout], states: list[FastWeights], remaining: float) -> dict[str, float]:
        """The outer step; metrics as in `agents.maml`, of the policies before adapting. Raises as there."""
        data = [self.sampled(rollout, state) for rollout, state in zip(rollouts, states, strict=True)]
        inner = self.data(rollouts[0], standardised=self.config.standardise_inner)
        gradient, kl = partial(self._gradient, [*data, inner]), partial(self._measured, [*data, inner])
        metrics = self.outer.climb(gradient, kl, remaining)
        for rollout in rollouts:
            self.policy.update_normalisation(rollout.observation[rollout.valid])
        return metrics

    def _gradient(self, data: list[Data]) -> tuple[list[Tensor], dict[str, float]]:
        return accumulate(self._task_objective, self.params, data, *self._parts(data))

    def _measured(self, data: list[Data]) -> dict[str, float]:
        return measure(self._task_objective, self.params, data, *self._parts(data))

    def _parts(self, data: list[Data]) -> tuple[Iterator[slice], float]:
        """Chunks of tasks, and what makes means of sums."""
        valid = data[0]["valid"]
        return self._chunks(data[0]["observation"], len(data) * valid[0].numel()), 1 / int(valid.sum())

    def _task_objective(self, meta: Params, data: list[Data]) -> Sums:
        """Objective before and after adapting, KL(old || new) and entropy before; sums over valid steps, one task."""
        *rollouts, inner = data
        theta = {name: meta[name] for name in self.policy.groups}
        sums = clipped_sums(self, self.config, theta, rollouts[0], self.config.clip)
        if len(rollouts) == 2:
            adapted = self._inner_step({name: value.detach() for name, value in theta.items()}, meta, inner)
            after = clipped_sums(self, self.config, adapted, rollouts[1], self.config.clip)
            sums["objective"] = sums["objective"] + after["objective"]
        return sums


def build(config: Config, setting: Setting) -> Finetune:
    """The learner of the run's policy."""
    learner = Finetune(config, setting.make_policy(), setting.horizon)
    learner.check_memory(3)
    return learner
