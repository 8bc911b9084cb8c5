"""Common parts of the quantum models: observables, entanglers, the re-uploading circuit and its options."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar, get_args

from torch import Generator

from qrl.circuits.angles import Input, Transform, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, suggest
from qrl.common.options import tunable
from qrl.layer import Encoding, Initialisation, QuantumLayer

MAX_N_WIRES = 100
"""Upper bound of `n_wires`; larger values are rejected as typos. The simulator's own bound is this machine's memory."""

MAX_N_LAYERS = 1000
"""Upper bound of `n_layers`; larger values are rejected as typos."""

Entangler = tuple[str, tuple[int, int]]
"""Name and wires of a two-wire gate; a rotation has its own weight."""

Observables = Literal["local", "global", "both"]


@dataclass(frozen=True)
class QuantumConfig:
    """Options of a layered quantum model."""

    OBSERVABLES: ClassVar[tuple[str, ...]] = get_args(Observables)

    n_wires: int = 4
    """Number of wires [qubits]; ours."""
    n_layers: int = 3
    """Encoding layers [layers], with a variational layer before, between and after (Perez-Salinas et al. 2020); 3:
    ours."""
    observables: Observables = "local"
    """local: Z on each wire (default: ours). global: Z on all wires at once (Meyer et al. 2023). both."""
    encoding: Literal["auto", Encoding] = "auto"
    """Encoding of inputs wider than the number of wires: cycle them over the layers, or project them by a trainable
    matrix to one feature per wire; auto: cycle, or project if there are more inputs than n_wires * n_layers (ours)."""
    transform: Transform = "identity"
    """g in the encoding angle g(scale * input) [rad]; tanh and arctan bound it (Skolik et al. 2022); identity: ours."""
    initialisation: Initialisation = "uniform"
    """Initial angles [rad]: uniform U[0, pi) (Jerbi et al. 2021) or small-angle Gaussian (Zhang et al. 2022)."""
    initial_scale: float = field(default=1.0, metadata=tunable(0.1, 3, log=True))
    """Initial input scales [rad per unit of normalised input] (Jerbi et al. 2021)."""

    def __post_init__(self) -> None:
        check_count("model: n_wires", self.n_wires, most=MAX_N_WIRES)
        check_count("model: n_layers", self.n_layers, most=MAX_N_LAYERS)
        if self.observables not in self.OBSERVABLES:
            hint = suggest(self.observables, self.OBSERVABLES)
            raise UsageError(f"model: unknown observables {self.observables!r}{hint}")
        if not abs(self.initial_scale) < float("inf"):
            raise UsageError(f"model: initial_scale must be a finite number, not {self.initial_scale}")

    @property
    def capacity(self) -> int:
        """Maximum number of inputs that can be cycled over the layers, one per wire."""
        return self.n_wires * self.n_layers


QuantumModelConfig = TypeVar("QuantumModelConfig", bound=QuantumConfig)


def z_observables(n_wires: int, kind: Observables) -> tuple[Observable, ...]:
    """Return observables: local (one Z per wire), global (their product) or both."""
    local = tuple(Observable.of(f"Z{wire}") for wire in range(n_wires))
    product = (Observable.of(" ".join(f"Z{wire}" for wire in range(n_wires))),)
    return {"local": local, "global": product, "both": local + product}[kind]


def ring(n_wires: int) -> list[tuple[int, int]]:
    """Return neighbouring pairs of wires on a ring.

    Two wires form one pair, since the second CZ of two would cancel the first.
    """
    return [(wire, (wire + 1) % n_wires) for wire in range(n_wires if n_wires > 2 else n_wires - 1)]


def weights() -> Iterator[Weight]:
    """Yield trainable angles, numbered from 0."""
    return map(Weight, itertools.count())


def layered_circuit(
    config: QuantumConfig,
    n_inputs: int,
    *,
    rotations: tuple[str, ...],
    entanglers: Callable[[int], Iterable[Entangler]],
) -> Circuit:
    """Build layers of rotations, entanglers and one encoded input per wire, then last rotations.

    Each layer has `rotations` (weights), `entanglers(layer)`, and RY RZ of one scaled input per wire. Encoding gate k,
    counted over all wires and layers, takes input k modulo `n_inputs`. RZs that would begin the circuit are omitted,
    since they only add a phase to |0>. RZs and entanglers that would end the circuit are omitted as well: RZ and CZ
    commute with Z, and CNOTs would remove some wires from a product of Zs. So no parameter is inert.
    """
    n_wires = config.n_wires
    check_capacity(config, n_inputs)
    angle = weights()
    first = tuple(itertools.dropwhile(_is_rz, rotations))
    last = tuple(itertools.dropwhile(_is_rz, rotations[::-1]))[::-1]
    gates: list[Gate] = []
    n_scales = 0
    for layer in range(config.n_layers + 1):
        for name in first if layer == 0 else last if layer == config.n_layers else rotations:
            for wire in range(n_wires):
                gates.append(Gate(name, (wire,), next(angle)))
        if layer == config.n_layers:
            break
        gates += (Gate(name, wires, next(angle) if GATES[name].rotation else None) for name, wires in entanglers(layer))
        for name in ("RY", "RZ"):
            for wire in range(n_wires):
                feature = (layer * n_wires + wire) % n_inputs
                gates.append(Gate(name, (wire,), Input(feature, n_scales, config.transform)))
                n_scales += 1
    return Circuit(n_wires, tuple(gates), z_observables(n_wires, config.observables))


def check_capacity(config: QuantumConfig, n_inputs: int) -> None:
    """Raise UsageError for more inputs than can be cycled over the layers."""
    if n_inputs < 1:
        raise UsageError(f"model: n_inputs must be at least 1, not {n_inputs}")
    if n_inputs > config.capacity:
        raise UsageError(
            f"model: {n_inputs} inputs do not fit into {config.n_layers} layers of {config.n_wires} wires; "
            "use more layers or wires, or encoding=projection"
        )


def _is_rz(name: str) -> bool:
    return name == "RZ"


def reuploading_circuit(config: QuantumConfig, n_inputs: int, *, entangled: bool) -> Circuit:
    """Build `layered_circuit` with RZ RY and a ring of CZ, or without entanglers."""
    pairs = ring(config.n_wires) if entangled else []
    return layered_circuit(
        config, n_inputs, rotations=("RZ", "RY"), entanglers=lambda layer: [("CZ", pair) for pair in pairs]
    )


def quantum_layer(
    circuit: Callable[[QuantumModelConfig, int], Circuit],
    config: QuantumModelConfig,
    n_inputs: int,
    generator: Generator,
) -> QuantumLayer:
    """Build the layer of a model; `circuit(config, n_inputs)` is the model's circuit for this number of inputs."""
    encoding = config.encoding
    if encoding == "auto":
        encoding = "cycle" if n_inputs <= config.capacity else "projection"
    return QuantumLayer(
        circuit(config, config.n_wires if encoding == "projection" else n_inputs),
        n_inputs=n_inputs,
        encoding=encoding,
        initialisation=config.initialisation,
        initial_scale=config.initial_scale,
        generator=generator,
    )
