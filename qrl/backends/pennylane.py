"""A `Circuit` on any PennyLane device: the reference for the fused executor, and access to shots and hardware."""

from collections.abc import Callable

import pennylane as qml
import torch
from jaxtyping import Float
from pennylane.measurements import ExpectationMP
from pennylane.operation import Operator
from torch import Tensor, nn

from qrl.backends.angles import plain_angle
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable, PauliWord
from qrl.common.errors import UsageError
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.expressions import Substitution

GATES: dict[str, Callable[..., Operator]] = {
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
_CHANNELS: dict[str, Callable[..., Operator]] = {
    "depolarizing": qml.DepolarizingChannel,
    "amplitude_damping": qml.AmplitudeDamping,
    "phase_damping": qml.PhaseDamping,
    "bit_flip": qml.BitFlip,
}
_PAULI = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}


def to_qnode(
    circuit: Circuit, device: object = "default.qubit", diff_method: str = "backprop", noise: Noise = NOISELESS
) -> qml.QNode:
    """Return the circuit as a QNode `f(inputs, weights, scales)`, tensors as in `qrl.simulator.program.Program`.

    A batch of inputs is broadcast through one execution; parameters may have the batch axis, too. The QNode returns a
    tuple, one entry per observable. Noise requires a device with density matrices, such as "default.mixed".

    Raises UsageError for a calibration, which only the fused executor supports.
    """
    _check(noise)
    if isinstance(device, str):
        device = qml.device(device, wires=circuit.n_wires)

    plain = Substitution(circuit)

    def function(inputs: Tensor, weights: Tensor, scales: Tensor) -> list[ExpectationMP]:
        values = plain.weights(weights, scales), scales, plain.inputs(inputs, weights, scales)
        return _queue(plain.circuit, lambda gate: plain_angle(gate.angle, *values), noise)

    return qml.QNode(function, device, interface="torch", diff_method=diff_method)


def to_angle_qnode(circuit: Circuit, device: object, diff_method: str | None, noise: Noise = NOISELESS) -> qml.QNode:
    """Return the circuit as a QNode of the angles [row, gate] of its `angle_gates`.

    All rows run in one broadcast execution. Raises UsageError as `to_qnode` does.
    """
    _check(noise)

    def function(angles: Tensor) -> list[ExpectationMP]:
        columns = iter(angles.unbind(-1))
        return _queue(circuit, lambda gate: next(columns), noise)

    return qml.QNode(function, device, interface="torch", diff_method=diff_method)


def _check(noise: Noise) -> None:
    noise.check_without_storage()
    if noise.calibration is not None:
        raise UsageError(
            "backend: calibrations need backend torch; device qiskit.aer takes a Qiskit noise model as an option"
        )


def _queue(circuit: Circuit, angle: Callable[[Gate], Tensor], noise: Noise) -> list[ExpectationMP]:
    """Queue gates, channels and measurements; `angle` returns the angles of gates that are not constant."""
    for gates, wires in noise.schedule(circuit):
        for gate in gates:
            angles = (angle(gate),) if gate.is_parametric else () if gate.angle is None else (gate.angle,)
            GATES[gate.name](*angles, wires=gate.wires)
        for wire in wires:
            for name in noise.channels():
                _CHANNELS[name](getattr(noise, name), wires=wire)
    if noise.readout:
        for wire in range(circuit.n_wires):
            # Flips the outcome with this probability in any measurement basis of the wire; `readout_prob` of
            # PennyLane's default.mixed fails with expectation values.
            qml.DepolarizingChannel(1.5 * noise.readout, wires=wire)
    return [qml.expval(_observable(observable, circuit.n_wires)) for observable in circuit.observables]


def _observable(observable: Observable, n_wires: int) -> Operator:
    words = [word.coefficient * _word(word, n_wires) for word in observable.words]
    return words[0] if len(words) == 1 else qml.sum(*words) if words else 0.0 * qml.Identity(0)


def _word(word: PauliWord, n_wires: int) -> Operator:
    factors = [_PAULI[pauli](wire) for wire, pauli in word.factors]
    return qml.prod(*factors) if len(factors) > 1 else factors[0] if factors else qml.Identity(0)


class PennyLaneLayer(nn.Module):
    """`QuantumLayer` on a PennyLane device, with the same parameters (shared, not copied).

    Second-order gradients need `diff_method="backprop"` on a simulator that supports it: PennyLane's adjoint method,
    and parameter-shift at its default `max_diff=1`, drop the circuit's second derivatives without an error.
    """

    def __init__(
        self,
        weights: nn.Parameter,
        scales: nn.Parameter,
        projection: nn.Linear | None,
        qnode: qml.QNode,
    ) -> None:
        super().__init__()
        self.weights, self.scales, self.projection, self.qnode = weights, scales, projection, qnode

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch observable"]:
        """Return expectation values of samples, with any leading axes or none, in the inputs' precision."""
        features = inputs if self.projection is None else self.projection(inputs)
        rows = features if features.ndim == 1 else features.flatten(0, -2)
        values = torch.stack([v.expand(rows.shape[:-1]) for v in self.qnode(rows, self.weights, self.scales)], dim=-1)
        return values.reshape(*inputs.shape[:-1], values.shape[-1]).to(inputs.dtype)
