"""pyqtorch and torchquantum."""

import warnings

import torch
from torch import Tensor

from benchmarks.library_steps.step import Step, angle, torch_step
from qrl.layer import QuantumLayer


def pyqtorch_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    import pyqtorch as pyq
    from pyqtorch.primitives import ControlledPrimitive

    warnings.filterwarnings("ignore", "Complex modules are a new feature")
    gates, n_wires = ours.circuit.gates, ours.circuit.n_wires
    operations = [
        ControlledPrimitive("Z", *gate.wires)
        if gate.name == "CZ"
        else getattr(pyq, gate.name)(*gate.wires, f"angle{i}")
        for i, gate in enumerate(gates)
    ]
    circuit = pyq.QuantumCircuit(n_wires, operations).to(torch.complex64)
    observables = [pyq.Observable(pyq.Z(wire)).to(torch.complex64) for wire in range(n_wires)]

    def forward(x: Tensor) -> Tensor:
        angles = {f"angle{i}": angle(g, x, ours.weights, ours.scales) for i, g in enumerate(gates) if g.is_parametric}
        state = pyq.run(circuit, circuit.init_state(len(x)), angles)
        return torch.stack([observable.expectation(state) for observable in observables], dim=-1)

    return torch_step(forward, ours, inputs)


def torchquantum_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    import torchquantum as tq
    from torchquantum import functional

    def forward(x: Tensor) -> Tensor:
        device = tq.QuantumDevice(n_wires=ours.circuit.n_wires, bsz=len(x))
        for gate in ours.circuit.gates:
            if gate.name == "CZ":
                functional.cz(device, wires=list(gate.wires))
            else:
                angles = angle(gate, x, ours.weights, ours.scales).expand(len(x))
                getattr(functional, gate.name.lower())(device, wires=gate.wires[0], params=angles[:, None])
        return tq.MeasureAll(tq.PauliZ)(device)

    return torch_step(forward, ours, inputs)
