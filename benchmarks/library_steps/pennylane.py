"""Our engines and PennyLane's devices."""

import numpy as np
from torch import Tensor

from benchmarks.library_steps.step import Prepare, Step, torch_step
from benchmarks.simulator import layer
from qrl.layer import QuantumLayer


def engine_step(engine: str) -> Prepare:
    """Return the preparation of one of our engines."""

    def prepare(ours: QuantumLayer, inputs: Tensor) -> Step:
        module = layer(ours.circuit.n_wires, engine)
        return torch_step(module, module, inputs)

    return prepare


def default_qubit_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    return torch_step(ours.to_pennylane(), ours, inputs)


def lightning_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    import pennylane as qml

    device = qml.device("lightning.qubit", wires=ours.circuit.n_wires, c_dtype=np.complex64)
    return torch_step(ours.to_pennylane(device, diff_method="adjoint"), ours, inputs)
