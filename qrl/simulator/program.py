"""Exact, batched simulation of a `Circuit` in torch, with or without noise.

Two engines run a circuit. The native kernel (`qrl.simulator.native`) takes circuits without channels on the CPU, gate
by gate. The fused executor (`qrl.simulator.executor`) takes everything else, and everything if the kernel was not
built: `qrl.simulator.lowering` turns the circuit into alternating local maps and phases; `bind` computes everything
that depends on no sample (each local level is one small matrix per block, each phase level with inputs a matrix M with
phase = exp(i f @ M), f = (inputs, bounded angles, 1)); `run` takes one matrix product per block and one multiplication
per phase for the whole batch. With noise the state is a density matrix, written as a vector of four numbers per wire.

Neither engine computes angles that are expressions: `qrl.simulator.expressions` turns these into further weights and
inputs first.

Both are differentiable to any order and support `torch.func` transforms; third derivatives are always those of the
fused executor.
"""

import functools
import math
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.matrices import MAX_NOISY_WIRES
from qrl.circuits.measurement import settings
from qrl.common.autograd import PerDevice
from qrl.common.errors import UsageError
from qrl.common.memory import physical_memory
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.engine import FUSED, check_engine
from qrl.simulator.engine import engine as chosen_engine
from qrl.simulator.executor import Draw, FusedExecutor
from qrl.simulator.expressions import Substitution
from qrl.simulator.lowering import Lowering
from qrl.simulator.native.executor import NativeExecutor
from qrl.simulator.native.library import library

Bound = dict[str, Tensor]
"""Bound parameters, as returned by `Program.bind`: a flat dict (a pytree for `vmap`).

Every tensor has the parameters' leading axes.
"""

WEIGHTS, SCALES = "expression.weights", "expression.scales"
"""Bound parameters of angles that are expressions with inputs, in a circuit that has such angles."""

LANES = 16
"""Samples that the kernel runs at once, at most."""


