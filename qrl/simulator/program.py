"""Exact, batched and fused simulation of a `Circuit` in torch, with or without noise: the default executor.

`qrl.simulator.lowering` turns the circuit into alternating local maps and phases. `Program.bind` computes everything
that depends on no sample, once per call: each local level is one small matrix per block (all levels together, as a tree
of batched matrix products), and each phase level with inputs is a matrix M with phase = exp(i f @ M), f = (inputs,
bounded angles, 1). `Program.run` then takes one matrix product per block and one multiplication per phase for the whole
batch. During a rollout the parameters are constant, so they are bound once.

With noise the state is a density matrix, written as a vector of four numbers per wire; everything else is unchanged.

All operations are differentiable torch operations, plus one autograd rule in `qrl.simulator.kernels`. The program
therefore supports autograd of any order, `torch.func` transforms and CUDA.
"""

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.matrices import MAX_NOISY_WIRES
from qrl.common.errors import UsageError
from qrl.common.memory import physical_memory
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.executor import Draw, FusedExecutor
from qrl.simulator.lowering import Lowering

Bound = dict[str, Tensor]
"""Bound parameters, as returned by `Program.bind`: a flat dict (a pytree for `vmap`) of fused maps and phase matrices.

Every tensor has the parameters' leading axes.
"""


def compile_circuit(circuit: Circuit, noise: Noise = NOISELESS) -> "Program":
    """Compile a circuit; equal circuits under equal noise share one program. Raises UsageError as `Program` does."""
    return _compiled(circuit, noise)  # the cache distinguishes a default from the same value passed explicitly


@functools.lru_cache(maxsize=256)
def _compiled(circuit: Circuit, noise: Noise) -> "Program":
    return Program(circuit, noise)


class Program:
    """Compiled circuit: immutable, without parameters, for any dtype and device.

    If `noise` has channels, states are density matrices. Raises UsageError if one state cannot fit into memory, and for
    density matrices of more than `MAX_NOISY_WIRES` wires.
    """

    def __init__(self, circuit: Circuit, noise: Noise = NOISELESS) -> None:
        _check_size(circuit, noise)
        self.circuit, self.noise = circuit, noise
        self._lowering = Lowering(circuit, noise)
        self.n_bases = len(self._lowering.measurements)
        """Number of measurement bases of the observables; each takes its own run of the circuit."""
        self._on = functools.cache(self._build)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy or unpickle, here or in another process, by compiling the circuit again."""
        return compile_circuit, (self.circuit, self.noise)

    def _build(self, dtype: torch.dtype, device: torch.device) -> FusedExecutor:
        # A separate thread has none of the caller's modes. A constant made inside a transform of torch.func would be a
        # wrapper that is dead when the transform ends; one from inference mode cannot be saved for backward.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(FusedExecutor, self.circuit, self._lowering, dtype, device).result()

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Compute fused maps and phase matrices: everything that depends on no sample.

        weights [..., weight] in rad; scales [..., scale] in rad per unit of input. Each row of the leading axes defines
        its own circuit; all circuits run side by side. `torch.func.vmap` does the same, with more overhead per call.
        """
        return self._on(weights.dtype, weights.device).bind(weights, scales)

    def run(
        self, bound: Bound, inputs: Float[Tensor, "*circuits batch feature"], draw: Draw | None = None
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Return expectation values [..., batch, observable] for inputs [..., batch, feature], with bound parameters.

        The leading axes are those of the parameters. `draw` turns outcome probabilities [..., outcome] into relative
        frequencies; with it, the result is an estimate of the expectation values. Raises UsageError for too few inputs.
        """
        if inputs.shape[-1] < self.circuit.n_inputs:
            raise UsageError(f"circuit: expected {self.circuit.n_inputs} inputs, found {inputs.shape[-1]}")
        return self._on(inputs.dtype, inputs.device).run(bound, inputs, draw)


def check_noisy_wires(n_wires: int, noise: Noise) -> None:
    """Raise UsageError if noise needs density matrices of more than `MAX_NOISY_WIRES` wires."""
    if noise.needs_density_matrix and n_wires > MAX_NOISY_WIRES:
        raise UsageError(
            f"circuit: noise needs density matrices, which are limited to {MAX_NOISY_WIRES} wires, not "
            f"{n_wires}; readout errors alone have no limit"
        )


def _check_size(circuit: Circuit, noise: Noise) -> None:
    """Raise UsageError if the states of one sample, kept for its gradient, do not fit into this machine's memory.

    Density matrices are limited to `MAX_NOISY_WIRES` wires.
    """
    check_noisy_wires(circuit.n_wires, noise)
    available = physical_memory()
    bytes_per_state = 4 * (2 + len(circuit.moments)) * 8
    max_wires = max(0, int(math.log2(available / bytes_per_state)))
    if circuit.n_wires > max_wires:
        raise UsageError(
            f"circuit: {circuit.n_wires} wires do not fit into this machine's memory: "
            f"{available / 2**30:.3g} GiB suffice for the gradient of one sample with {max_wires} wires"
        )
