"""Recurrent policy: what was seen and what came of it, with a memory -> distribution over actions, value, memory.

    (normalised observation, last action, last reward, ended) -> features with a memory -> linear read-out -> head

as in RL^2 (Duan et al. 2016). As options, the last observation is an input, too; the read-out's weights are linear in
the observation; and it also predicts what each action will pay, for a loss beside that of reinforcement learning. The
memory is a value: passed in, returned, never kept on a module. Actor and critic have memories of their own, which is
what works better (Ni, Eysenbach and Salakhutdinov 2022, Recurrent model-free RL can be a strong baseline for many
POMDPs), or share one.
"""

from typing import Any, NamedTuple

import gymnasium
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from qrl.common.errors import UsageError, describe
from qrl.policies.actor import Actor, PolicyConfig, make_head, mask_logits, n_observations
from qrl.policies.features import (
    Bound,
    bind_network,
    bound_features,
    build_features,
    groups_of,
    make_readout,
    part,
    read_out,
)
from qrl.policies.frame import Frame
from qrl.policies.heads import Categorical, Distribution, Gaussian


class Network(nn.Module):
    """Features with a memory, and a linear read-out of them, or of them and their products with the first inputs."""

    def __init__(
        self, features: nn.Module, n_outputs: int, config: PolicyConfig, generator: torch.Generator, n_bilinear: int = 0
    ) -> None:
        super().__init__()
        self.features, self.n_bilinear = features, n_bilinear
        self.n_memory = int(features.n_memory)  # type: ignore[arg-type]
        n_read = int(features.n_features) * (1 + n_bilinear)  # type: ignore[arg-type]
        self.readout = make_readout(n_read, n_outputs, config, generator)

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter."""
        return groups_of(self, self.features)

    def bind(self) -> Bound:
        """Everything that depends on parameters alone."""
        return bind_network(self.features, self.readout)

    def step(
        self, bound: Bound, inputs: Float[Tensor, "batch input"], memory: Float[Tensor, "batch memory"]
    ) -> tuple[Float[Tensor, "batch output"], Float[Tensor, "batch memory"]]:
        """Outputs, and the memory after."""
        features, memory = bound_features(self.features, bound)(inputs, memory)
        return self._read(bound, inputs, features), memory

    def unroll(
        self, bound: Bound, inputs: Float[Tensor, "time batch input"], truncation: int = 0
    ) -> Float[Tensor, "time batch output"]:
        """Outputs of whole trials, from an empty memory on.

        With `truncation` no gradient goes from one stretch of so many steps to those before; 0: through the whole.
        """
        memory = inputs.new_zeros(inputs.shape[1], self.n_memory)
        step = bound_features(self.features, bound)
        rows = []
        for t, row in enumerate(inputs):
            if truncation and t % truncation == 0:
                memory = memory.detach()
            features, memory = step(row, memory)
            rows.append(features)
        return self._read(bound, inputs, torch.stack(rows))

    def _read(self, bound: Bound, inputs: Tensor, features: Tensor) -> Tensor:
        """The read-out's outputs."""
        if self.n_bilinear:
            products = inputs[..., : self.n_bilinear, None] * features.unsqueeze(-2)
            features = torch.cat([features, products.flatten(-2)], dim=-1)
        return read_out(bound, features)


class Outputs(NamedTuple):
    """What a recurrent policy says at every step of whole trials."""

    distribution: Distribution
    """Over actions, [time, batch, ...]."""
    value: Float[Tensor, "time batch"]
    payoffs: Float[Tensor, "time batch pay"]
    """What `expected_reward` goes by; of width 0 for a policy that does not predict rewards."""


