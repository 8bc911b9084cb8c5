"""Exact, batched and fused simulation of a `Circuit` in torch, without noise or with it: the default executor.

The circuit arrives as alternating local maps and phases (`qrl.simulator.lowering`). What depends on no sample is
computed once a call by `Program.bind`: each local level is one small matrix a block (all levels at once, as a tree of
batched matrix products), and each phase level with inputs is a matrix M with phase = exp(i f @ M), f = (inputs, bounded
angles, 1). `Program.run` then takes one matrix product a block and one multiplication a phase for the whole batch.
During a rollout the parameters are constant, so they are bound once.

With noise the state is a density matrix, written as a vector of four numbers a wire; all else is the same.

Only differentiable torch operations are used, and one autograd rule written out with them in `qrl.simulator.kernels`:
autograd of any order, `torch.func` transforms and CUDA follow.
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
from qrl.simulator.small_batch import SmallBatchExecutor

Bound = dict[str, Tensor]
"""What `Program.bind` returns: a flat dict (a pytree for `vmap`) of fused maps and phase matrices.

Every tensor has the parameters' leading axes."""


def compile_circuit(circuit: Circuit, noise: Noise = NOISELESS) -> "Program":
    """The program of a circuit; equal circuits under equal noise share one. Raises UsageError as `Program` does."""
    return _compiled(circuit, noise)  # a cache tells a default from the same value given


@functools.lru_cache(maxsize=256)
def _compiled(circuit: Circuit, noise: Noise) -> "Program":
    return Program(circuit, noise)


class Program:
    """A circuit compiled for the executor: immutable, without parameters, for any dtype and device.

    With channels in `noise` it has density matrices for states. Raises UsageError if one state cannot fit into memory,
    and for more than `MAX_NOISY_WIRES` wires of a density matrix.
    """

    def __init__(self, circuit: Circuit, noise: Noise = NOISELESS) -> None:
        _check_size(circuit, noise)
        self.circuit, self.noise = circuit, noise
        self._lowering = Lowering(circuit, noise)
        self.n_bases = len(self._lowering.measurements)
        """Bases in which the observables are measured, by as many runs of the circuit."""
        self._on = functools.cache(self._build)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, here or in another process, is compiled from the circuit."""
        return compile_circuit, (self.circuit, self.noise)

    def _build(self, dtype: torch.dtype, device: torch.device) -> FusedExecutor:
        # In a thread of its own, where none of the caller's modes holds: a constant made inside torch.func's transforms
        # is a wrapper of theirs, dead when they end, and one from inference mode cannot be saved for backward.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(FusedExecutor, self.circuit, self._lowering, dtype, device).result()

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Fused maps and phase matrices: everything that depends on no sample.

        weights [..., weight] in rad; scales [..., scale] in rad per unit of input. Each row has a circuit of its own;
        they run side by side. `torch.func.vmap` does the same, with more overhead a call.
        """
        return self._on(weights.dtype, weights.device).bind(weights, scales)

    def run(
        self, bound: Bound, inputs: Float[Tensor, "*circuits batch feature"], draw: Draw | None = None
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Expectation values [..., batch, observable] for inputs [..., batch, feature], with bound parameters.

        The leading axes are those of the parameters. With `draw`, which turns probabilities of outcomes [..., outcome]
        into relative frequencies, estimates of expectation values.
        """
        if inputs.shape[-1] < self.circuit.n_inputs:
            raise UsageError(f"circuit: takes {self.circuit.n_inputs} inputs, found {inputs.shape[-1]}")
        return self._on(inputs.dtype, inputs.device).run(bound, inputs, draw)

    def small_batch(self, bound: Bound) -> SmallBatchExecutor | None:
        """`run` with these bound parameters for small batches in NumPy, several times as fast; None if that cannot be.

        They must stay as they are, and be without gradients.
        """
        executor = self._on(bound["initial"].dtype, bound["initial"].device)
        return SmallBatchExecutor(executor, bound) if SmallBatchExecutor.is_possible(executor) else None


def _check_size(circuit: Circuit, noise: Noise) -> None:
    """Refuse what cannot work: the states of one sample, kept for its gradient, must fit into this machine's memory."""
    if noise.mixes and circuit.n_wires > MAX_NOISY_WIRES:
        raise UsageError(
            f"circuit: {circuit.n_wires} wires are too many for noise, which takes density matrices, as large as "
            f"states of twice the wires: at most {MAX_NOISY_WIRES}; errors of readout alone have no limit"
        )
    available = physical_memory()
    bytes_a_state = 4 * (2 + len(circuit.moments)) * 8
    fits = max(0, int(math.log2(available / bytes_a_state)))
    if circuit.n_wires > fits:
        raise UsageError(
            f"circuit: {circuit.n_wires} wires are more than this machine has memory for: "
            f"its {available / 2**30:.3g} GiB are enough for the gradient of one sample with {fits} wires"
        )
