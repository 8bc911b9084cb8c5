"""PennyLane circuits as models: `Config` and `build` of a plug-in file."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.layer import Initialisation, QuantumLayer
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class PennyLaneConfig:
    """Options of a circuit read from a PennyLane function."""

    encoding: Literal["auto", "direct", "projection"] = "auto"
    """Encoding of the inputs: direct, if the circuit has as many inputs, or by a trainable projection; auto: direct
    where possible, else by projection."""
    initialisation: Initialisation = "uniform"
    """Initial angles [rad]: uniform U[0, pi) (Jerbi et al. 2021) or small-angle Gaussian (Zhang et al. 2022)."""
    initial_scale: float = 1.0
    """Initial input scales [rad per unit of normalised input] (Jerbi et al. 2021)."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.initial_scale):
            raise UsageError(f"model: initial_scale must be a finite number, not {self.initial_scale}")


def pennylane_model(
    function: Callable[..., object],
    *,
    n_inputs: int,
    n_weights: int | None = None,
    n_scales: int = 0,
    weight_shapes: Mapping[str, int | Sequence[int]] | None = None,
) -> tuple[type[PennyLaneConfig], Callable[[PennyLaneConfig, Frame, Generator], QuantumLayer]]:
    """Return `Config` and `build` of a model file whose circuit is a QNode or a function of PennyLane.

    Arguments and errors are those of `Circuit.from_pennylane`.
    """
    circuit = Circuit.from_pennylane(
        function, n_inputs=n_inputs, n_weights=n_weights, n_scales=n_scales, weight_shapes=weight_shapes
    )

    def build(config: PennyLaneConfig, frame: Frame, generator: Generator) -> QuantumLayer:
        fits = frame.n_inputs == circuit.n_inputs
        if config.encoding == "direct" and not fits:
            raise UsageError(
                f"model: the circuit takes {circuit.n_inputs} inputs, not {frame.n_inputs}; use encoding=projection"
            )
        projected = config.encoding == "projection" or not fits
        return QuantumLayer(
            circuit,
            n_inputs=frame.n_inputs,
            encoding="projection" if projected else "cycle",
            initialisation=config.initialisation,
            initial_scale=config.initial_scale,
            generator=generator,
        )

    return PennyLaneConfig, build
