"""Policy: observation -> distribution over actions, around any feature model.

    normalise -> features phi (a model file) -> linear read-out -> head

A policy is an ordinary `nn.Module` for one task. Its parameters as values, `dict(policy.named_parameters())`, go
through `bind(policy, params)`, which computes all that depends on no observation, then `policy.distribution`.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gymnasium
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from qrl.errors import UsageError, describe
from qrl.frame import Frame
from qrl.heads import Categorical, Distribution, Gaussian
from qrl.plugins import load
from qrl.spaces import action_units

Params = dict[str, Tensor]
Bound = dict[str, Tensor]


@dataclass(frozen=True)
class PolicyConfig:
    """Options of everything around the features."""

    head: Literal["auto", "categorical", "gaussian"] = "auto"
    """Distribution over actions; auto (ours): categorical for discrete action spaces, Gaussian for continuous ones."""
    normalisation: Literal["scale", "running", "none"] = "scale"
    """Inputs: divided by the environment's typical magnitudes (ours), standardised by running statistics, or as is."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of a Gaussian head [log of half the action range]; 0: Finn et al. 2017."""
    readout_gain: float = 1.0
    """Initial read-out weights are uniform in +- gain / sqrt(number of features) [dimensionless]; ours."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.initial_log_std):
            raise UsageError(f"policy: initial_log_std must be finite, not {self.initial_log_std}")
        if not (math.isfinite(self.readout_gain) and self.readout_gain >= 0):
            raise UsageError(f"policy: readout_gain must be finite and not negative, not {self.readout_gain}")


class Policy(nn.Module):
    """Use `make_policy`, which builds the features too.

    `features` is any module [batch, n_inputs] -> [batch, n_features] with an attribute `n_features`. It may offer
    `bind()` and `run(bound, inputs)` to separate what depends on parameters alone, and `groups`, its parameters'
    learning-rate groups ("angles" unless named).
    """

    shift: Tensor
    scale: Tensor
    count: Tensor
    squares: Tensor
    action_low: Tensor
    action_high: Tensor
    action_centre: Tensor
    action_half: Tensor

    def __init__(
        self,
        features: nn.Module,
        head: Categorical | Gaussian,
        action_space: gymnasium.Space[Any],
        observation_scale: Float[Tensor, " obs"],
        config: PolicyConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.features, self.head, self.normalisation = features, head, config.normalisation
        if not isinstance(features, nn.Module) or not isinstance(getattr(features, "n_features", None), int):
            raise UsageError(f"model: expected an nn.Module with an int n_features, not {type(features).__name__}")
        n_features = int(features.n_features)  # type: ignore[arg-type]
        self.readout = nn.Linear(n_features, head.n_outputs)
        bound = config.readout_gain / math.sqrt(n_features)
        nn.init.uniform_(self.readout.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.readout.bias)
        scale = observation_scale.float()
        self.register_buffer("shift", torch.zeros_like(scale))
        self.register_buffer("scale", scale.clone() if config.normalisation == "scale" else torch.ones_like(scale))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(len(scale), dtype=torch.float64))
        for name, value in action_units(action_space).items():
            self.register_buffer(f"action_{name}", value, persistent=False)

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""
        own = getattr(self.features, "groups", {})
        return {
            name: own.get(name.removeprefix("features."), "angles") if name.startswith("features.") else "heads"
            for name, _ in self.named_parameters()
        }

    @property
    def n_parameters(self) -> int:
        """Trainable numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def bind(self) -> Bound:
        """Everything that depends on the parameters alone."""
        if hasattr(self.features, "bind"):
            features: Bound = self.features.bind()  # type: ignore[operator]
        else:
            features = dict(self.features.named_parameters())
        outer = {"readout.weight": self.readout.weight, "readout.bias": self.readout.bias}
        outer |= {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        return outer | {f"features.{name}": tensor for name, tensor in features.items()}

    def distribution(self, bound: Bound, observations: Float[Tensor, "batch obs"]) -> Distribution:
        """Distribution over actions with bound parameters. Raises UsageError for observations of another width."""
        if observations.shape[-1] != len(self.scale):
            raise UsageError(f"policy: observations have {observations.shape[-1]} entries, expected {len(self.scale)}")
        inputs = (observations - self.shift) / self.scale
        own = {name.removeprefix("features."): t for name, t in bound.items() if name.startswith("features.")}
        if hasattr(self.features, "bind"):
            features = self.features.run(own, inputs)  # type: ignore[operator]
        else:
            features = functional_call(self.features, own, (inputs,))
        outputs = features @ bound["readout.weight"].mT + bound["readout.bias"]
        return self.head.distribution({n.removeprefix("head."): t for n, t in bound.items()}, outputs)

    def forward(self, observations: Float[Tensor, "batch obs"]) -> Distribution:
        return self.distribution(self.bind(), observations)

    def to_environment(self, action: Tensor) -> Tensor:
        """The head's action as the environment's: rescaled and clipped to the bounds if continuous."""
        if isinstance(self.head, Categorical):
            return action
        return torch.clamp(self.action_centre + self.action_half * action, self.action_low, self.action_high)

    @torch.no_grad()
    def update_normalisation(self, observations: Float[Tensor, "sample obs"]) -> None:
        """Take observations into the running statistics (Chan et al. 1979), if the policy keeps any."""
        if self.normalisation != "running" or not len(observations):
            return
        new = observations.double()
        n, mean = float(len(new)), new.mean(0)
        total, delta = self.count + n, mean - self.shift.double()
        self.squares += (new - mean).square().sum(0) + delta.square() * self.count * n / total
        self.shift += (delta * n / total).to(self.shift.dtype)
        self.count.copy_(total)
        self.scale.copy_((self.squares / total).sqrt().clamp_min(1e-6))


class _Binder(nn.Module):
    """Gives `functional_call`, which only calls `forward`, a way to `Policy.bind`."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self) -> Bound:
        return self.policy.bind()


def bind(policy: Policy, params: Params) -> Bound:
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
    config: PolicyConfig = PolicyConfig(),
    generator: torch.Generator | None = None,
) -> Policy:
    """A policy for these spaces with the features of a model file (a name, see `qrl.plugins`).

    `observation_scale`: typical magnitudes [obs], 1 if not given. Raises UsageError for spaces that no head or model
    here can serve.
    """
    generator = generator or torch.Generator().manual_seed(0)
    if not isinstance(observation_space, gymnasium.spaces.Box) or len(observation_space.shape) != 1:
        raise UsageError(f"policy: observations must be a vector (a Box of one axis), not {observation_space}")
    head = _head(action_space, config)
    n_inputs = observation_space.shape[0]
    n_head = sum(parameter.numel() for parameter in head.parameters())
    scale = torch.ones(n_inputs) if observation_scale is None else observation_scale
    try:
        features = load("models", model).build(model_config, Frame(n_inputs, head.n_outputs, n_head), generator)
        policy = Policy(features, head, action_space, scale, config, generator)
        _try_out(policy)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # a model may be anybody's code; what it raises is a defect of its file
        raise UsageError(f"model {model!r}: {describe(error)}") from error
    return policy


def _try_out(policy: Policy) -> None:
    """Use a policy as training will, on two observations of one task, so that a misfit shows at once."""
    observations = torch.zeros(2, len(policy.scale))
    features = policy.features((observations - policy.shift) / policy.scale)
    expected = (2, policy.readout.in_features)
    if not isinstance(features, Tensor) or tuple(features.shape) != expected:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UsageError(f"model: features of 2 observations should have shape {expected}, found {found}")
    params = {name: p.detach()[None] for name, p in policy.named_parameters()}
    vmap(policy.distribution)(vmap(partial(bind, policy))(params), observations[None])


def _head(action_space: gymnasium.Space[Any], config: PolicyConfig) -> Categorical | Gaussian:
    head: Categorical | Gaussian
    if isinstance(action_space, gymnasium.spaces.Discrete):
        if action_space.start != 0:
            raise UsageError(f"policy: discrete actions must start at 0, not as in {action_space}")
        head = Categorical(int(action_space.n))
    elif isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1:
        head = Gaussian(action_space.shape[0], config.initial_log_std)
    else:
        raise UsageError(f"policy: actions must be Discrete or a vector (a Box of one axis), not {action_space}")
    if config.head not in ("auto", head.name):
        raise UsageError(f"policy: a {config.head} head does not fit the action space {action_space}; use {head.name}")
    return head
