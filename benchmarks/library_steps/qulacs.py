"""qulacs: no batches, so each sample is a forward pass and a backward pass."""

from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.library_steps.step import Results, Step
from qrl.circuits.angles import Input, Weight
from qrl.layer import QuantumLayer


def qulacs_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    """Return the outputs of each sample, and the gradient as that of the expectation of sum_k (d loss / d z_k) Z_k."""
    import qulacs

    n_wires, batch, x = ours.circuit.n_wires, len(inputs), inputs.double().numpy()
    weights, scales = (parameter.detach().double().numpy() for parameter in (ours.weights, ours.scales))
    circuit = qulacs.ParametricQuantumCircuit(n_wires)
    for gate in ours.circuit.gates:
        if gate.name == "CZ":
            circuit.add_CZ_gate(*gate.wires)
        else:
            getattr(circuit, f"add_parametric_{gate.name}_gate")(*gate.wires, 0.0)
    angles_of = [gate.angle for gate in ours.circuit.gates if gate.is_parametric]
    of_weights = np.array([(i, a.index) for i, a in enumerate(angles_of) if isinstance(a, Weight)]).T
    of_scales = np.array([(i, a.scale, a.feature) for i, a in enumerate(angles_of) if isinstance(a, Input)]).T
    observables = [weighted_z(qulacs.Observable(n_wires), {wire: 1.0}) for wire in range(n_wires)]

    def step() -> Results:
        (w_gates, w), (s_gates, s, features) = of_weights, of_scales
        angles = np.empty((batch, len(angles_of)))
        angles[:, w_gates], angles[:, s_gates] = weights[w], scales[s] * x[:, features]
        outputs, by_angle = np.empty((batch, n_wires)), np.empty_like(angles)
        state = qulacs.QuantumState(n_wires)
        for sample, row in enumerate((-angles).tolist()):  # its rotations turn by minus the angle
            for index, value in enumerate(row):
                circuit.set_parameter(index, value)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            outputs[sample] = [observable.get_expectation_value(state) for observable in observables]
            by_output = dict(enumerate(2 * outputs[sample] / outputs.size))
            by_angle[sample] = circuit.backprop(weighted_z(qulacs.Observable(n_wires), by_output))
        by_weight, by_scale = np.zeros_like(weights), np.zeros_like(scales)
        np.subtract.at(by_weight, w, by_angle[:, w_gates].sum(0))
        np.subtract.at(by_scale, s, (by_angle[:, s_gates] * x[:, features]).sum(0))
        return outputs, by_weight, by_scale

    return step


def weighted_z(observable: Any, coefficients: dict[int, float]) -> Any:
    """Add Z on each wire with its coefficient to an observable of qulacs."""
    for wire, coefficient in coefficients.items():
        observable.add_operator(coefficient, f"Z {wire}")
    return observable
