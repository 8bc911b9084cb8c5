"""Circuits executed from the angles of their gates, one row per sample, on backends that accept only numbers."""

import torch
from torch import Tensor

from qrl.backends.row_function import RowFunction, RowFunctionOp
from qrl.circuits.angles import Angle, Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.expressions import TORCH_FUNCTIONS, Substitution

TORCH_TRANSFORMS = {"identity": lambda x: x} | {name: TORCH_FUNCTIONS[name] for name in ("tanh", "arctan")}


def angle_gates(circuit: Circuit, noise: Noise = NOISELESS) -> list[Gate]:
    """Return the gates whose angles are not constant, in execution order."""
    return [gate for gates, _ in noise.schedule(circuit) for gate in gates if gate.is_parametric]


class AngleProgram:
    """Counterpart of `qrl.simulator.program.Program` around a function of angles [row, gate].

    The function returns expectation values [row, observable]; torch converts weights, scales and inputs into angles.
    """

    def __init__(self, circuit: Circuit, function: RowFunction, noise: Noise = NOISELESS) -> None:
        self.circuit, self.function = circuit, function
        self._plain = Substitution(circuit)
        self.gates = angle_gates(self._plain.circuit, noise)

    def bind(self, weights: Tensor, scales: Tensor) -> dict[str, Tensor]:
        """Return the parameters [..., weight] and [..., scale] unchanged."""
        return {"weights": weights, "scales": scales}

    def run(self, bound: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Return (estimates of) expectation values [..., batch, observable] for inputs [..., batch, feature]."""
        shape = inputs.shape[:-1]
        weights, scales = (bound[name].unsqueeze(-2) for name in ("weights", "scales"))
        plain = self._plain.weights(weights, scales), scales, self._plain.inputs(inputs, weights, scales)
        columns = [plain_angle(gate.angle, *plain).expand(shape) for gate in self.gates]
        angles = torch.stack(columns, dim=-1) if columns else inputs.new_zeros(*shape, 0)
        (values,) = RowFunctionOp.apply(self.function, angles.flatten(0, -2))
        return values.reshape(*shape, -1)


def plain_angle(angle: Angle | None, weights: Tensor, scales: Tensor, inputs: Tensor) -> Tensor:
    """Return the values [...] of a weight or an input; the leading axes of the tensors broadcast."""
    match angle:
        case Weight(index):
            return weights[..., index]
        case Input(feature, None, transform):
            return TORCH_TRANSFORMS[transform](inputs[..., feature])
        case Input(feature, scale, transform):
            return TORCH_TRANSFORMS[transform](scales[..., scale] * inputs[..., feature])
    raise AssertionError(angle)
