"""Circuits without expressions: each expression becomes a further weight or, if it has inputs, a further feature."""

from dataclasses import dataclass, replace

from qrl.circuits.angles import Angle, Expression, Input, Weight, variables
from qrl.circuits.circuit import Circuit


@dataclass(frozen=True)
class Substituted:
    """Equivalent circuit whose angles are weights, scaled inputs and numbers, for executors.

    Its weights are those of the original circuit, then the values of `weights`; its inputs are those of the original
    circuit, then the values of `features`.
    """

    circuit: Circuit
    weights: tuple[Expression, ...]
    """Expressions of weights and scales only: the same for all samples."""
    features: tuple[Expression, ...]


def substitute(circuit: Circuit) -> Substituted:
    """Replace each expression by a weight or an input of its own; equal expressions share one."""
    weights: dict[Expression, int] = {}
    features: dict[Expression, int] = {}

    def replaced(angle: Angle | None) -> Angle | None:
        if not isinstance(angle, Expression):
            return angle
        if any(isinstance(variable, Input) for variable in variables(angle)):
            return Input(circuit.n_inputs + features.setdefault(angle, len(features)))
        return Weight(circuit.n_weights + weights.setdefault(angle, len(weights)))

    gates = tuple(replace(gate, angle=replaced(gate.angle)) for gate in circuit.gates)
    if not weights and not features:
        return Substituted(circuit, (), ())
    return Substituted(Circuit(circuit.n_wires, gates, circuit.observables), tuple(weights), tuple(features))