class RecurrentPolicy(Actor):
    """Use `make_recurrent_policy`, which builds the features too; see `qrl.policies.features` for what those are."""

    actor: Network
    critic: Network | None

    def __init__(
        self,
        actor: Network,
        critic: Network | None,
        head: Categorical | Gaussian,
        action_space: gymnasium.Space[Any],
        observation_scale: Float[Tensor, " obs"],
        config: PolicyConfig,
        recalls: bool,
        predicts: bool,
    ) -> None:
        networks: dict[str, nn.Module] = {"actor": actor} if critic is None else {"actor": actor, "critic": critic}
        super().__init__(networks, head, action_space, observation_scale, config)
        if critic is None:
            self.critic = None
        self.recalls, self.n_payoffs = recalls, n_payoffs(head) if predicts else 0

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""
        networks = {"actor": self.actor} | ({} if self.critic is None else {"critic": self.critic})
        own = {f"{name}.{key}": group for name, net in networks.items() for key, group in net.groups.items()}
        return {name: own.get(name, "heads") for name, _ in self.named_parameters()}

    def bind(self) -> Bound:
        """Everything that depends on the parameters alone."""
        bound: Bound = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        bound |= {f"actor.{name}": tensor for name, tensor in self.actor.bind().items()}
        return bound if self.critic is None else bound | {f"critic.{n}": t for n, t in self.critic.bind().items()}

    # --- inputs ------------------------------------------------------------------------------------------------------

    def told(
        self,
        observation: Float[Tensor, "*lanes obs"],
        action: Shaped[Tensor, "..."],
        reward: Float[Tensor, "*lanes"],
        ended: Bool[Tensor, "*lanes"],
    ) -> Float[Tensor, "*lanes told"]:
        """The last step as inputs: the observation, of a policy that `recalls`, the action (one-hot, or as it is), the
        reward, 1 at an episode's end.

        `action` has one more axis if it is continuous.
        """
        seen = [self.normalised(observation)] if self.recalls else []
        taken = F.one_hot(action, self.head.n_outputs).to(reward.dtype) if self._discrete else action
        return torch.cat([*seen, taken, reward.unsqueeze(-1), ended.to(reward.dtype).unsqueeze(-1)], dim=-1)

    def told_nothing(self, *shape: int) -> Float[Tensor, "*lanes told"]:
        """The same at the first step of a trial: no action, no reward, as if an episode had ended."""
        told = self.scale.new_zeros(*shape, self.recalls * len(self.scale) + self.head.n_outputs + 2)
        told[..., -1] = 1
        return told

    @property
    def _discrete(self) -> bool:
        return isinstance(self.head, Categorical)

    def inputs(
        self, observation: Float[Tensor, "*lanes obs"], told: Float[Tensor, "*lanes told"]
    ) -> Float[Tensor, "*lanes input"]:
        """A step's inputs. Raises UsageError for observations of another width."""
        return torch.cat([self.normalised(observation), told], dim=-1)

    # --- outputs -----------------------------------------------------------------------------------------------------

    def act(
        self,
        bound: Bound,
        inputs: Float[Tensor, "batch input"],
        memory: Float[Tensor, "batch memory"],
        mask: Bool[Tensor, "batch act"] | None,
    ) -> tuple[Distribution, Float[Tensor, "batch memory"]]:
        """Distribution over actions, and the actor's memory after; the critic is not asked.

        `mask` is what `action_mask` gives for the observations in the inputs.
        """
        outputs, memory = self.actor.step(part(bound, "actor."), inputs, memory)
        return self._distribution(bound, outputs, mask), memory

    def unroll(
        self,
        bound: Bound,
        inputs: Float[Tensor, "time batch input"],
        mask: Bool[Tensor, "time batch act"] | None,
        truncation: int = 0,
    ) -> Outputs:
        """Distributions, values and predicted rewards in whole trials; see `act` and `Network.unroll`."""
        outputs = self.actor.unroll(part(bound, "actor."), inputs, truncation)
        distribution, n_head = self._distribution(bound, outputs, mask), self.head.n_outputs
        payoffs = outputs[..., n_head : n_head + self.n_payoffs]
        if self.critic is not None:
            outputs = self.critic.unroll(part(bound, "critic."), inputs, truncation)
        return Outputs(distribution, outputs[..., -1], payoffs)

    def expected_reward(self, payoffs: Float[Tensor, "*lanes pay"], action: Tensor) -> Float[Tensor, "*lanes"]:
        """Predicted rewards of these actions: one payoff for each discrete action, or linear in a continuous one."""
        if self._discrete:
            return payoffs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return payoffs[..., 0] + (payoffs[..., 1:] * action).sum(-1)

    def _distribution(self, bound: Bound, outputs: Tensor, mask: Tensor | None) -> Distribution:
        return self.head.distribution(part(bound, "head."), mask_logits(outputs[..., : self.head.n_outputs], mask))


