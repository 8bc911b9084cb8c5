"""Common base of feed-forward and recurrent policies: normalised observations, a head, action units."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import gymnasium
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError
from qrl.common.options import check_literals
from qrl.policies.heads import Categorical, Gaussian, Head
from qrl.policies.spaces import action_units


class BoundNetwork(NamedTuple):
    """Bound network: everything that depends only on the parameters; a pytree."""

    features: object
    readout: dict[str, Tensor]
    """Parameters of the read-out of the features; empty if there is none."""


class BoundPolicy(NamedTuple):
    """Bound policy: everything that depends only on the parameters; a pytree, so it passes through `vmap`."""

    actor: BoundNetwork
    head: dict[str, Tensor]
    critics: tuple[BoundNetwork, ...] = ()
    """One critic; empty without a critic, or if actor and critic share a network."""


@dataclass(frozen=True)
class PolicyConfig:
    """Options of the policy around the features."""

    head: Literal["auto", "categorical", "gaussian"] = "auto"
    """Distribution over actions; auto (ours): categorical for discrete action spaces, Gaussian for continuous ones."""
    normalisation: Literal["scale", "running", "none"] = "scale"
    """Inputs: divided by the environment's typical magnitudes (ours), standardised by running statistics, or raw."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of a Gaussian head [log of half the action range]; 0: Finn et al. 2017."""
    readout_gain: float = 1.0
    """Initial read-out weights are uniform in +- gain / sqrt(number of features) [dimensionless]; ours."""
    readout_start: Literal["uniform", "alternating"] = "uniform"
    """Initial read-out weights: uniform, or gain times +1 and -1 by turns (Jerbi et al. 2021)."""
    readout_bias: bool = True
    """Read-out with a bias for each output (ours); Jerbi et al. 2021 use none."""
    inverse_temperature: Literal["trainable", "fixed"] = "trainable"
    """beta of a categorical head; fixed: 1."""  # Trainable by default; read-out weights can express the same scale.

    def __post_init__(self) -> None:
        if not math.isfinite(self.initial_log_std):
            raise UsageError(f"policy: initial_log_std must be finite, not {self.initial_log_std}")
        if not (math.isfinite(self.readout_gain) and self.readout_gain >= 0):
            raise UsageError(f"policy: readout_gain must be finite and not negative, not {self.readout_gain}")
        check_literals(self, "policy")


MASKED_LOGIT = -1e6
"""Logit of an action that cannot be taken: its probability is zero, its log-probability still finite."""


def mask_logits(
    outputs: Float[Tensor, "*batch act"], mask: Bool[Tensor, "*batch act"] | None
) -> Float[Tensor, "*batch act"]:
    """Replace outputs by `MASKED_LOGIT` where the mask is False.

    This is invalid action masking (Huang and Ontañón 2022).
    """
    return outputs if mask is None else torch.where(mask, outputs, MASKED_LOGIT)


