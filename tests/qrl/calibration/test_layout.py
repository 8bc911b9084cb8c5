"""A calibration's qubits: layout, coupling map and swaps."""

import numpy as np
import pytest

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.noise.calibration import Calibration
from tests.support.calibrations import bell, channel, line, scaled, values


def test_gates_available_only_in_the_reverse_orientation():
    """CNOT from the reversed one takes four H, CZ two; RZZ uses the available orientation."""
    errors = (scaled("cx", (1, 0), 0.9), scaled("h", None, 0.8))
    calibration = Calibration("mine", ("x", "rz", "h", "cx"), errors, coupled_only=("cx",))
    played = {
        gate.name: [step.error.gate for step in calibration.noisy_gates(gate) if step.error]
        for gate in (Gate("CNOT", (0, 1)), Gate("CZ", (0, 1)), Gate("RZZ", (0, 1), 0.2))
    }
    assert played == {"CNOT": ["h", "h", "cx", "h", "h"], "CZ": ["h", "cx", "h"], "RZZ": ["cx", "cx"]}
    circuit = Circuit(2, (Gate("X", (0,)), Gate("CNOT", (0, 1))), (Observable.of("Z0"), Observable.of("Z1")))
    # Z0 passes H, CNOT, H. Z1 comes from ZZ, which passes an H on each wire, then CNOT, then one H.
    expected = [-0.8 * 0.9 * 0.8, -0.8 * 0.8 * 0.9 * 0.8]
    np.testing.assert_allclose(values(circuit, calibration), expected, atol=1e-12)


def test_uncoupled_qubits():
    """Rejected, or routed with three gates per swap, or error-free as in Aer."""
    model = line(0.9, 0.8, 0.7)
    # The path is 0-1, 1-2, 2-3, of which the first two are swaps.
    expected = {"swaps": (0.9 * 0.8) ** 3 * 0.7, "ideal": 1.0}
    for uncoupled, share in expected.items():
        calibration = Calibration.from_qiskit(model, uncoupled=uncoupled)
        np.testing.assert_allclose(values(bell(4, 0, 3), calibration)[:2], [share, share], atol=1e-12)
    with pytest.raises(
        UsageError, match=r"CNOT acts on wires 0 and 3, which .* does not couple; coupled wires: 0-1, 1-2, 2-3"
    ):
        values(bell(4, 0, 3), Calibration.from_qiskit(model))
    with pytest.raises(UsageError, match=r"acts on wires 0 and 1, .*; coupled wires: none"):
        values(bell(2, 0, 1), Calibration.from_qiskit(model, layout=(0, 2)))
    apart = line(0.9)
    apart.add_quantum_error(channel(2, 0), "cx", [3, 4])
    with pytest.raises(UsageError, match="a NoiseModel has no path of couplings from qubit 0 to qubit 3"):
        Calibration.from_qiskit(apart, layout=(0, 3), uncoupled="swaps")


def test_swaps_apply_errors_to_the_correct_wire():
    """Over one edge in each direction, both with an error only on the gate's second qubit."""
    noise = pytest.importorskip("qiskit_aer.noise")
    model = noise.NoiseModel(basis_gates=["x", "rz", "h", "cx"])
    flip = noise.pauli_error([("XI", 0.1), ("II", 0.9)])  # Qiskit's first letter is the gate's second qubit
    model.add_quantum_error(flip, "cx", [0, 1])
    model.add_quantum_error(flip, "cx", [2, 1])
    calibration = Calibration.from_qiskit(model, layout=(0, 2), uncoupled="swaps")
    circuit = Circuit(2, (Gate("CNOT", (0, 1)),), (Observable.of("Z0"), Observable.of("Z1")))
    # Path 0-1: three flips on wire 1's side; the gate on 1-2 is listed as 2-1, whose second qubit is on wire 0's side.
    np.testing.assert_allclose(values(circuit, calibration), [0.8, 0.8**3], atol=1e-12)


def test_wires_are_placed_by_the_layout():
    model = line(0.9, 0.8, 0.7)
    calibration = Calibration.from_qiskit(model, layout=[3, 2])
    assert calibration.source == "a NoiseModel on qubits 3 2" and calibration.n_wires == 2
    # Coupled only from 2 to 3, which are wires 1 and 0.
    np.testing.assert_allclose(values(bell(2, 1, 0), calibration)[:2], [0.7, 0.7], atol=1e-12)
    with pytest.raises(UsageError, match="the circuit has 4 wires, a NoiseModel on qubits 3 2 has 2"):
        values(bell(4, 0, 1), calibration)


def test_large_devices_are_limited_to_the_wires_of_a_density_matrix():
    model = line(*[0.9] * 8)
    assert Calibration.from_qiskit(model).source == "a NoiseModel on qubits 0 1 2 3 4 5"
    anywhere = Calibration("any", ("h", "cx"), (scaled("cx", None, 0.9),))
    with pytest.raises(UsageError, match="limited to 6 wires, not 7"):
        values(bell(7, 0, 1), anywhere)
