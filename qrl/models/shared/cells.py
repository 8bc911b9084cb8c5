"""Common parts of the recurrent models: sizes by a budget, and affine maps with a quantum circuit in the middle."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.backends.backend import Executor
from qrl.circuits.circuit import Circuit
from qrl.common.autocast import in_own_precision
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.layer import initial_weights
from qrl.models.shared.ansatz import QuantumConfig, reuploading_circuit
from qrl.policies.budget import Budget, canonical_budget, n_parameters_of
from qrl.policies.frame import MAX_BUDGET, Frame, check_size
from qrl.simulator.program import Bound, compile_circuit

MAX_SPAN = 10**9
"""Upper bound of `span` [steps]; larger values are rejected as typos."""


@dataclass(frozen=True)
class SpanConfig:
    """Option of a gated memory; in a class definition it must precede the other bases."""

    span: int = 0
    """Longest initial time constant of a memory unit [steps; 0 = the longest trial]. Time constants range from 2 to
    this value, set by the gates' biases (chrono initialisation, Tallec and Ollivier 2018; theirs are uniform, ours
    log-uniform, so that long trials have fast units, too). 2: no bias."""

    def __post_init__(self) -> None:
        if self.span != 0:
            check_count("model: span [steps], if not 0,", self.span, least=2, most=MAX_SPAN)
        if (following := getattr(super(), "__post_init__", None)) is not None:
            following()

    def keep_bias(self, n_hidden: int, frame: Frame, generator: Generator) -> Float[Tensor, " hidden"]:
        """Draw biases of the keep gate: with bias b a unit keeps 1 - 1 / time per step, time = 1 + exp(b)."""
        span = max(2, self.span or frame.trial_steps)
        return math.log(span - 1) * torch.rand(n_hidden, generator=generator)


@dataclass(frozen=True)
class CellConfig(SpanConfig):
    """Options of a classical recurrent network."""

    budget: Budget = 1000
    """Target size of the network, read-out included, if `n_hidden` is 0 [parameters], or like:NAME: that of the network
    with this model, such as like:qgru. Actor and critic have one network each unless `memories` are shared."""
    n_hidden: int = 0
    """Width of the memory [units]; 0: the width closest to the budget; ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "budget", canonical_budget(self.budget))  # frozen
        check_count("model: n_hidden", self.n_hidden, least=0, most=MAX_BUDGET)

    def width(self, frame: Frame, n_cell_parameters: Callable[[int], int]) -> int:
        """Return the width of the memory; `n_cell_parameters(width)` is the cell's number of parameters."""
        return self.n_hidden or frame.fit(
            n_parameters_of(self.budget, frame), lambda width: (width, n_cell_parameters(width))
        )


MAX_N_CIRCUITS = 100
"""Upper bound of `n_circuits`; larger values are rejected as typos."""


@dataclass(frozen=True)
class QuantumCellConfig(QuantumConfig):
    """Options of a recurrent network with circuits, as its gates or after its memory."""

    n_layers: int = 1
    """Encoding layers of each circuit [layers], with a variational layer before, between and after; ours."""
    n_hidden: int = 16
    """Width of the memory [units]; ours."""
    encoding: Literal["projection"] = "projection"
    """Encoding of the circuits' inputs: a trainable matrix maps them to one feature per wire."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding != "projection":
            raise UsageError(
                f"model: encoding must be projection for the circuits of a recurrent cell, not {self.encoding!r}"
            )
        check_count("model: n_hidden", self.n_hidden, most=MAX_BUDGET)


@dataclass(frozen=True)
class QuantumGatesConfig(QuantumCellConfig):
    """Options of a recurrent network whose gates are circuits."""

    n_circuits: int = 1
    """Parallel circuits in every gate [circuits]; ours. Per step, a gate reads and writes only `n_wires` numbers per
    circuit, so a memory that must distinguish many situations needs more circuits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("model: n_circuits", self.n_circuits, most=MAX_N_CIRCUITS)


class BoundMaps(NamedTuple):
    """Bound `QuantumMaps`: everything that depends only on parameters; a pytree."""

    circuits: Bound
    projection: Tensor
    expansion: Tensor
    bias: Tensor


