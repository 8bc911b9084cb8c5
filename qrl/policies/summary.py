"""Summary of a policy network in one line: parameters by group, circuits, input projection, engine."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from qrl.backends.backend import Backend, CircuitModule
from qrl.policies.features import LEARNING_RATE_GROUPS, GroupedFeatures


@runtime_checkable
class StackedCircuits(CircuitModule, Protocol):
    """Module with several equal circuits, or with a trainable matrix before its circuits."""

    @property
    def n_circuits(self) -> int:
        """Number of equal circuits."""

    @property
    def n_projected(self) -> int:
        """Number of inputs that a trainable matrix maps to the wires; 0: each input has its own encoding angles."""

    @property
    def n_projection_weights(self) -> int:
        """Number of entries of that matrix."""


@dataclass(frozen=True)
class CircuitSummary:
    """Size of a circuit of the policy."""

    count: int
    """Number of equal circuits."""
    n_wires: int
    depth: int
    """Number of moments."""


@dataclass(frozen=True)
class PolicySummary:
    """Size of a policy network, saved with a run and its evaluation."""

    n_parameters: int
    groups: dict[str, int]
    """Number of parameters in each learning-rate group."""
    circuits: tuple[CircuitSummary, ...]
    n_projected: int
    """Number of inputs that a trainable matrix maps to the wires; 0: each input has its own encoding angles."""
    engine: str
    """Backend of the circuits; empty without circuits."""
    n_projection_weights: int = 0
    """Number of entries of all trainable matrices that map inputs to circuits."""

    @classmethod
    def of(cls, policy: nn.Module, backend: Backend) -> "PolicySummary":
        """Return the summary of a policy whose circuits run on a backend."""
        sizes = {name: parameter.numel() for name, parameter in policy.named_parameters()}
        groups = policy.groups if isinstance(policy, GroupedFeatures) else {}
        counts = {
            rate: sum(size for name, size in sizes.items() if groups.get(name) == rate) for rate in LEARNING_RATE_GROUPS
        }
        layers = [module for module in policy.modules() if isinstance(module, CircuitModule)]
        specs: Counter[tuple[int, int]] = Counter()
        n_projected = n_projection_weights = 0
        for layer in layers:
            stacked = layer if isinstance(layer, StackedCircuits) else None
            specs[layer.circuit.n_wires, len(layer.circuit.moments)] += 1 if stacked is None else stacked.n_circuits
            if stacked is not None:
                n_projected = max(n_projected, stacked.n_projected)
                n_projection_weights += stacked.n_projection_weights
        return cls(
            sum(sizes.values()),
            {name: count for name, count in counts.items() if count},
            tuple(CircuitSummary(count, *spec) for spec, count in specs.items()),
            n_projected,
            f"{backend.name.partition(',')[0]}, {backend.precision}" if layers else "",
            n_projection_weights,
        )

    def __str__(self) -> str:
        """Format as one line, such as "64 parameters (40 angles, 12 scales, 12 heads); 4 wires, depth 14; torch"."""
        groups = ", ".join(f"{count} {name}" for name, count in self.groups.items()) if self.circuits else ""
        parts = [f"{self.n_parameters} parameters" + (f" ({groups})" if groups else "")]
        for circuit in self.circuits:
            several = f"{circuit.count} circuits of " if circuit.count > 1 else ""
            parts.append(f"{several}{circuit.n_wires} wires, depth {circuit.depth}")
        if self.n_projected:
            # A summary that an earlier version saved has no number of entries.
            size = f" of {self.n_projection_weights} parameters" if self.n_projection_weights else ""
            parts.append(f"{self.n_projected} inputs projected to those of the circuit by a trainable matrix{size}")
        return "; ".join([*parts, *([self.engine] if self.engine else [])])

    def to_json(self) -> dict[str, object]:
        """Return the summary as a JSON object."""
        return asdict(self)
