"""NumPy executor for a few samples at a time with fixed parameters, as in a rollout step.

At this size call overhead dominates, and NumPy calls take a third of the time of torch calls. The arithmetic is that of
`qrl.simulator.executor`.
"""

import numpy as np
import torch
from torch import Tensor

from qrl.simulator.executor import FusedExecutor, Maps
from qrl.simulator.kernels import is_small


class SmallBatchExecutor:
    """`FusedExecutor.run` for a small batch and fixed bound parameters; not differentiable.

    Supports circuits of one block on the CPU; see `is_possible`.
    """

    def __init__(self, executor: FusedExecutor, bound: dict[str, Tensor]) -> None:
        assert executor.phases is not None
        self.dtype, self._phases = executor.dtype, executor.phases
        self._maps = executor.maps_of(bound, small_batch=True)
        self._initial = _complex(_array(bound["initial"]))
        steps = [step for step in executor.steps if isinstance(step, int | dict) and step != {}]
        self._steps = [self._matrix(step) if isinstance(step, dict) else step for step in steps]
        self._parts = _array(bound["parts"])
        self._bounded = _array(bound["bounded"]) if "bounded" in bound else None
        self._measured = [
            (self._matrix(m.basis) if m.basis else None, _array(m.expected)) for m in executor.measurements
        ]

    @staticmethod
    def is_possible(executor: FusedExecutor) -> bool:
        """Return whether the circuit has inputs and one block of amplitudes on the CPU.

        With one block, no phase lacks inputs.
        """
        one_block = len(executor.block_dims) == 1 and executor.populations is None
        return one_block and executor.phases is not None and executor.device.type == "cpu"

    def fits(self, inputs: Tensor) -> bool:
        """Return whether the inputs form a small batch in the parameters' precision."""
        return inputs.dtype == self.dtype and is_small(inputs.shape[-2], 2 * self._initial.shape[-1])

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return expectation values [..., batch, observable] for inputs [..., batch, feature]."""
        phases = self._phase_factors(inputs.numpy())
        state = self._initial
        for step in self._steps:
            state = state @ step if isinstance(step, np.ndarray) else state * phases[..., step, :, :]
        values = (_populations(state if basis is None else state @ basis) @ each for basis, each in self._measured)
        return torch.from_numpy(sum(values))

    def _phase_factors(self, inputs: np.ndarray) -> np.ndarray:
        """Return phases [..., level, batch, state], as in `PhaseMatrix.phase_factors`."""
        columns = inputs[..., : self._phases.n_inputs]
        if (bounded := self._phases.bounded) is not None:
            scaled = self._bounded * inputs[..., bounded.feature.numpy()]
            angles = np.where(bounded.is_tanh.numpy(), np.tanh(scaled), np.arctan(scaled))
            columns = np.concatenate([columns, angles], axis=-1)
        angles = columns[..., None, :, :] @ self._parts[..., :-1, :] + self._parts[..., -1:, :]
        return _complex(np.cos(angles, out=angles))

    def _matrix(self, maps: Maps) -> np.ndarray:
        """Return the map of the only block; it acts from the right."""
        name, position = maps[0]
        return _array(self._maps[name][position])


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.resolve_conj().numpy())


def _complex(parts: np.ndarray) -> np.ndarray:
    return parts.view(np.complex64 if parts.dtype == np.float32 else np.complex128)


def _populations(state: np.ndarray) -> np.ndarray:
    """Return the squares of both parts of each amplitude."""
    parts = state.view(state.real.dtype)
    return parts * parts
