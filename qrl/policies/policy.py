"""Policy: observation -> distribution over actions, around any feature model.

    normalise -> features phi (a model file) -> linear read-out -> head

A policy is an ordinary `nn.Module` for one task. To use its parameters as values, pass
`dict(policy.named_parameters())` to `bind(policy, params)`, which computes everything that depends on no observation;
then call `policy.distribution`. Parameters and observations of several tasks have leading axes.
"""

from functools import partial
from typing import Any, ClassVar

import gymnasium
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

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
    Features,
    FunctionalFeatures,
    build_features,
    learning_rate_groups,
    make_readout,
    mapped,
    n_task_axes,
    read_out,
)
from qrl.policies.frame import Frame
from qrl.policies.heads import Categorical, Distribution, Gaussian

Params = dict[str, Tensor]
"""Parameters as values, keyed by their names in a module."""


class Policy(Actor):
    """Feed-forward policy; `make_policy` also builds its features (`qrl.policies.features`)."""

    features: nn.Module
    head: Categorical | Gaussian
    n_memory: ClassVar[int] = 0
    """Width of the memory within an episode: a feed-forward policy has none."""

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
        assert isinstance(features, Features)
        self.readout = make_readout(features.n_features, head.n_outputs, config, generator)
        self._functional = FunctionalFeatures[Tensor](features)

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""
        return learning_rate_groups(self, self.features)

    def bind(self) -> BoundPolicy:
        """Compute everything that depends only on the parameters."""
        actor = BoundNetwork(self._functional.bind(), dict(self.readout.named_parameters()))
        return BoundPolicy(actor, dict(self.head.named_parameters()))

    @property
    def broadcasts(self) -> bool:
        return self._functional.broadcasts

    def distribution(self, bound: BoundPolicy, observations: Float[Tensor, "*tasks batch obs"]) -> Distribution:
        """Return the distribution over actions for bound parameters, with the leading axes of those parameters.

        Raises UsageError for observations of the wrong width.
        """
        actor = bound.actor
        features = self._functional.run(actor.features, n_task_axes(actor.readout), self.normalised(observations))
        outputs = mask_logits(read_out(actor.readout, features), self.action_mask(observations))
        return self.head.distribution(bound.head, outputs)

    def draw(
        self,
        bound: BoundPolicy,
        observations: Float[Tensor, "*tasks batch obs"],
        memory: Float[Tensor, "... 0"],
        uniform: Float[Tensor, "*tasks batch noise"] | None,
    ) -> tuple[Tensor, Float[Tensor, "... 0"]]:
        """Draw actions with uniform numbers in [0, 1), or take the most likely ones.

        The memory has width 0 and is returned as it is, so that any number of observations can be given.
        """
        if uniform is None:
            noise = observations.new_zeros(*observations.shape[:-1], self.head.n_noise)
        else:
            noise = self.head.noise(uniform)
        return self.head.sample(self.distribution(bound, observations), noise), memory

    def episodes(
        self, bound: BoundPolicy, observation: Float[Tensor, "*tasks time env obs"], action: Tensor
    ) -> Distribution:
        """Return the distributions over actions at all steps of episodes [*tasks, time * env, ...]."""
        return self.distribution(bound, observation.flatten(-3, -2))

    def forward(self, observations: Float[Tensor, "batch obs"]) -> Distribution:
        return self.distribution(self.bind(), observations)


class _Binder(nn.Module):
    """Wrapper that lets `functional_call`, which only calls `forward`, call `bind`."""

    def __init__(self, policy: Actor) -> None:
        super().__init__()
        self.policy = policy

    def forward(self) -> BoundPolicy:
        return self.policy.bind()


def bind(policy: Actor, params: Params) -> BoundPolicy:
    """Evaluate `policy.bind()` with other parameter values, which may have leading task axes.

    The function is pure: derivatives are taken by `torch.func` transforms, and mapped over tasks by `vmap`.
    """
    name, value = next(iter(params.items()))
    n_axes = 0 if policy.broadcasts else value.ndim - policy.get_parameter(name).ndim
    return mapped(partial(_bind, policy), n_axes)(params)


def _bind(policy: Actor, params: Params) -> BoundPolicy:
    return functional_call(_Binder(policy), {f"policy.{name}": value for name, value in params.items()}, ())


def make_policy(
    model: object,
    model_config: object,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    observation_scale: Float[Tensor, " obs"] | None = None,
    invalid_action_slice: slice | None = None,
    config: PolicyConfig | None = None,
    generator: torch.Generator | None = None,
) -> Policy:
    """Build a policy for these spaces with the features of a model: a name (see `qrl.common.registry`) or an object.

    `model_config`: the model's Config, a mapping of its options, or None for the defaults. `observation_scale`: typical
    magnitudes [obs], 1 if not given. `invalid_action_slice`: see `qrl.policies.actor.Actor`. Raises UsageError for
    spaces that no head or model supports.
    """
    generator = generator or torch.Generator().manual_seed(0)
    config = config or PolicyConfig()
    n_inputs = n_observations(observation_space)
    head = make_head(action_space, config)
    n_head = sum(parameter.numel() for parameter in head.parameters())
    scale = torch.ones(n_inputs) if observation_scale is None else observation_scale
    with wrap_errors(f"model {name_of(model)!r}"):
        frame = Frame(n_inputs, head.n_outputs, n_head, bias=config.readout_bias)
        features = build_features(model, model_config, frame, generator, memory=False)
        policy = Policy(features, head, action_space, scale, config, generator)
        policy.invalid_action_slice = invalid_action_slice
        _test_run(policy)
    return policy


def _test_run(policy: Policy) -> None:
    """Run a policy as training does, on two observations of one task, so that mismatches surface immediately."""
    observations = torch.zeros(2, len(policy.scale))
    features = policy.features(policy.normalised(observations))
    expected = (2, policy.readout.in_features)
    if not isinstance(features, Tensor) or tuple(features.shape) != expected:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UsageError(f"model: features of 2 observations should have shape {expected}, found {found}")
    params = {name: p.detach()[None] for name, p in policy.named_parameters()}
    vmap(policy.distribution)(vmap(partial(bind, policy))(params), observations[None])  # as updates do
    policy.distribution(bind(policy, params), observations[None])  # as rollouts do
