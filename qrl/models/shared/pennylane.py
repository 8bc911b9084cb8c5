"""PennyLane circuits as models: `Config` and `build` of a plug-in file."""

from collections.abc import Callable, Mapping, Sequence

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.layer import QuantumLayer
from qrl.models.shared.circuit_model import CircuitConfig, CircuitModel
from qrl.policies.frame import Frame


def pennylane_model(
    function: Callable[..., object],
    *,
    n_inputs: int,
    n_weights: int | None = None,
    n_scales: int = 0,
    weight_shapes: Mapping[str, int | Sequence[int]] | None = None,
) -> tuple[type[CircuitConfig], Callable[[CircuitConfig, Frame, Generator], QuantumLayer]]:
    """Return `Config` and `build` of a model file whose circuit is a QNode or a function of PennyLane.

    Arguments and errors are those of `Circuit.from_pennylane`.
    """
    circuit = Circuit.from_pennylane(
        function, n_inputs=n_inputs, n_weights=n_weights, n_scales=n_scales, weight_shapes=weight_shapes
    )
    model = CircuitModel(circuit)
    return model.Config, model.build
