"""Trials with advantages and targets, and the memory of their gradients."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from agents.core.pytree import map_tensors, register_pytree
from agents.rl.memory import saved_bytes
from qrl.policies.heads import Distribution
from qrl.policies.kinds import TrialPolicy
from qrl.policies.policy import Params, bind


@register_pytree
@dataclass(frozen=True)
class Trials:
    """Trials with advantages and targets."""

    inputs: Float[Tensor, "time trial input"]
    """Inputs of the network, as in `act`."""
    action: Shaped[Tensor, "time trial *act"]
    valid: Bool[Tensor, "time trial"]
    old_distribution: Distribution
    """Action distributions of the policy that collected the trials."""
    old_log_prob: Float[Tensor, "time trial"]
    advantage: Float[Tensor, "time trial"]
    """Advantages, standardised over all valid steps."""
    target: Float[Tensor, "time trial"]
    """Targets of the critic, in units of `value_scale`."""
    reward: Float[Tensor, "time trial"]
    """Rewards, in units of `reward_scale`."""
    mask: Bool[Tensor, "time trial act"] | None = None
    """Available actions; None if all are."""


def select_trials(trials: Trials, chunk: slice | Tensor) -> Trials:
    """Index every tensor along its trial axis."""
    return map_tensors(lambda tensor: tensor[:, chunk], trials)


def rollout_bytes(policy: TrialPolicy) -> float:
    """Return a lower bound on the memory per step of a rollout and its objective [bytes]."""
    # Observation, inputs and ten further numbers.
    return 4.0 * (2 * len(policy.scale) + policy.head.n_outputs + 12)


def graph_bytes(policy: TrialPolicy) -> float:
    """Return the memory that autograd keeps per step and trial [bytes], without tensors that trials share."""
    theta: Params = dict(policy.named_parameters())

    def trial_bytes(n_trials: int, n_steps: int) -> int:
        transition = policy.initial_transition_input(n_steps, n_trials)
        observation = transition.new_zeros(n_steps, n_trials, len(policy.scale))
        inputs, mask = policy.inputs(observation, transition), policy.action_mask(observation)
        action = policy.no_action(n_steps, n_trials)
        return saved_bytes(policy, lambda: policy.evaluate(bind(policy, theta), inputs, action, mask))

    # Measured on the second step, because the memory is empty before the first.
    of_16, of_48 = (trial_bytes(n_trials, 2) - trial_bytes(n_trials, 1) for n_trials in (16, 48))
    return max(1.0, (of_48 - of_16) / 32)
