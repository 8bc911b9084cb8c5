"""Recurrent policy: observation, last transition and memory -> distribution over actions, value, next memory.

    (normalised observation, last action, last reward, ended) -> recurrent features -> linear read-out -> head

as in RL^2 (Duan et al. 2016). Three options: the last observation is an additional input; the read-out's weights are
linear in the observation; and the read-out also predicts the reward of each action, for an auxiliary loss. The memory
is a value: passed in, returned, never stored on a module. Actor and critic have separate memories, which works better
(Ni, Eysenbach and Salakhutdinov 2022, Recurrent model-free RL can be a strong baseline for many POMDPs), or share one.
"""

from typing import Any, NamedTuple

import gymnasium
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from qrl.common.errors import UsageError, wrap_errors
from qrl.common.registry import name_of
from qrl.policies.actor import (
    Actor,
    BoundNetwork,
    BoundPolicy,
    PolicyConfig,
    make_head,
    mask_logits,
    n_observations,
)
from qrl.policies.features import (
    FunctionalFeatures,
    RecurrentFeatures,
    build_features,
    learning_rate_groups,
    make_readout,
    n_task_axes,
    read_out,
)
from qrl.policies.frame import Frame
from qrl.policies.heads import Categorical, Distribution, Gaussian


class RecurrentNetwork(nn.Module):
    """Recurrent features with a linear read-out.

    The read-out takes the features and, for `n_bilinear` > 0, their products with the first inputs.
    """

    def __init__(
        self, features: nn.Module, n_outputs: int, config: PolicyConfig, generator: torch.Generator, n_bilinear: int = 0
    ) -> None:
        super().__init__()
        assert isinstance(features, RecurrentFeatures)
        self.features, self.n_bilinear, self.n_memory = features, n_bilinear, features.n_memory
        self.readout = make_readout(features.n_features * (1 + n_bilinear), n_outputs, config, generator)
        self._functional = FunctionalFeatures[tuple[Tensor, Tensor]](features)

    def bind(self) -> BoundNetwork:
        """Compute everything that depends only on parameters."""
        return BoundNetwork(self._functional.bind(), dict(self.readout.named_parameters()))

    @property
    def broadcasts(self) -> bool:
        """Whether `bind` accepts parameters with leading task axes."""
        return self._functional.broadcasts

    def step(
        self,
        bound: BoundNetwork,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
    ) -> tuple[Float[Tensor, "*tasks batch output"], Float[Tensor, "*tasks batch memory"]]:
        """Return the outputs and the next memory."""
        features, memory = self._functional.run(bound.features, n_task_axes(bound.readout), inputs, memory)
        return self._read(bound, inputs, features), memory

    def unroll(
        self, bound: BoundNetwork, inputs: Float[Tensor, "time *tasks batch input"], truncation: int = 0
    ) -> Float[Tensor, "time *tasks batch output"]:
        """Return the outputs of whole trials, starting from a zero memory.

        `truncation`: length of the segments of truncated backpropagation through time [steps]; 0: no truncation.
        """
        memory = inputs.new_zeros(*inputs.shape[1:-1], self.n_memory)
        n_axes = n_task_axes(bound.readout)
        rows = []
        for t, row in enumerate(inputs):
            if truncation and t % truncation == 0:
                memory = memory.detach()
            features, memory = self._functional.run(bound.features, n_axes, row, memory)
            rows.append(features)
        return self._read(bound, inputs, torch.stack(rows))

    def _read(self, bound: BoundNetwork, inputs: Tensor, features: Tensor) -> Tensor:
        """Apply the read-out."""
        if self.n_bilinear:
            products = inputs[..., : self.n_bilinear, None] * features.unsqueeze(-2)
            features = torch.cat([features, products.flatten(-2)], dim=-1)
        return read_out(bound.readout, features)


class Outputs(NamedTuple):
    """Outputs of a recurrent policy at every step of whole trials."""

    distribution: Distribution
    """Distribution over actions, [time, batch, ...]."""
    value: Float[Tensor, "time *tasks batch"]
    reward_outputs: Float[Tensor, "time *tasks batch reward_output"]
    """Input of `expected_reward`; of width 0 for a policy that does not predict rewards."""


