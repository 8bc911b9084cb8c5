"""A `Circuit` on any PennyLane device: the reference for the fused executor, and the way to shots and hardware."""

from collections.abc import Callable
from typing import Any

import pennylane as qml
import torch
from jaxtyping import Float
from torch import Tensor, nn

from qrl.circuit import Circuit, Gate, Input, Observable, PauliWord, Weight

_GATES: dict[str, Callable[..., Any]] = {
    "RX": qml.RX,
    "RY": qml.RY,
    "RZ": qml.RZ,
    "H": qml.Hadamard,
    "X": qml.PauliX,
    "CZ": qml.CZ,
    "CNOT": qml.CNOT,
    "CRX": qml.CRX,
    "CRY": qml.CRY,
    "CRZ": qml.CRZ,
    "RXX": qml.IsingXX,
    "RYY": qml.IsingYY,
    "RZZ": qml.IsingZZ,
}
_PAULI = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
_TRANSFORM = {"identity": lambda x: x, "tanh": torch.tanh, "arctan": torch.atan}


def to_qnode(circuit: Circuit, device: Any = "default.qubit", diff_method: str = "backprop") -> qml.QNode:
    """The circuit as a QNode `f(inputs, weights, scales)`, tensors as in `qrl.statevector.Program`.

    A batch of inputs is broadcast through one execution. The QNode returns a tuple, one entry an observable.
    """
    if isinstance(device, str):
        device = qml.device(device, wires=circuit.n_wires)

    def function(inputs: Tensor, weights: Tensor, scales: Tensor) -> list[Any]:
        for gate in circuit.gates:
            if gate.angle is None:
                _GATES[gate.name](wires=gate.wires)
            else:
                _GATES[gate.name](_angle(gate, inputs, weights, scales), wires=gate.wires)
        return [qml.expval(_observable(observable, circuit.n_wires)) for observable in circuit.observables]

    return qml.QNode(function, device, interface="torch", diff_method=diff_method)


def _angle(gate: Gate, inputs: Tensor, weights: Tensor, scales: Tensor) -> Tensor | float:
    match gate.angle:
        case Weight(index):
            return weights[index]
        case Input(feature, scale, transform):
            value = inputs[..., feature]
            return _TRANSFORM[transform](value if scale is None else scales[scale] * value)
        case _:
            return float(gate.angle or 0.0)


def _observable(observable: Observable, n_wires: int) -> Any:
    words = [word.coefficient * _word(word, n_wires) for word in observable.words]
    return words[0] if len(words) == 1 else qml.sum(*words) if words else 0.0 * qml.Identity(0)


def _word(word: PauliWord, n_wires: int) -> Any:
    factors = [_PAULI[pauli](wire) for wire, pauli in word.factors]
    return qml.prod(*factors) if len(factors) > 1 else factors[0] if factors else qml.Identity(0)


class PennyLaneLayer(nn.Module):
    """What `QuantumLayer` computes, on a PennyLane device, with the very same parameters (shared, not copied).

    Second-order gradients need `diff_method="backprop"` on a simulator that allows it: PennyLane's adjoint and
    parameter-shift at its default `max_diff=1` drop the circuit's second derivatives without an error.
    """

    def __init__(self, layer: Any, device: Any = "default.qubit", diff_method: str = "backprop") -> None:
        super().__init__()
        self.weights, self.scales = layer.weights, layer.scales
        self.projection = layer.projection
        self.n_observables = layer.circuit.n_observables
        self.qnode = to_qnode(layer.circuit, device, diff_method)

    def forward(self, inputs: Float[Tensor, "batch input"]) -> Float[Tensor, "batch observable"]:
        """Expectation values [batch, observable], in the parameters' precision."""
        features = inputs if self.projection is None else self.projection(inputs)
        values = self.qnode(features, self.weights, self.scales)
        return torch.stack([v.expand(len(inputs)) for v in values], dim=-1).to(inputs.dtype)
