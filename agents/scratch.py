"""No meta-training: policy-gradient steps from random initial weights, the control for any training at all.

The initial weights are those with which a learner of the same seed starts. The step size is an option, not learned.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.rl.inner_update import GradientAdapter, InnerConfig


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of the policy-gradient steps."""

    later_step_factor: float = 1.0
    """Factor on the step sizes in updates after the first (ours: none, since there is no optimum to be near to)."""


def defaults(env_name: str) -> Config:
    """In few-shot classification the data of `maml`, and the best step size on validation datasets of 0.1, 1 and 3."""
    return Config(episodes=10, inner_step_size=3.0) if env_name == "few_shot_classification" else Config()


class Scratch(GradientAdapter):
    """An adapter without an outer step."""

    def state_dict(self) -> dict[str, object]:
        """Nothing to save: the weights follow from the seed."""
        return {}

    def load_state_dict(self, tensors: dict[str, object]) -> None:
        """Nothing to load."""


def build(config: Config, context: BuildContext) -> Scratch:
    """The adapter of the run's policy as it is initialised."""
    adapter = Scratch(config, context.make_policy(), context.horizon)
    adapter.check_memory(2)
    return adapter