class RecurrentPolicy(Actor):
    """Recurrent policy; `make_recurrent_policy` also builds its features (`qrl.policies.features`)."""

    actor: RecurrentNetwork
    critic: RecurrentNetwork | None
    head: Categorical | Gaussian

    def __init__(
        self,
        actor: RecurrentNetwork,
        critic: RecurrentNetwork | None,
        head: Categorical | Gaussian,
        action_space: gymnasium.Space[Any],
        observation_scale: Float[Tensor, " obs"],
        config: PolicyConfig,
        use_previous_observation: bool,
        predict_reward: bool,
    ) -> None:
        networks: dict[str, nn.Module] = {"actor": actor} if critic is None else {"actor": actor, "critic": critic}
        super().__init__(networks, head, action_space, observation_scale, config)
        if critic is None:
            self.critic = None
        self.use_previous_observation = use_previous_observation
        self.n_reward_outputs = n_reward_outputs(head) if predict_reward else 0

    @property
    def n_memory(self) -> int:
        """Width of the memory with which the policy acts."""
        return self.actor.n_memory

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""
        networks = [self.actor] if self.critic is None else [self.actor, self.critic]
        return learning_rate_groups(self, *(network.features for network in networks))

    @property
    def broadcasts(self) -> bool:
        return self.actor.broadcasts and (self.critic is None or self.critic.broadcasts)

    def bind(self) -> BoundPolicy:
        """Compute everything that depends only on the parameters."""
        critics = () if self.critic is None else (self.critic.bind(),)
        return BoundPolicy(self.actor.bind(), dict(self.head.named_parameters()), critics)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def transition_input(
        self,
        observation: Float[Tensor, "*lanes obs"],
        action: Shaped[Tensor, "..."],
        reward: Float[Tensor, "*lanes"],
        ended: Bool[Tensor, "*lanes"],
    ) -> Float[Tensor, "*lanes transition"]:
        """Encode the last transition as inputs.

        The inputs are the previous observation (if `use_previous_observation`), the action (one-hot if discrete,
        unchanged otherwise), the reward, and 1 at the end of an episode. `action` has one more axis if it is
        continuous.
        """
        previous = [self.normalised(observation)] if self.use_previous_observation else []
        action_input = F.one_hot(action, self.head.n_outputs).to(reward.dtype) if self._discrete else action
        return torch.cat([*previous, action_input, reward.unsqueeze(-1), ended.to(reward.dtype).unsqueeze(-1)], dim=-1)

    def initial_transition_input(self, *shape: int) -> Float[Tensor, "*lanes transition"]:
        """Encode the first step of a trial: no action, no reward, as if an episode had ended."""
        width = self.use_previous_observation * len(self.scale) + self.head.n_outputs + 2
        transition_input = self.scale.new_zeros(*shape, width)
        transition_input[..., -1] = 1
        return transition_input

    @property
    def _discrete(self) -> bool:
        return isinstance(self.head, Categorical)

    # --- outputs -----------------------------------------------------------------------------------------------------

    def act(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
        mask: Bool[Tensor, "*tasks batch act"] | None,
    ) -> tuple[Distribution, Float[Tensor, "*tasks batch memory"]]:
        """Return the distribution over actions and the actor's next memory; the critic is not evaluated.

        `mask` is the result of `action_mask` for the observations in the inputs.
        """
        outputs, memory = self.actor.step(bound.actor, inputs, memory)
        return self._distribution(bound, outputs, mask), memory

    def unroll(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "time *tasks batch input"],
        mask: Bool[Tensor, "time *tasks batch act"] | None,
        truncation: int = 0,
    ) -> Outputs:
        """Return distributions, values and predicted rewards for whole trials.

        See `act` and `RecurrentNetwork.unroll`.
        """
        outputs = self.actor.unroll(bound.actor, inputs, truncation)
        distribution, n_head = self._distribution(bound, outputs, mask), self.head.n_outputs
        reward_outputs = outputs[..., n_head : n_head + self.n_reward_outputs]
        if self.critic is not None:
            (critic,) = bound.critics
            outputs = self.critic.unroll(critic, inputs, truncation)
        return Outputs(distribution, outputs[..., -1], reward_outputs)

    def draw(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
        uniform: Float[Tensor, "*tasks batch noise"] | None,
        mask: Bool[Tensor, "*tasks batch act"] | None = None,
    ) -> tuple[Tensor, Float[Tensor, "*tasks batch memory"]]:
        """Draw actions with uniform numbers in [0, 1), or take the most likely ones; return them and the next memory.

        See `act`.
        """
        distribution, memory = self.act(bound, inputs, memory, mask)
        noise = inputs.new_zeros(*inputs.shape[:-1], self.n_noise) if uniform is None else self.head.noise(uniform)
        return self.head.sample(distribution, noise), memory

    def evaluate(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "time *tasks batch input"],
        action: Tensor,
        mask: Bool[Tensor, "time *tasks batch act"] | None = None,
        truncation: int = 0,
    ) -> Outputs:
        """Return `unroll`: the distributions of whole trials do not depend on the actions, which are inputs already."""
        return self.unroll(bound, inputs, mask, truncation)

    def expected_reward(
        self, reward_outputs: Float[Tensor, "*lanes reward_output"], action: Tensor
    ) -> Float[Tensor, "*lanes"]:
        """Predict the rewards of these actions: one output per discrete action, or linear in a continuous action."""
        if self._discrete:
            return reward_outputs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return reward_outputs[..., 0] + (reward_outputs[..., 1:] * action).sum(-1)

    def _distribution(self, bound: BoundPolicy, outputs: Tensor, mask: Tensor | None) -> Distribution:
        return self.head.distribution(bound.head, mask_logits(outputs[..., : self.head.n_outputs], mask))


