"""A `Circuit` on any PennyLane device: the reference for the fused executor, and access to shots and hardware."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, runtime_checkable

import pennylane as qml
import torch
from jaxtyping import Float
from pennylane.measurements import ExpectationMP
from pennylane.operation import Operator
from torch import Tensor, nn

from qrl.backends.angles import empty_values, plain_angle
from qrl.backends.guarded_qnode import GuardedQNode
from qrl.backends.inputs import layer_inputs
from qrl.backends.names import check_installed, may_estimate
from qrl.backends.row_function import Differentiable, RowFunctionOp
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable, PauliWord
from qrl.common.caller import warn_caller
from qrl.common.errors import UsageError, suggest, wrap_errors
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

    Raises UsageError for a calibration, which only the fused executor supports. By methods other than backprop, second
    derivatives raise UsageError, too.
    """
    _check(noise)
    if isinstance(device, str):
        device = qml.device(device, wires=circuit.n_wires)
    return GuardedQNode(_QuantumFunction(circuit, noise), device, interface="torch", diff_method=diff_method)


@dataclass(frozen=True)
class _QuantumFunction:
    """Function of a QNode `f(inputs, weights, scales)`; not a closure, so that it can be pickled."""

    circuit: Circuit
    noise: Noise

    @property
    def __name__(self) -> str:
        return "circuit"

    @cached_property
    def _plain(self) -> Substitution:
        return Substitution(self.circuit)

    def __call__(self, inputs: Tensor, weights: Tensor, scales: Tensor) -> list[ExpectationMP]:
        plain = self._plain
        values = plain.weights(weights, scales), scales, plain.inputs(inputs, weights, scales)
        return _queue(plain.circuit, lambda gate: plain_angle(gate.angle, *values), self.noise)


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


DIFF_METHODS = ("best", "backprop", "adjoint", "parameter-shift", "finite-diff", "spsa", "hadamard")
"""PennyLane's differentiation methods. best: backprop, else the device's own method, else parameter-shift."""


def twin_qnode(circuit: Circuit, device: object, diff_method: str, noise: Noise) -> qml.QNode:
    """Return the QNode of `to_qnode` with a method of `DIFF_METHODS`, "best" replaced by the method that it means.

    Warns of a device on this machine that returns estimates although it has no shots. Raises UsageError for an unknown
    method, for one that the device does not support, and as `to_qnode` does.
    """
    if diff_method not in DIFF_METHODS:
        raise UsageError(f"to_pennylane: unknown diff_method {diff_method!r}{suggest(str(diff_method), DIFF_METHODS)}")
    if isinstance(device, str):
        device = _named_device(device, circuit, diff_method)
    if not isinstance(device, qml.devices.Device):
        raise UsageError(f"to_pennylane: expected the name of a PennyLane device or a device, not {device!r}")
    sample = [torch.zeros(n, requires_grad=True) for n in (circuit.n_inputs, circuit.n_weights, circuit.n_scales)]
    with wrap_errors(f"to_pennylane: device {device.name} cannot run this circuit with diff_method {diff_method}"):
        qnode = to_qnode(circuit, device, diff_method, noise)
        if diff_method == "hadamard":
            qnode = qnode.update(gradient_kwargs={"aux_wire": _free_wire(device, circuit.n_wires)})
        if diff_method == "best":
            qnode = qnode.update(diff_method=qml.workflow.get_best_diff_method(qnode)(*sample))
        qml.workflow.construct_batch(qnode, level="device")(*sample)
        if may_estimate(device.name) and not qnode.shots and _runs_differ(qnode, circuit):
            warn_caller(
                f"to_pennylane: device {device.name} returns no exact values (two runs differ), so the twin returns "
                "estimates; default.qubit is exact"
            )
    return qnode


def _runs_differ(qnode: qml.QNode, circuit: Circuit) -> bool:
    """Return whether two runs with the same arguments return different values."""
    sizes = (circuit.n_inputs, circuit.n_weights, circuit.n_scales)
    rows = [torch.linspace(-1, 2, 3 * size, dtype=torch.float64).reshape(3, size) for size in sizes]
    with torch.no_grad():
        first, again = (_stacked(qnode, *rows) for _ in range(2))
    return not torch.equal(first, again)