class Actor(nn.Module, ABC):
    """Abstract base class of policies; holds the head and `networks`, by name.

    `invalid_action_slice`: slice of the observation with one entry per discrete action, 1 if the action is invalid (it
    cannot be taken now) and 0 otherwise; None if every action is always valid. `action_mask` is the opposite: True for
    valid actions.
    """

    invalid_action_slice: slice | None = None

    head: Head
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
        networks: dict[str, nn.Module],
        head: Head,
        action_space: gymnasium.Space[Any],
        observation_scale: Float[Tensor, " obs"],
        config: PolicyConfig,
    ) -> None:
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)
        self.head, self.normalisation = head, config.normalisation
        scale = observation_scale.float()
        self.register_buffer("shift", torch.zeros_like(scale))
        self.register_buffer("scale", scale.clone() if config.normalisation == "scale" else torch.ones_like(scale))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(len(scale), dtype=torch.float64))
        for name, value in action_units(action_space).items():
            self.register_buffer(f"action_{name}", value, persistent=False)

    @property
    @abstractmethod
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles" (and hidden weights), "scales" or "heads"."""

    @property
    @abstractmethod
    def broadcasts(self) -> bool:
        """Whether `bind` accepts parameters with leading task axes."""

    @abstractmethod
    def bind(self) -> BoundPolicy:
        """Compute everything that depends only on the parameters."""

    @property
    def n_noise(self) -> int:
        """Number of uniform numbers that draw an action."""
        return self.head.n_noise

    def no_action(self, *lanes: int) -> Tensor:
        """Return actions that stand for none, where only shapes matter."""
        return torch.zeros(lanes, dtype=torch.int64, device=next(self.parameters()).device)

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def normalised(self, observations: Float[Tensor, "*batch obs"]) -> Float[Tensor, "*batch obs"]:
        """Normalise observations for the network. Raises UsageError for observations of the wrong width."""
        if observations.shape[-1] != len(self.scale):
            raise UsageError(f"policy: observations have {observations.shape[-1]} entries, expected {len(self.scale)}")
        return (observations - self.shift) / self.scale

    def inputs(
        self, observation: Float[Tensor, "*lanes obs"], transition_input: Float[Tensor, "*lanes transition"]
    ) -> Float[Tensor, "*lanes input"]:
        """Concatenate the inputs of a step of a trial. Raises UsageError for observations of the wrong width."""
        return torch.cat([self.normalised(observation), transition_input], dim=-1)

    def action_mask(self, observations: Float[Tensor, "*batch obs"]) -> Bool[Tensor, "*batch act"] | None:
        """Return True for each discrete action that can be taken; None if every action is always valid."""
        return None if self.invalid_action_slice is None else observations[..., self.invalid_action_slice] <= 0.5

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the head's action to environment units: rescaled and clipped to the bounds if continuous."""
        if isinstance(self.head, Categorical):
            return action
        return torch.clamp(self.action_centre + self.action_half * action, self.action_low, self.action_high)

    def update_normalisation(self, observations: Float[Tensor, "sample obs"]) -> None:
        """Update the running statistics with these observations, if the policy keeps any."""
        if self.normalisation == "running" and len(observations):
            self.update_statistics(Observed.of(observations))

    @torch.no_grad()
    def update_statistics(self, observed: "Observed") -> None:
        """Update the running statistics of the normalisation (Chan et al. 1979)."""
        n, mean, squares = observed
        total, delta = self.count + n, mean - self.shift.double()
        self.squares += squares + delta.square() * self.count * n / total
        self.shift += (delta * n / total).to(self.shift.dtype)
        self.count.copy_(total)
        self.scale.copy_((self.squares / total).sqrt().clamp_min(1e-6))


class Observed(NamedTuple):
    """Statistics of observations, in double precision."""

    n: Float[Tensor, ""]
    """Number of observations."""
    mean: Float[Tensor, " obs"]
    squares: Float[Tensor, " obs"]
    """Sum of the squared deviations from the mean."""

    @classmethod
    def of(cls, observations: Float[Tensor, "sample obs"]) -> "Observed":
        """Return the statistics of observations; the mean of none is 0."""
        batch = observations.double()
        n = batch.new_tensor(float(len(batch)))
        mean = batch.mean(0) if len(batch) else batch.new_zeros(batch.shape[-1])
        return cls(n, mean, (batch - mean).square().sum(0))

    def merged(self, other: "Observed") -> "Observed":
        """Return the statistics of the observations of both (Chan et al. 1979)."""
        n = self.n + other.n
        share, delta = other.n / n.clamp_min(1), other.mean - self.mean
        squares = self.squares + other.squares + delta.square() * self.n * share
        return Observed(n, self.mean + delta * share, squares)


def make_head(action_space: gymnasium.Space[Any], config: PolicyConfig) -> Categorical | Gaussian:
    """Build the head for an action space. Raises UsageError if no head supports the space."""
    head: Categorical | Gaussian
    if isinstance(action_space, gymnasium.spaces.Discrete):
        if action_space.start != 0:
            raise UsageError(f"policy: discrete actions must start at 0, found {action_space}")
        head = Categorical(int(action_space.n), config.inverse_temperature == "trainable")
    elif isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1:
        if config.inverse_temperature != "trainable":
            raise UsageError(f"policy: inverse_temperature applies to discrete actions only, not to {action_space}")
        head = Gaussian(action_space.shape[0], config.initial_log_std)
    else:
        raise UsageError(f"policy: actions must be Discrete or a vector (a Box of one axis), not {action_space}")
    if config.head not in ("auto", head.name):
        raise UsageError(f"policy: a {config.head} head does not fit the action space {action_space}; use {head.name}")
    return head


def n_observations(space: gymnasium.Space[Any]) -> int:
    """Return the number of entries of an observation. Raises UsageError for a space that is not a vector of numbers."""
    if isinstance(space, Registers):
        raise UsageError(
            "policy: observations are registers of qubits, whose amplitudes no agent can read; use a model that acts "
            "on registers, such as coherent, with an agent that can train it, such as rl2 or maml"
        )
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise UsageError(f"policy: observations must be a vector (a Box of one axis), not {space}")
    return space.shape[0]
