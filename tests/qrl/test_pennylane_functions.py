"""Functions as users of PennyLane write them: values and both derivatives equal those of default.qubit in torch."""

import numpy as np
import pennylane as qml
import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from qrl.circuits.circuit import Circuit
from qrl.simulator.program import compile_circuit

DOUBLE = torch.float64
POINT = torch.tensor([0.3, -0.8, 0.5, -0.4, 0.7, 0.2, 0.9, -0.6], dtype=DOUBLE)
"""Two inputs, then six weights."""


def assert_equal_to_pennylane(function, reference=None):
    """Compare a function of two inputs and six weights with `reference`, the function itself unless given."""
    circuit = Circuit.from_pennylane(function, n_inputs=2, n_weights=6)
    program, no_scales = compile_circuit(circuit), torch.zeros(0, dtype=DOUBLE)
    node = qml.QNode(reference or function, qml.device("default.qubit"), interface="torch", diff_method="backprop")

    def found(point):
        return program.run(program.bind(point[2:], no_scales), point[None, :2])[0]

    def expected(point):
        return torch.stack(node(point[:2], point[2:]))

    torch.testing.assert_close(found(POINT), expected(POINT), atol=1e-10, rtol=0)
    torch.testing.assert_close(jacobian(found, POINT), jacobian(expected, POINT), atol=1e-10, rtol=0)
    second = [hessian(lambda point, run=run: run(point).sum(), POINT) for run in (found, expected)]
    torch.testing.assert_close(*second, atol=1e-9, rtol=0)


def used(gates):
    """Function of all inputs and weights on three wires with further gates, a function of (inputs, weights)."""

    def function(inputs, weights):
        for wire in range(3):
            qml.RY(weights[wire] + inputs[wire % 2], wires=wire)
            qml.RX(weights[3 + wire], wires=wire)
        gates(inputs, weights)
        qml.RX(0.4, wires=0)
        return [qml.expval(qml.PauliZ(wire)) for wire in range(3)] + [qml.expval(qml.PauliX(1) @ qml.PauliY(2))]

    return function


def rotated(angle):
    return used(lambda x, w: qml.RX(angle(x, w), wires=1))


def sizes(x, w):
    matrix = w.view(2, 3)
    assert (w.size(), w.size(0), matrix.size()[1], w.dim(), w.numel()) == ((6,), 6, 3, 1, 6)
    return matrix.unsqueeze(0).permute(2, 1, 0)[0, 1, 0] + matrix.t()[1, 1] + w.view((3, 2)).transpose(1, 0)[1, 2]


@pytest.mark.parametrize(
    "angle",
    [
        sizes,
        lambda x, w: w.clone().to(torch.float64).double().contiguous()[1].tanh() + w[2].sigmoid(),
        lambda x, w: torch.nn.functional.tanh(w[0]) * torch.clamp(x[0] * 3, min=-0.5, max=0.5),
        lambda x, w: torch.clamp(w[0], -1, 1) + x[1].clamp(max=-0.1) + w[3].clamp_min(0) + torch.relu(w[5] * w[0]),
        lambda x, w: torch.maximum(w[0], w[1]) - torch.minimum(x[0], x[1]) + torch.hypot(w[0], w[1]),
        lambda x, w: w.norm() + torch.linalg.norm(w.reshape(2, 3), dim=1)[1],
        lambda x, w: (
            torch.log10(w[0] ** 2) + torch.log1p(w[2]) + torch.exp2(w[1]) + torch.expm1(x[0]) + torch.log2(w[0])
        ),
        lambda x, w: torch.atanh(w[1]) + torch.acosh(2 + w[2]) + torch.deg2rad(90 * w[0]) + torch.rad2deg(x[0]),
        lambda x, w: 2.0 ** w[0] + 0.5 ** x[1],
        lambda x, w: w.view(2, 3).sum(dim=0)[1] * w.view(2, 3).mean(dim=1, keepdim=True)[1, 0] + w.view(2, 3).sum(1)[0],
        lambda x, w: w[0] * len(f"{w[0]:.2f} {x[0]}") ** 0,
        lambda x, w: sum(a.tanh() * torch.sin(b) for a, b in zip(x, w[:2], strict=True)),
        lambda x, w: (
            sum(part.prod() for part in w.split(4)) + torch.chunk(w, 4)[1].sum() + torch.split(w, [1, 5])[1][4]
        ),
        lambda x, w: (
            torch.transpose(w.reshape(2, 3), 0, 1)[2, 0] + (w + torch.ones_like(w)).roll(1)[0] + w.cumsum(0)[2]
        ),
        lambda x, w: qml.math.clip(w[0] * 4, -1, 1) + qml.math.clip(x[0], -1, 1),
    ],
)
def test_functions_and_methods_of_torch(angle):
    assert_equal_to_pennylane(rotated(angle))


