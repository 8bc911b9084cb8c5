"""Circuit on memory and register: its unitary from the gates by PennyLane, and the gates that one layer reaches."""

import itertools
import math

import numpy as np
import pennylane as qml
import pytest
import torch

from qrl.models.shared.register_circuit import RegisterCircuit, rotations
from tests.support.double_precision import f64, normal

PENNYLANE = {"RXX": qml.IsingXX, "RYY": qml.IsingYY, "RZZ": qml.IsingZZ, "RZ": qml.RZ, "RY": qml.RY, "CZ": qml.CZ}
SWAP = np.eye(4)[[0, 2, 1, 3]]


def by_pennylane(circuit, weights):
    """Product of PennyLane's matrices of the gates."""
    total = np.eye(2**circuit.n_wires)
    for gate in circuit.gates():
        angles = [float(weights[gate.angle.index])] if gate.is_parametric else []
        operation = PENNYLANE[gate.name](*angles, wires=gate.wires)
        total = qml.matrix(operation, wire_order=range(circuit.n_wires)) @ total
    return total


def equal_up_to_phase(found, expected):
    return abs(np.vdot(expected, found)) == pytest.approx(len(found), abs=1e-12)


@pytest.mark.parametrize("entangler", ["pairs", "ring"])
@pytest.mark.parametrize(
    ("n_memory", "n_register", "n_layers"),
    [(1, 1, 1), (1, 1, 2), (2, 1, 2), (3, 2, 1), (1, 2, 1), (2, 2, 3), (4, 2, 1)],
)
def test_unitary_is_the_product_of_the_gates(entangler, n_memory, n_register, n_layers):
    circuit = RegisterCircuit(n_memory, n_register, n_layers, entangler)
    weights = normal(2, circuit.n_weights, seed=1)
    assert sum(gate.is_parametric for gate in circuit.gates()) == circuit.n_weights
    found = circuit.unitary(weights)
    for row, each in zip(weights, found, strict=True):
        np.testing.assert_allclose(each, by_pennylane(circuit, row), atol=1e-12)
        np.testing.assert_allclose(circuit.unitary(row), each, atol=1e-14)


def test_unitary_takes_leading_axes_and_vmap():
    circuit = RegisterCircuit(2, 1, 2, "pairs")
    weights = normal(2, 3, circuit.n_weights, seed=2)
    found = circuit.unitary(weights)
    assert found.shape == (2, 3, 8, 8)
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(circuit.unitary))(weights), found)
    for i, j in itertools.product(range(2), range(3)):
        np.testing.assert_allclose(found[i, j], by_pennylane(circuit, weights[i, j]), atol=1e-12)


@pytest.mark.parametrize("entangler", ["pairs", "ring"])
def test_no_layers_is_the_identity(entangler):
    circuit = RegisterCircuit(2, 1, 0, entangler)
    assert circuit.gates() == () and circuit.n_weights == 0
    assert torch.equal(circuit.unitary(torch.zeros(5, 0)), torch.eye(8, dtype=torch.complex64).expand(5, 8, 8))


def test_rotations_are_rz_ry_rz_of_each_wire():
    angles = normal(2, 3, seed=3)
    wires = [qml.matrix(qml.RZ(c, 0) @ qml.RY(b, 0) @ qml.RZ(a, 0)) for a, b, c in angles.tolist()]
    np.testing.assert_allclose(rotations(angles), np.kron(*wires), atol=1e-14)


def test_one_layer_of_pairs_swaps_memory_and_register():
    """XX + YY + ZZ is 1 on triplets and -3 on the singlet; exp(-i pi/4 of it) differs from SWAP by a phase.

    With two pairs, all angles pi/2 swap both registers, wire by wire.
    """
    for n in (1, 2):
        circuit = RegisterCircuit(n, n, 1, "pairs")
        weights = torch.zeros(circuit.n_weights, dtype=torch.float64)
        weights[6 * n : 6 * n + 3 * n] = math.pi / 2
        swapped = np.eye(4**n).reshape(2**n, 2**n, -1).swapaxes(0, 1).reshape(4**n, -1)
        assert equal_up_to_phase(circuit.unitary(weights).numpy(), swapped)


def test_one_layer_of_pairs_is_any_two_wire_gate_up_to_its_local_part():
    """CNOT and H before a Bell measurement: CNOT = H RZZ(pi/2) H up to turns about Z and X of single wires."""
    circuit = RegisterCircuit(1, 1, 1, "pairs")
    h, quarter = math.pi / 2, math.pi / 2
    # RZ, RY, RZ: nothing, then H (RZ(pi), RY(pi/2)); RZZ; H RZ(-pi/2) on both wires.
    weights = f64(0, 0, 0, math.pi, h, 0, 0, 0, quarter, h, h, 0, h, h, 0)
    found = circuit.unitary(weights).numpy()
    bell = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, -1], [0, 1, -1, 0]]).T / math.sqrt(2)
    np.testing.assert_allclose(np.abs(found @ bell), np.eye(4), atol=1e-12)


def test_wires_of_memory_beyond_the_register_are_paired_block_by_block():
    assert RegisterCircuit(3, 2, 1, "pairs").blocks == [[(0, 3), (1, 4)], [(2, 3)]]
