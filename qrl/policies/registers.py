"""Interface of models that act on registers of qubits (`qrl.circuits.registers.Registers`).

A model's `build(config, frame, generator)` returns such features if the frame has registers. Amplitudes reach the model
as a simulation of the registers; what it puts out may depend on them through the probabilities of outcomes alone.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Complex, Float, Int
from torch import Tensor


class Evolved(NamedTuple):
    """State of a step before its measurement; a pytree."""

    state: Complex[Tensor, "*tasks batch rest memory register"]
    """Unnormalised joint state of registers that are still to come, memory and arriving register."""
    hidden: Float[Tensor, "*tasks batch hidden"]
    """Classical memory."""
    weights: Float[Tensor, "*tasks batch outcome"]
    """Squared norm of the branch of each outcome; probabilities are their ratios to the sum."""


@runtime_checkable
class RegisterFeatures(Protocol):
    """Recurrent cell on registers, an `nn.Module`; its memory is a value, which starts at zero.

    Parameters, inputs and memory may have leading task axes.
    """

    n_memory: int
    """Width of the memory per lane."""
    n_hidden: int
    """Width of the classical part of the memory, `Evolved.hidden`."""
    n_outcomes: int
    """Largest number of outcomes of a step."""
    n_bits: int
    """Number of wires whose outcomes `bits` returns."""

    @property
    def n_noise(self) -> int:
        """Number of uniform numbers that `draw_error` takes."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Learning-rate group of each parameter outside "angles"."""

    def bind(self) -> object:
        """Compute everything that depends only on the parameters, as a pytree of tensors."""

    def evolve(self, bound: object, position: int, delivered: Tensor, classical: Tensor, memory: Tensor, /) -> Evolved:
        """Take in the register number `position` of the episode, [*tasks, batch, ...], up to the measurement."""

    def logits(self, bound: object, position: int, outcome: Tensor, hidden: Tensor, /) -> Tensor:
        """Return the logits of the answers after an outcome [*tasks, batch, answer], given the classical memory."""

    def after(self, evolved: Evolved, position: int, outcome: Tensor, error: Tensor, /) -> Tensor:
        """Return the memory after an outcome and an error of the storage [*tasks, batch, memory]."""

    def draw_error(self, uniform: Float[Tensor, "*batch noise"], /) -> Int[Tensor, "*batch"]:
        """Draw an error of the storage from uniform numbers in [0, 1)."""

    def bits(self, position: Tensor, outcome: Tensor, /) -> Float[Tensor, "*batch bit"]:
        """Return the outcomes of steps as numbers for classical networks."""