def n_payoffs(head: Categorical | Gaussian) -> int:
    """Outputs that rewards are predicted by: see `RecurrentPolicy.expected_reward`."""
    return head.n_outputs + isinstance(head, Gaussian)


def make_recurrent_policy(
    model: str,
    model_config: Any,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    trial_steps: int,
    shared: bool = False,
    recalls: bool = False,
    predicts: bool = False,
    bilinear: bool = False,
    observation_scale: Float[Tensor, " obs"] | None = None,
    unavailable: slice | None = None,
    config: PolicyConfig | None = None,
    generator: torch.Generator | None = None,
) -> RecurrentPolicy:
    """A recurrent policy for these spaces with the features of a model file that has a memory (see
    `qrl.common.registry`).

    `trial_steps`: the longest trial. `shared`: actor and critic have one memory. `recalls`: the last
    observation is an input, too. `predicts`: the actor predicts rewards. `bilinear`: the read-out's weights are linear
    in the normalised observation. `observation_scale`: typical magnitudes [obs], 1 if not given. `unavailable`: see
    `qrl.policies.actor.Actor`. Raises UsageError for spaces that no head or model here can serve, and for a model
    without a memory.
    """
    generator = generator or torch.Generator().manual_seed(0)
    config = config or PolicyConfig()
    n_observed = n_observations(observation_space)
    head = make_head(action_space, config)
    n_head = sum(parameter.numel() for parameter in head.parameters())
    n_inputs = (1 + recalls) * n_observed + head.n_outputs + 2
    scale = torch.ones(n_observed) if observation_scale is None else observation_scale

    def network(n_outputs: int, n_head: int) -> Network:
        frame = Frame(n_inputs, n_outputs, n_head, trial_steps, bilinear * n_observed, config.readout_bias)
        features = build_features(model, model_config, frame, generator, memory=True)
        return Network(features, n_outputs, config, generator, frame.n_bilinear)

    try:
        actor = network(head.n_outputs + predicts * n_payoffs(head) + shared, n_head)
        critic = None if shared else network(1, 0)
        policy = RecurrentPolicy(actor, critic, head, action_space, scale, config, recalls, predicts)
        policy.unavailable = unavailable
        _try_out(policy, n_inputs)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # a model may be anybody's code; what it raises is a defect of its file
        raise UsageError(f"model {model!r}: {describe(error)}") from error
    return policy


def _try_out(policy: RecurrentPolicy, n_inputs: int) -> None:
    """Use a policy as training will, on two lanes, so that a misfit shows at once."""
    features = policy.actor.features
    returned = features(torch.zeros(2, n_inputs), torch.zeros(2, policy.actor.n_memory))
    expected = [(2, policy.actor.features.n_features), (2, policy.actor.n_memory)]
    if not isinstance(returned, tuple) or [tuple(each.shape) for each in returned] != expected:
        shapes = [tuple(each.shape) for each in returned] if isinstance(returned, tuple) else type(returned).__name__
        raise UsageError(f"model: features and memory of 2 lanes should have shapes {expected}, found {shapes}")
    mask = policy.action_mask(torch.zeros(2, 2, len(policy.scale)))
    policy.unroll(policy.bind(), torch.zeros(2, 2, n_inputs), mask)
