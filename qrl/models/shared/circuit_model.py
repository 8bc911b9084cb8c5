"""A circuit as a model: `Config` and `build` of a plug-in."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.layer import Initialisation, QuantumLayer
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class CircuitConfig:
    """Options of a custom circuit."""

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


@dataclass(frozen=True)
class CircuitModel:
    """Plug-in of one circuit; each policy draws its own initial parameters."""

    circuit: Circuit
    Config: type[CircuitConfig] = CircuitConfig

    def build(self, config: CircuitConfig, frame: Frame, generator: Generator) -> QuantumLayer:
        """Build the layer. Raises UsageError for a circuit without inputs, and for another number of direct inputs."""
        n_inputs = self.circuit.n_inputs
        fits = frame.n_inputs == n_inputs
        if not n_inputs and not fits:
            raise UsageError("model: the circuit has no inputs, so it would not depend on the observations")
        if config.encoding == "direct" and not fits:
            raise UsageError(
                f"model: the circuit takes {n_inputs} inputs, not {frame.n_inputs}; use encoding=projection"
            )
        projected = config.encoding == "projection" or not fits
        return QuantumLayer(
            self.circuit,
            n_inputs=frame.n_inputs,
            encoding="projection" if projected else "cycle",
            initialisation=config.initialisation,
            initial_scale=config.initial_scale,
            generator=generator,
        )