@pytest.mark.parametrize(
    ("angle", "in_torch"),
    [
        (
            lambda x, w: np.clip(w[0] * 4, -1, 1) + w[1].clip(-1, 0),
            lambda x, w: (4 * w[0]).clip(-1, 1) + w[1].clip(-1, 0),
        ),
        (lambda x, w: np.maximum(w[0], 0) - np.minimum(w, 0.1)[3], lambda x, w: w[0].clamp(0) - w[3].clamp(max=0.1)),
        (
            lambda x, w: np.log10(w[0]) + np.fabs(w[1]) + np.degrees(x[0]),
            lambda x, w: w[0].log10() + w[1].abs() + x[0].rad2deg(),
        ),
        (lambda x, w: np.tile(w, 2)[7] + np.repeat(w, 2)[4], lambda x, w: w[1] + w[2]),
        (lambda x, w: w.repeat(2, axis=0)[4] + w.reshape(2, 3).transpose((1, 0))[1, 1], lambda x, w: w[2] + w[4]),
        (lambda x, w: np.power(2.0, w[0]) + np.linalg.norm(w), lambda x, w: 2.0 ** w[0] + w.norm()),
    ],
)
def test_functions_of_numpy_that_torch_names_otherwise(angle, in_torch):
    assert_equal_to_pennylane(rotated(angle), rotated(in_torch))


def test_arrays_computed_in_place():
    def gates(inputs, weights):
        weights = weights.copy() if isinstance(weights, np.ndarray) else weights.clone()
        weights += 0.5
        weights[1] *= 2
        qml.AngleEmbedding(weights[:3], wires=range(3))

    assert_equal_to_pennylane(used(gates))


def controlled_template(angles):
    qml.U3(angles[0], angles[1], angles[2], wires=0)
    qml.MultiRZ(angles[3], wires=[0, 1])
    qml.GlobalPhase(angles[4])


@pytest.mark.parametrize(
    "gates",
    [
        lambda x, w: qml.ctrl(qml.RX, (1, 2))(w[0] * x[0], wires=0),
        lambda x, w: qml.ctrl(qml.RY, (0, 2), control_values=(0, 1))(w[1], wires=1),
        lambda x, w: qml.ctrl(qml.RZ, (0, 1, 3))(w[1], wires=2),
        lambda x, w: qml.ctrl(qml.RX, 1, control_values=0)(w[0], wires=0),
        lambda x, w: qml.ctrl(qml.PhaseShift, (0, 1))(w[0], wires=2),
        lambda x, w: qml.ctrl(qml.Rot, (0, 1))(w[0], w[1], x[1], wires=2),
        lambda x, w: (
            qml.ctrl(qml.U3, 1)(*w[:3], wires=2),
            qml.ctrl(qml.U2, 0)(*w[:2], wires=2),
            qml.adjoint(qml.U3)(*w[3:], 1),
        ),
        lambda x, w: (
            qml.ctrl(qml.GlobalPhase, 1)(w[0]),
            qml.ctrl(qml.GlobalPhase, (0, 2), (0, 1))(w[1]),
        ),
        lambda x, w: qml.ctrl(qml.adjoint(qml.CRX), 2)(w[0], wires=[0, 1]),
        lambda x, w: qml.ctrl(controlled_template, 2)(w),
        lambda x, w: qml.Select([qml.RX(w[k], wires=2) for k in range(4)], control=[0, 1]),
        lambda x, w: qml.evolve(qml.PauliX(0) @ qml.PauliZ(1) - 2 * qml.PauliZ(1) + 0.5 * qml.Identity(0), w[0] * x[0]),
        lambda x, w: qml.ctrl(qml.evolve(qml.PauliX(0) + 0.5 * qml.Identity(0), w[0]), 1),
        lambda x, w: qml.exp(qml.PauliY(1), -0.5j * w[0] / 2),
        lambda x, w: qml.adjoint(qml.evolve(qml.PauliY(1) @ qml.PauliY(0), -w[0])),
        lambda x, w: qml.TrotterProduct(qml.sum(qml.PauliZ(0) @ qml.PauliZ(1), qml.PauliX(0)), w[0], n=2),
        lambda x, w: qml.FermionicSWAP(w[0], wires=[0, 1]),
        lambda x, w: qml.adjoint(qml.ctrl(qml.U3, 1))(*w[:3], wires=0),
        lambda x, w: qml.adjoint(qml.ctrl(qml.Rot, (0, 2)))(*w[:3], wires=1),
        lambda x, w: qml.evolve(w[0] * qml.PauliY(0), 0.3),
    ],
)
def test_controlled_rotations_and_evolutions(gates):
    assert_equal_to_pennylane(used(gates))


def test_more_controls_take_rotations_in_the_order_of_a_gray_code():
    circuit = Circuit.from_pennylane(
        lambda w: (qml.ctrl(qml.RZ, (0, 1))(w[0], wires=2), qml.expval(qml.PauliZ(2)))[1], n_inputs=0, n_weights=1
    )
    assert [str(gate) for gate in circuit.gates[::2]] == ["RZ(0.25*w0)", "RZ(-0.25*w0)"] * 2
    assert [gate.wires for gate in circuit.gates[1::2]] == [(0, 2), (1, 2), (0, 2), (1, 2)]


def test_measurements_within_a_circuit_are_deferred_by_pennylane():
    def function(inputs, weights):
        qml.RY(inputs[0] + weights[0], wires=0)
        qml.cond(qml.measure(0), qml.RX)(weights[1] + inputs[1], wires=1)
        qml.cond(qml.measure(1) == 0, qml.RY)(weights[2:].sum(), wires=0)
        return qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliZ(1))

    assert_equal_to_pennylane(qml.defer_measurements(function), function)
