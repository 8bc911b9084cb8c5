"""Backends of modules that act on registers of qubits: exact, with noise of the memory between two registers."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

from torch import nn

from qrl.common.errors import UsageError
from qrl.noise.model import NOISELESS, STRENGTHS, Noise


@runtime_checkable
class StoresRegisters(Protocol):
    """Module that keeps qubits between the registers of an episode."""

    @property
    def n_stored(self) -> int:
        """Number of wires that are stored between two registers [qubits]."""

    def depolarise_storage(self, probability: float) -> None:
        """Replace the stored state by the maximally mixed one with this probability between registers from now on."""


def register_modules(module: nn.Module) -> list[StoresRegisters]:
    """Return the submodules that act on registers."""
    return [each for each in module.modules() if isinstance(each, StoresRegisters)]


def run_registers_on(modules: list[StoresRegisters], name: str, shots: int, noise: Noise) -> None:
    """Run modules on registers with the noise `storage` from now on.

    Raises UsageError for another backend than torch, for shots, for other noise, and for a module that stores nothing.
    """
    other = replace(noise, storage=0.0)
    given = [name] * (name != "torch") + ["shots"] * bool(shots)
    given += [kind for kind in (*STRENGTHS, "calibration", "after") if getattr(other, kind) != getattr(NOISELESS, kind)]
    if given:
        raise UsageError(
            f"backend: a model on registers of qubits takes no {', '.join(given)}: its circuits run on torch, exactly, "
            "and its noise is --noise storage=P, or --model.memory dephased"
        )
    if not all(module.n_stored for module in modules):
        noise.check_without_storage()
    for module in modules:
        module.depolarise_storage(noise.storage)
