"""Execution of a circuit by the native kernel: the counterpart of `qrl.simulator.executor.FusedExecutor`."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.measurement import Setting, eigenvalues, settings
from qrl.common.autograd import is_traced, without_modes
from qrl.common.errors import UsageError
from qrl.noise.model import Noise
from qrl.simulator.executor import Draw, FusedExecutor, Mixtures, apply_readout_error, mixtures
from qrl.simulator.native.autograd import evaluate
from qrl.simulator.native.encoding import EncodedCircuit, Output
from qrl.simulator.native.library import Library
from qrl.simulator.native.request import Kernel


class NativeExecutor:
    """Circuit without channels, on the CPU in one precision.

    `reference`: builds the fused executor of the same circuit, for third derivatives.
    """

    def __init__(
        self,
        library: Library,
        circuit: Circuit,
        noise: Noise,
        dtype: torch.dtype,
        reference: Callable[[], FusedExecutor],
    ) -> None:
        self._library, self._circuit, self._dtype, self._reference = library, circuit, dtype, reference
        self._confusion = noise.confusion(circuit.n_wires)
        self._values = self._kernel(Output.VALUES, self._reference_values)

    @cached_property
    def _amplitudes(self) -> Kernel:
        return self._kernel(Output.AMPLITUDES, self._reference_amplitudes)

    @cached_property
    def _probabilities(self) -> Kernel:
        return self._kernel(Output.PROBABILITIES, partial(self._reference_probabilities, None))

    @cached_property
    def _readings(self) -> Mixtures:
        return without_modes(lambda: mixtures(torch.as_tensor(self._confusion, dtype=self._dtype).mT))

    @cached_property
    def _settings(self) -> list[tuple[Kernel, Tensor]]:
        """Kernel of the outcome probabilities in each measurement setting, and the observables' eigenvalues there."""
        return without_modes(lambda: [self._setting(k, each) for k, each in enumerate(settings(self._circuit))])

    def _setting(self, index: int, setting: Setting) -> tuple[Kernel, Tensor]:
        reference = partial(self._reference_probabilities, index)
        kernel = self._kernel(Output.PROBABILITIES, reference, _basis_change(setting))
        table = eigenvalues(setting, self._circuit.n_wires, self._circuit.n_observables)
        return kernel, torch.as_tensor(table, dtype=self._dtype)

    def _kernel(self, output: Output, reference: Callable[..., Tensor], more: tuple[Gate, ...] = ()) -> Kernel:
        encoded = EncodedCircuit(self._circuit, (*self._circuit.gates, *more), output)
        return Kernel(self._library, encoded, reference)

    # --- execution ---------------------------------------------------------------------------------------------------

    def bind(self, weights: Tensor, scales: Tensor) -> dict[str, Tensor]:
        """Return the parameters unchanged: the kernel computes their cosines and sines in each call."""
        return {"weights": weights, "scales": scales}

    def run(
        self, bound: dict[str, Tensor], inputs: Tensor, draw: Draw | None = None, initial: Tensor | None = None
    ) -> Tensor:
        """Return expectation values or estimates; see `qrl.simulator.program.Program.run`."""
        if is_traced():
            fused, bound = self._recordable(bound)
            return fused.run(bound, inputs, draw, initial)
        if draw is None and not len(self._confusion):
            return self._evaluate(self._values, bound, inputs, initial)
        total: Tensor | None = None
        for kernel, values in self._settings:
            read = apply_readout_error(self._evaluate(kernel, bound, inputs, initial), self._readings)
            estimate = (read if draw is None else draw(read)) @ values
            total = estimate if total is None else total + estimate
        assert total is not None
        return total

    def amplitudes(self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return final amplitudes; see `qrl.simulator.program.Program.amplitudes`."""
        if is_traced():
            fused, bound = self._recordable(bound)
            return fused.amplitudes(bound, inputs, initial)
        parts = self._evaluate(self._amplitudes, bound, inputs, initial)
        return torch.view_as_complex(parts.unflatten(-1, (-1, 2)))

    def probabilities(self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return outcome probabilities; see `qrl.simulator.program.Program.probabilities`."""
        if is_traced():
            fused, bound = self._recordable(bound)
            return fused.probabilities(bound, inputs, initial)
        return apply_readout_error(self._evaluate(self._probabilities, bound, inputs, initial), self._readings)

    def _evaluate(self, kernel: Kernel, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> Tensor:
        weights, scales = _parameters(bound)
        used = inputs if inputs.shape[-1] == self._circuit.n_inputs else inputs[..., : self._circuit.n_inputs]
        parts = None if initial is None else torch.view_as_real(initial.resolve_conj()).flatten(-2)
        return evaluate(kernel, weights, scales, used, parts)

    def _recordable(self, bound: dict[str, Tensor]) -> tuple[FusedExecutor, dict[str, Tensor]]:
        """Return the fused executor, whose operations a trace can record, and its bound parameters."""
        fused = self._reference()
        return fused, fused.bind(*_parameters(bound))

    # --- the same outputs of the fused executor ----------------------------------------------------------------------

    def _reference_values(self, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Tensor | None) -> Tensor:
        fused = self._reference()
        return fused.run(fused.bind(weights, scales), inputs, None, _as_complex(initial))

    def _reference_amplitudes(self, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Tensor | None) -> Tensor:
        fused = self._reference()
        amplitudes = fused.amplitudes(fused.bind(weights, scales), inputs, _as_complex(initial))
        return torch.view_as_real(amplitudes).flatten(-2)

    def _reference_probabilities(
        self, setting: int | None, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Tensor | None
    ) -> Tensor:
        fused = self._reference()
        return fused.true_probabilities(fused.bind(weights, scales), inputs, _as_complex(initial), setting)


def _parameters(bound: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return weights and scales. Raises UsageError if they were not bound by this engine."""
    if not bound.keys() >= {"weights", "scales"}:
        raise UsageError("circuit: the bound parameters are not those of this program on this device")
    return bound["weights"], bound["scales"]


def _as_complex(parts: Tensor | None) -> Tensor | None:
    return None if parts is None else torch.view_as_complex(parts.unflatten(-1, (-1, 2)))


def _basis_change(setting: Setting) -> tuple[Gate, ...]:
    """Return gates that map the eigenstates of a setting's Pauli operators to basis states, up to phases."""
    gates: list[Gate] = []
    for wire, pauli in sorted(setting.basis.items()):
        if pauli == "Y":
            gates.append(Gate("RZ", (wire,), -torch.pi / 2))
        if pauli != "Z":
            gates.append(Gate("H", (wire,)))
    return tuple(gates)