def n_reward_outputs(head: Categorical | Gaussian) -> int:
    """Return the number of outputs that predict rewards; see `RecurrentPolicy.expected_reward`."""
    return head.n_outputs + isinstance(head, Gaussian)


def make_recurrent_policy(
    model: object,
    model_config: object,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    trial_steps: int,
    shared: bool = False,
    use_previous_observation: bool = False,
    predict_reward: bool = False,
    bilinear: bool = False,
    observation_scale: Float[Tensor, " obs"] | None = None,
    invalid_action_slice: slice | None = None,
    config: PolicyConfig | None = None,
    generator: torch.Generator | None = None,
) -> RecurrentPolicy:
    """Build a recurrent policy for these spaces with the features of a recurrent model: a name or an object.

    `model_config`: as for `qrl.policies.policy.make_policy`. `trial_steps`: length of the longest trial. `shared`:
    actor and critic share one memory. `use_previous_observation`: the last observation is an additional input.
    `predict_reward`: the actor predicts rewards. `bilinear`: the read-out's weights are linear in the normalised
    observation. `observation_scale`: typical magnitudes [obs], 1 if not given. `invalid_action_slice`: see
    `qrl.policies.actor.Actor`. Raises UsageError for spaces that no head or model supports, and for a model without a
    memory.
    """
    generator = generator or torch.Generator().manual_seed(0)
    config = config or PolicyConfig()
    n_observed = n_observations(observation_space)
    head = make_head(action_space, config)
    n_head = sum(parameter.numel() for parameter in head.parameters())
    n_inputs = (1 + use_previous_observation) * n_observed + head.n_outputs + 2
    scale = torch.ones(n_observed) if observation_scale is None else observation_scale

    def network(n_outputs: int, n_head: int) -> RecurrentNetwork:
        frame = Frame(n_inputs, n_outputs, n_head, trial_steps, bilinear * n_observed, config.readout_bias)
        features = build_features(model, model_config, frame, generator, memory=True)
        return RecurrentNetwork(features, n_outputs, config, generator, frame.n_bilinear)

    with wrap_errors(f"model {name_of(model)!r}"):
        actor = network(head.n_outputs + predict_reward * n_reward_outputs(head) + shared, n_head)
        critic = None if shared else network(1, 0)
        policy = RecurrentPolicy(
            actor, critic, head, action_space, scale, config, use_previous_observation, predict_reward
        )
        policy.invalid_action_slice = invalid_action_slice
        _test_run(policy, n_inputs)
    return policy


def _test_run(policy: RecurrentPolicy, n_inputs: int) -> None:
    """Run a policy as training does, on two lanes, so that mismatches surface immediately."""
    features = policy.actor.features
    returned = features(torch.zeros(2, n_inputs), torch.zeros(2, policy.actor.n_memory))
    expected = [(2, policy.actor.features.n_features), (2, policy.actor.n_memory)]
    if not isinstance(returned, tuple) or [tuple(each.shape) for each in returned] != expected:
        shapes = [tuple(each.shape) for each in returned] if isinstance(returned, tuple) else type(returned).__name__
        raise UsageError(f"model: features and memory of 2 lanes should have shapes {expected}, found {shapes}")
    mask = policy.action_mask(torch.zeros(2, 2, len(policy.scale)))
    policy.unroll(policy.bind(), torch.zeros(2, 2, n_inputs), mask)