def _named_device(name: str, circuit: Circuit, diff_method: str) -> qml.devices.Device:
    """Create a device, for Hadamard tests with one wire more. Raises UsageError for an unknown one."""
    check_installed(name, "to_pennylane")
    with wrap_errors(f"to_pennylane: device {name}"):
        return qml.device(name, wires=circuit.n_wires + (diff_method == "hadamard"))


def _free_wire(device: qml.devices.Device, n_wires: int) -> object:
    """Return a wire of the device that the circuit does not use; a device without wires has any."""
    free = [wire for wire in device.wires if wire not in range(n_wires)] if device.wires else [n_wires]
    if not free:
        raise UsageError(
            f"to_pennylane: diff_method hadamard needs a wire that the circuit does not use; the device has {n_wires}"
        )
    return free[0]


@runtime_checkable
class LayerParameters(Protocol):
    """Protocol of a layer with a twin: its circuit, number of inputs and parameters."""

    circuit: Circuit
    n_inputs: int
    weights: nn.Parameter
    scales: nn.Parameter
    projection: nn.Linear | None


class PennyLaneLayer(nn.Module):
    """`QuantumLayer` on a PennyLane device, with the same parameters (shared, not copied).

    `qnode`: the QNode `f(inputs, weights, scales)` as of `twin_qnode`, for PennyLane's own functions such as
    `qml.draw`. With `diff_method="backprop"` there are derivatives of every order. All other methods give first
    derivatives; PennyLane drops the circuit's second derivatives there without an error, so a second derivative raises
    UsageError, of the QNode as well.
    """

    def __init__(
        self,
        layer: LayerParameters,
        device: object = "default.qubit",
        diff_method: str = "best",
        noise: Noise = NOISELESS,
    ) -> None:
        super().__init__()
        self.weights, self.scales, self.projection = layer.weights, layer.scales, layer.projection
        self.circuit, self.n_inputs = layer.circuit, layer.n_inputs
        self.qnode = twin_qnode(layer.circuit, device, diff_method, noise)
        self._new_device: Callable[[], qml.devices.Device] | None = None
        if isinstance(device, str):
            self._new_device = partial(_named_device, device, layer.circuit, diff_method)

    def __getstate__(self) -> dict[str, object]:
        """Return the state for a copy or a pickle, with a fresh device: lightning's have no pickle once they ran."""
        device = {} if self._new_device is None else {"qnode": self.qnode.update(device=self._new_device())}
        return self.__dict__ | device

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch observable"]:
        """Return expectation values of samples, with any leading axes or none, in the inputs' precision.

        Whole numbers as inputs take the precision of the parameters. Raises UsageError for inputs that are no tensor or
        of the wrong width.
        """
        inputs = layer_inputs(inputs, self.n_inputs, self.weights.dtype)
        features = inputs if self.projection is None else self.projection(inputs)
        rows = features.unsqueeze(0) if features.ndim == 1 else features.flatten(0, -2)
        if not len(rows):
            values = empty_values(self.circuit.n_observables, rows, self.weights, self.scales)
        elif self.qnode.diff_method == "backprop":
            values = _stacked(self.qnode, rows, self.weights, self.scales)
        else:
            parameters = (each.expand(len(rows), -1) for each in (self.weights, self.scales))
            function = Differentiable(self._values_of_rows, 3, 1, order=1.0, method=str(self.qnode.diff_method))
            (values,) = RowFunctionOp.apply(function, rows, *parameters)
        return values.reshape(*inputs.shape[:-1], values.shape[-1]).to(inputs.dtype)

    def _values_of_rows(self, *arguments: Tensor) -> list[Tensor]:
        """Return expectation values [row, observable] of inputs, weights and scales [row, ...].

        PennyLane runs in double precision, for the sake of finite differences. By most methods it does not
        differentiate a broadcast execution, so where a gradient is recorded each row is an execution of its own.
        """
        qnode = self.qnode
        if torch.is_grad_enabled() and qnode.diff_method not in ("adjoint", "device"):
            qnode = qml.transforms.broadcast_expand(qnode)
        return [_stacked(qnode, *(each.double() for each in arguments)).to(arguments[0].dtype)]


def _stacked(qnode: qml.QNode, rows: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
    """Return the results of a QNode as one tensor [row, observable]."""
    return torch.stack([value.expand(len(rows)) for value in qnode(rows, weights, scales)], dim=-1)
