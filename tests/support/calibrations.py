"""Calibrations, test circuits, and their values."""

import numpy as np
import pytest
import torch

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.noise.calibration import Calibration
from qrl.noise.model import Noise
from qrl.noise.native_gates import SUPPORTED_NATIVE, GateError
from qrl.noise.readout import Readout
from qrl.simulator.program import compile_circuit

DOUBLE = torch.float64


def values(circuit: Circuit, calibration: Calibration | None = None, draw=None, **strengths) -> np.ndarray:
    """Values of a circuit of constants [observable]."""
    program, nothing = (
        compile_circuit(circuit, Noise(calibration=calibration, **strengths)),
        torch.zeros(0, dtype=DOUBLE),
    )
    return program.run(program.bind(nothing, nothing), torch.zeros(1, 0, dtype=DOUBLE), draw)[0].numpy()


def scaled(gate: str, wires, factor: float) -> GateError:
    """A depolarizing error that scales every Pauli word by `factor`."""
    n = 4 ** SUPPORTED_NATIVE[gate]
    return GateError(gate, wires, tuple(map(tuple, np.diag([1.0] + [factor] * (n - 1)).tolist())))


def channel(n_qubits: int, seed: int):
    """A random error without symmetries: Kraus operators, then Pauli operators and resets."""
    noise = pytest.importorskip("qiskit_aer.noise")
    from qiskit.quantum_info import random_quantum_channel

    error = noise.QuantumError(random_quantum_channel(2**n_qubits, rank=2, seed=seed))
    error = error.compose(noise.depolarizing_error(0.2, n_qubits))
    return error.compose(noise.reset_error(0.1, 0.05)) if n_qubits == 1 else error


def bell(n_wires: int, a: int, b: int) -> Circuit:
    words = (f"Z{a} Z{b}", f"X{a} X{b}", f"Z{a}")
    return Circuit(n_wires, (Gate("H", (a,)), Gate("CNOT", (a, b))), tuple(Observable.of(word) for word in words))


def line(*shares: float):
    """Noise model of a line of qubits 0, 1, …; each edge's CNOT scales every Pauli word by its factor."""
    noise = pytest.importorskip("qiskit_aer.noise")
    model = noise.NoiseModel(basis_gates=["h", "rz", "cx"])
    for qubit, share in enumerate(shares):
        model.add_quantum_error(noise.depolarizing_error(1 - share, 2), "cx", [qubit, qubit + 1])
    return model


def trainable() -> tuple[Circuit, Calibration]:
    """Three wires in two blocks, weights and inputs, controlled rotations within a block and across."""
    gates = (
        Gate("RY", (0,), Weight(0)),
        Gate("RX", (1,), Input(0, 0, "tanh")),
        Gate("CRX", (0, 1), Weight(1)),
        Gate("CRZ", (2, 0), Input(1, 1)),
        Gate("RYY", (1, 2), Weight(2)),
        Gate("RY", (2,), Input(0)),
    )
    leak = np.diag([1.0, 0.9, 0.9, 0.81])
    leak[3, 0] = 0.19
    pair = np.kron(leak, leak)
    transfers = [tuple(map(tuple, matrix.tolist())) for matrix in (leak, pair)]
    errors = (GateError("sx", None, transfers[0]), GateError("cx", None, transfers[1]))
    read = (Readout((0,), ((0.9, 0.1), (0.3, 0.7))),)
    circuit = Circuit(3, gates, (Observable.of("Z0"), Observable.of((0.5, "X1 Y2"), (1.0, "Z2"))))
    return circuit, Calibration("mine", ("rz", "sx", "cx"), errors, read)
