"""Export of circuits: an adapted policy's circuits for given observations, with weights and inputs bound to numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qrl.backends.angles import AngleProgram, angle_gates
from qrl.backends.backend import circuit_modules
from qrl.backends.row_function import Differentiable
from qrl.circuits.angles import Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.measurement import Setting, settings
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


def measured_in(circuit: Circuit) -> list[Setting]:
    """Return the settings in which a circuit is measured: a single one if its words agree on the basis of each wire.

    A circuit whose observables are constants has one setting, which measures nothing.
    """
    return settings(circuit) or [Setting()]


def file_names(stem: str, suffix: str, n_settings: int) -> list[str]:
    """Return the names of a circuit's files, one for each setting; a number of the setting if there are several."""
    return [f"{stem}{suffix}"] if n_settings == 1 else [f"{stem}-basis{i}{suffix}" for i in range(n_settings)]


def described(each: RecordedCircuit, files: Mapping[str, Setting]) -> dict[str, object]:
    """Return the entry of a circuit in export.json, given the setting of each of its files.

    An observable is the sum, over all files and over its terms, of the coefficient times the mean of the product of the
    outcomes, +1 for the bit 0 and -1 for the bit 1, on the wires of the term.
    """
    return {
        "module": each.module,
        "observables": [str(observable) for observable in each.circuit.observables],
        "values": each.values,
        "files": [
            {
                "file": name,
                "basis": {str(wire): pauli for wire, pauli in sorted(setting.basis.items())},
                "terms": [
                    {"observable": index, "coefficient": word.coefficient, "wires": [wire for wire, _ in word.factors]}
                    for index, word in setting.words
                ],
            }
            for name, setting in files.items()
        ],
    }