class QuantumMaps(nn.Module):
    """`n_maps` maps [*tasks, batch, n_inputs] -> [*tasks, n_maps, batch, n_outputs], each affine around circuits.

        a projection to one feature per wire -> the circuits' expectation values -> a linear map with bias

    Every map has its own weights and its own `n_circuits` circuits. All circuits run side by side, in one batched call.
    The maps follow Chen, Yoo and Fang 2022 (Quantum long short-term memory), where the circuits stand alone and the
    memory is as wide as their wires. With a linear map on both sides the width of the memory is free, and gates can
    open and close although expectation values lie in [-1, 1].
    """

    def __init__(
        self, config: QuantumGatesConfig, n_maps: int, n_inputs: int, n_outputs: int, generator: Generator
    ) -> None:
        super().__init__()
        self.circuit = circuit = cell_circuit(config, config.n_wires)
        self.program: Executor = compile_circuit(circuit)
        self.n_maps = n_maps
        self.n_circuits = n_circuits = n_maps * config.n_circuits
        """Number of circuits of all maps together."""
        self.n_projected = n_inputs
        n_wires, n_values = circuit.n_inputs, circuit.n_observables * config.n_circuits
        check_size(n_circuits * n_wires * n_inputs + n_maps * n_values * n_outputs)
        self.projection = nn.Parameter(_uniform((n_circuits * n_wires, n_inputs), n_inputs, generator))
        weights = [initial_weights(circuit, config.initialisation, generator) for _ in range(n_circuits)]
        self.weights = nn.Parameter(torch.stack(weights))
        self.scales = nn.Parameter(torch.full((n_circuits, circuit.n_scales), config.initial_scale))
        self.expansion = nn.Parameter(_uniform((n_maps, n_values, n_outputs), n_values, generator))
        self.bias = nn.Parameter(torch.zeros(n_maps, 1, n_outputs))

    @property
    def n_projection_weights(self) -> int:
        """Number of entries of the matrix that maps inputs to the circuits."""
        return self.projection.numel()

    @in_own_precision
    def bind(self) -> BoundMaps:
        """Compute everything that depends only on the parameters."""
        circuits = self.program.bind(self.weights, self.scales)
        return BoundMaps(circuits, self.projection, self.expansion, self.bias)

    @in_own_precision
    def run(
        self, bound: BoundMaps, inputs: Float[Tensor, "*tasks batch input"]
    ) -> Float[Tensor, "*tasks map batch output"]:
        """Return the maps' outputs for bound parameters."""
        features = (inputs @ bound.projection.mT).unflatten(-1, (self.n_circuits, -1)).transpose(-3, -2)
        values = self.program.run(bound.circuits, features)
        if self.n_circuits > self.n_maps:
            values = values.unflatten(-3, (self.n_maps, -1)).transpose(-3, -2).flatten(-2)
        return values @ bound.expansion + bound.bias

    def forward(self, inputs: Float[Tensor, "batch input"]) -> Float[Tensor, "map batch output"]:
        return self.run(self.bind(), inputs)


QUANTUM_GROUPS = {
    "projection": "scales",
    "weights": "angles",
    "scales": "scales",
    "expansion": "heads",
    "bias": "heads",
}
"""Learning-rate groups of the parameters of `QuantumMaps`."""


def cell_circuit(config: QuantumCellConfig, n_inputs: int) -> Circuit:
    """Build the re-uploading circuit of a cell, one input feature per wire."""
    return reuploading_circuit(config, n_inputs, entangled=True)


def lstm_update(gates: Sequence[Tensor], cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden state and the new memory (h, c) of an LSTM.

    `gates` are the gates i, f, g, o before their nonlinearities.
    """
    input_gate, forget_gate, candidate, output_gate = gates
    cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
    hidden = torch.sigmoid(output_gate) * torch.tanh(cell)
    return hidden, torch.cat([hidden, cell], dim=-1)


def _uniform(shape: tuple[int, ...], n_inputs: int, generator: Generator) -> Tensor:
    """Draw uniform numbers in +- 1 / sqrt(n_inputs)."""
    return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(n_inputs)