@runtime_checkable
class Engine(Protocol):
    """Protocol of an engine for one circuit on one device in one precision; `Program` documents the methods."""

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        """Compute everything that depends on no sample."""

    def run(self, bound: Bound, inputs: Tensor, draw: Draw | None, initial: Tensor | None) -> Tensor:
        """Return expectation values, or estimates of them."""

    def amplitudes(self, bound: Bound, inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return the final amplitudes."""

    def probabilities(self, bound: Bound, inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return the outcome probabilities."""


def compile_circuit(circuit: Circuit, noise: Noise = NOISELESS, engine: str | None = None) -> "Program":
    """Compile a circuit; equal circuits under equal noise share one program.

    `engine`: native or fused (`qrl.simulator.engine`); None: that of the process. Raises UsageError as `Program` does.
    """
    # The cache distinguishes a default from the same value passed explicitly.
    return _compiled(circuit, noise, chosen_engine() if engine is None else engine)


@functools.lru_cache(maxsize=256)
def _compiled(circuit: Circuit, noise: Noise, engine: str) -> "Program":
    return Program(circuit, noise, engine)


class Program:
    """Compiled circuit: immutable, without parameters, for any dtype and device.

    If `noise` has channels, states are density matrices. Raises UsageError if one state cannot fit into memory, and for
    density matrices of more than `MAX_NOISY_WIRES` wires, and for an engine that is unknown or does not run here.
    """

    def __init__(self, circuit: Circuit, noise: Noise = NOISELESS, engine: str | None = None) -> None:
        self._engine = chosen_engine() if engine is None else engine
        check_engine(self._engine)
        # A calibration replaces gates by native ones; the kernel knows neither them nor channels.
        fused = self._engine == FUSED or noise.needs_density_matrix or noise.calibration is not None
        self._library = None if fused else library()
        _check_size(circuit, noise, native=self._library is not None)
        noise.check(circuit)
        self.circuit, self.noise = circuit, noise
        self._plain = Substitution(circuit)
        # Counted here: `torch.compile` cannot look into a `cached_property`.
        self._n_weights, self._n_scales, self._n_inputs = circuit.n_weights, circuit.n_scales, circuit.n_inputs
        # The kernel needs it for third derivatives only, and many wires take long to lower.
        self._lowering = Lowering(self._plain.circuit, noise) if self._library is None else None
        self.n_bases = len(settings(circuit))
        """Number of measurement bases of the observables; each takes its own run of the circuit."""
        self._engines = PerDevice(self._build)
        self._fused = PerDevice(self._build_fused)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy or unpickle, here or in another process, by compiling the circuit again.

        A program on this process' default engine is restored on the default engine there, where the kernel may not run.
        """
        engine = None if self._engine == chosen_engine() else self._engine
        return compile_circuit, (self.circuit, self.noise, engine)

    def _build(self, dtype: torch.dtype, device: torch.device) -> Engine:
        if dtype not in (torch.float32, torch.float64):
            raise UsageError(f"circuit: dtype must be torch.float32 or torch.float64, not {dtype}")
        if self._library is None or device.type != "cpu":
            return self._fused.on(dtype, device)
        reference = functools.partial(self._fused.on, dtype, device)
        return NativeExecutor(self._library, self._plain.circuit, self.noise, dtype, reference)

    def _build_fused(self, dtype: torch.dtype, device: torch.device) -> FusedExecutor:
        self._lowering = self._lowering or Lowering(self._plain.circuit, self.noise)
        return FusedExecutor(self._plain.circuit, self._lowering, dtype, device)

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Compute everything that depends on no sample: fused maps and phase matrices; for the kernel, nothing.

        weights [..., weight] in rad; scales [..., scale] in rad per unit of input. Each row of the leading axes defines
        its own circuit; all circuits run side by side. `torch.func.vmap` does the same, with more overhead per call.
        Raises UsageError for too few weights or scales.
        """
        weights = _first("weights", weights, self._n_weights)
        scales = _first("scales", scales, self._n_scales)
        if self._plain.is_original:
            return self._engines.like(weights).bind(weights, scales)
        used = scales[..., : self._plain.n_scales]
        bound = self._engines.like(weights).bind(self._plain.weights(weights, scales), used)
        return bound | {WEIGHTS: weights, SCALES: scales} if self._plain.has_features else bound

    def run(
        self,
        bound: Bound,
        inputs: Float[Tensor, "*circuits batch feature"],
        draw: Draw | None = None,
        initial: Complex[Tensor, "*circuits batch state"] | None = None,
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Return expectation values [..., batch, observable] for inputs [..., batch, feature], with bound parameters.

        The leading axes are those of the parameters. `draw` turns outcome probabilities [..., outcome] into relative
        frequencies; with it, the result is an estimate of the expectation values. `initial`: initial state of each
        sample [..., batch, 2^n_wires], instead of |0...0>; it is not normalised. Raises UsageError for too few inputs,
        and for initial states of the wrong shape or with noise channels.
        """
        inputs = self._features(bound, inputs, initial)
        return self._engines.like(inputs).run(bound, inputs, draw, initial)

    def amplitudes(
        self,
        bound: Bound,
        inputs: Float[Tensor, "*circuits batch feature"],
        initial: Complex[Tensor, "*circuits batch state"] | None = None,
    ) -> Complex[Tensor, "*circuits batch state"]:
        """Return the final state's amplitudes [..., batch, 2^n_wires]; wire 0 is the most significant bit.

        Arguments and errors are those of `run`; with noise channels there are no amplitudes.
        """
        if self.noise.needs_density_matrix:
            raise UsageError("circuit: with noise channels the state has no amplitudes")
        inputs = self._features(bound, inputs, initial)
        return self._engines.like(inputs).amplitudes(bound, inputs, initial)

    def probabilities(
        self,
        bound: Bound,
        inputs: Float[Tensor, "*circuits batch feature"],
        initial: Complex[Tensor, "*circuits batch state"] | None = None,
    ) -> Float[Tensor, "*circuits batch state"]:
        """Return the probabilities [..., batch, 2^n_wires] of the outcomes in the computational basis.

        They include noise and readout errors. Arguments and errors are those of `run`.
        """
        inputs = self._features(bound, inputs, initial)
        return self._engines.like(inputs).probabilities(bound, inputs, initial)

    def _features(self, bound: Bound, inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return the inputs of the circuit in plain angles, after checks of the arguments of `run`."""
        self._check(inputs, initial)
        if not self._plain.has_features:
            return inputs
        return self._plain.inputs(inputs, bound[WEIGHTS].unsqueeze(-2), bound[SCALES].unsqueeze(-2))

    def _check(self, inputs: Tensor, initial: Tensor | None) -> None:
        if inputs.ndim < 2:
            raise UsageError(f"circuit: inputs must have the shape [..., batch, feature], not {list(inputs.shape)}")
        _first("inputs", inputs, self._n_inputs)
        if initial is None:
            return
        if self.noise.needs_density_matrix:
            raise UsageError("circuit: initial states are amplitudes, which noise channels do not have")
        expected, found = (inputs.shape[-2], 2**self.circuit.n_wires), tuple(initial.shape[-2:])
        if found != expected or initial.real.dtype != inputs.dtype:
            raise UsageError(
                f"circuit: initial states of {expected[0]} samples must have shape [..., {expected[0]}, {expected[1]}] "
                f"and the inputs' precision, not {list(initial.shape)} and {initial.dtype}"
            )


def _first(what: str, columns: Tensor, expected: int) -> Tensor:
    """Return the columns that the circuit uses. Raises UsageError if there are too few."""
    if columns.ndim == 0 or columns.shape[-1] < expected:
        raise UsageError(
            f"circuit: expected {expected} {what}, found {columns.shape[-1] if columns.ndim else 'a number'}"
        )
    return columns if columns.shape[-1] == expected else columns[..., :expected]


def check_noisy_wires(n_wires: int, noise: Noise) -> None:
    """Raise UsageError if noise needs density matrices of more than `MAX_NOISY_WIRES` wires."""
    if noise.needs_density_matrix and n_wires > MAX_NOISY_WIRES:
        raise UsageError(
            f"circuit: noise needs density matrices, which are limited to {MAX_NOISY_WIRES} wires, not "
            f"{n_wires}; readout errors alone have no limit"
        )


def _check_size(circuit: Circuit, noise: Noise, *, native: bool) -> None:
    """Raise UsageError if the states of one sample, kept for its gradient, do not fit into this machine's memory.

    The kernel keeps a state and its adjoint, with their tangents, for as many samples as it runs at once; the fused
    executor keeps the state after every moment. Density matrices are limited to `MAX_NOISY_WIRES` wires.
    """
    check_noisy_wires(circuit.n_wires, noise)
    available = physical_memory()
    numbers = 8 * LANES if native else 4 * (2 + len(circuit.moments))
    max_wires = max(0, int(math.log2(available / (8 * numbers))))
    if circuit.n_wires > max_wires:
        raise UsageError(
            f"circuit: {circuit.n_wires} wires do not fit into this machine's memory: "
            f"{available / 2**30:.3g} GiB suffice for the gradient of one sample with {max_wires} wires"
        )
