"""Export of circuits: an adapted policy's circuits for given observations, with weights and inputs bound to numbers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qrl.backends.angles import AngleProgram, angle_gates
from qrl.backends.backend import circuit_modules
from qrl.backends.row_function import Differentiable
from qrl.circuits.angles import Weight
from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.simulator.program import compile_circuit


@dataclass(frozen=True)
class RecordedCircuit:
    """Executed circuit of a policy: the name of its module, the circuit with bound angles, and its exact outputs."""

    module: str
    circuit: Circuit
    values: list[float]


class Recorder(Differentiable):
    """Exact execution of a circuit from its angles; records the angles and outputs of the last call."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.angles, self.outputs = circuit, torch.zeros(0), torch.zeros(0)
        free = circuit.at([Weight(index) for index in range(len(angle_gates(circuit)))])
        program = compile_circuit(free)

        def values(angles: Tensor) -> list[Tensor]:
            bound = program.bind(angles, angles[:, :0])
            return [program.run(bound, angles.new_zeros(len(angles), 1, 0)).squeeze(1)]

        super().__init__(values, 1, 1)

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        (self.outputs,) = outputs = super().__call__(*rows)
        (self.angles,) = rows
        return outputs


def record(policy: nn.Module) -> dict[str, Recorder]:
    """Attach a recorder to every circuit of a policy; return the recorders by module name.

    Raises UsageError for a policy without circuits.
    """
    found = {}
    for name, module in circuit_modules(policy).items():
        found[name] = Recorder(module.circuit)
        module.program = AngleProgram(module.circuit, found[name])
    if not found:
        raise UsageError("export: the model has no circuits")
    return found


def played(recorders: dict[str, Recorder]) -> list[RecordedCircuit]:
    """Return the circuits that were executed in the last call, one for each of its rows."""
    return [
        RecordedCircuit(name, recorder.circuit.at(angles.tolist()), values.tolist())
        for name, recorder in recorders.items()
        for angles, values in zip(recorder.angles, recorder.outputs, strict=True)
    ]


def described(each: RecordedCircuit, file: str) -> dict[str, Any]:
    """Return the entry of a circuit in export.json."""
    observables = [str(observable) for observable in each.circuit.observables]
    return {"file": file, "module": each.module, "observables": observables, "values": each.values}
