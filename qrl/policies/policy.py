"""Policy: observation -> distribution over actions, around any feature model.

    normalise -> features phi (a model file) -> linear read-out -> head

A policy is an ordinary `nn.Module` for one task. Its parameters as values, `dict(policy.named_parameters())`, go
through `bind(policy, params)`, which computes all that depends on no observation, then `policy.distribution`.
"""

from functools import partial
from typing import Any

import gymnasium
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

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

Params = dict[str, Tensor]


class Policy(Actor):
    """Use `make_policy`, which builds the features too; see `qrl.policies.features` for what those are."""

    features: nn.Module

    def __init__(
        self,
        features: nn.Module,
        head: Categorical | Gaussian,
        action_space: gymnasium.Space[Any],
        observation_scale: Float[Tensor, " obs"],
        config: PolicyConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__({"features": features}, head, action_space, observation_scale, config)
        self.readout = make_readout(int(features.n_features), head.n_outputs, config, generator)  # type: ignore[arg-type]

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""
        return groups_of(self, self.features)

    def bind(self) -> Bound:
        """Everything that depends on the parameters alone."""
        head = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        return bind_network(self.features, self.readout) | head

    def distribution(self, bound: Bound, observations: Float[Tensor, "batch obs"]) -> Distribution:
        """Distribution over actions with bound parameters. Raises UsageError for observations of another width."""
        outputs = read_out(bound, bound_features(self.features, bound)(self.normalised(observations)))
        return self.head.distribution(part(bound, "head."), mask_logits(outputs, self.action_mask(observations)))

    def forward(self, observations: Float[Tensor, "batch obs"]) -> Distribution:
        return self.distribution(self.bind(), observations)


class _Binder(nn.Module):
    """Gives `functional_call`, which only calls `forward`, a way to `bind`."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self) -> Bound:
        bound: Bound = self.policy.bind()  # type: ignore[operator]
        return bound


def bind(policy: nn.Module, params: Params) -> Bound:
    """`policy.bind()` with other parameter values; pure, so `vmap` maps it over tasks."""
    bound: Bound = functional_call(_Binder(policy), {f"policy.{name}": value for name, value in params.items()}, ())
    return bound


def make_policy(
    model: str,
    model_config: Any,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    observation_scale: Float[Tensor, " obs"] | None = None,
    unavailable: slice | None = None,
    config: PolicyConfig | None = None,
    generator: torch.Generator | None = None,
) -> Policy:
    """A policy for these spaces with the features of a model file (a name, see `qrl.common.registry`).

    `observation_scale`: typical magnitudes [obs], 1 if not given. `unavailable`: see `qrl.policies.actor.Actor`. Raises
    UsageError for spaces that no head or model here can serve.
    """
    generator = generator or torch.Generator().manual_seed(0)
    config = config or PolicyConfig()
    n_inputs = n_observations(observation_space)
    head = make_head(action_space, config)
    n_head = sum(parameter.numel() for parameter in head.parameters())
    scale = torch.ones(n_inputs) if observation_scale is None else observation_scale
    try:
        frame = Frame(n_inputs, head.n_outputs, n_head, bias=config.readout_bias)
        features = build_features(model, model_config, frame, generator, memory=False)
        policy = Policy(features, head, action_space, scale, config, generator)
        policy.unavailable = unavailable
        _try_out(policy)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # a model may be anybody's code; what it raises is a defect of its file
        raise UsageError(f"model {model!r}: {describe(error)}") from error
    return policy


def _try_out(policy: Policy) -> None:
    """Use a policy as training will, on two observations of one task, so that a misfit shows at once."""
    observations = torch.zeros(2, len(policy.scale))
    features = policy.features(policy.normalised(observations))
    expected = (2, policy.readout.in_features)
    if not isinstance(features, Tensor) or tuple(features.shape) != expected:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UsageError(f"model: features of 2 observations should have shape {expected}, found {found}")
    params = {name: p.detach()[None] for name, p in policy.named_parameters()}
    vmap(policy.distribution)(vmap(partial(bind, policy))(params), observations[None])
