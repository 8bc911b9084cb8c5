"""Calls of the kernel: tensors with any leading axes in, tensors out."""

import ctypes
import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from qrl.common.errors import UsageError
from qrl.simulator.native.encoding import EncodedCircuit
from qrl.simulator.native.library import Library

THREADED = 2**21
"""Amplitudes times gates of a call from which it is worth starting threads."""


class CArray(ctypes.Structure):
    """`QrlArray` of interface.h."""

    _fields_: ClassVar = [("data", ctypes.c_void_p), ("circuit", ctypes.c_int64), ("row", ctypes.c_int64)]


_ARGUMENTS = ("weights", "scales", "inputs", "initial")
_GRADIENTS = tuple(f"{name}_gradient" for name in _ARGUMENTS)
_NAMES = (*_ARGUMENTS, *(f"{name}_tangent" for name in _ARGUMENTS), "cotangent", "cotangent_tangent")
N_TAIL_AXES = dict(zip(_NAMES, (1, 1, 2, 2) * 2 + (2, 2), strict=True))
"""Axes after the leading ones: of the arguments, their tangents, the output's cotangent and the tangent of that."""


class CCall(ctypes.Structure):
    """`QrlCall` of interface.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("is_double", "output", "n_threads", "is_dual")),
        *((name, ctypes.c_int64) for name in ("n_circuits", "n_samples")),
        *((name, CArray) for name in _NAMES),
        *((name, ctypes.c_void_p) for name in ("final_state", "result", *_GRADIENTS)),
    ]


class Arguments(NamedTuple):
    """Arguments of a circuit, or tangents of them; leading axes broadcast."""

    weights: Tensor | None
    """[..., weight] in rad"""
    scales: Tensor | None
    """[..., scale] in rad per unit of input"""
    inputs: Tensor | None
    """[..., batch, feature]"""
    initial: Tensor | None
    """Initial states [..., batch, 2 * state], real and imaginary parts in turn; None: |0...0>."""


NO_TANGENTS = Arguments(None, None, None, None)


class Call:
    """One call of the kernel in preparation: the leading axes and the C structure of its arguments.

    All tensors are plain ones on the CPU, of one dtype, with as many inputs as the circuit uses.
    """

    def __init__(
        self,
        library: Library,
        circuit: EncodedCircuit,
        arguments: Arguments,
        tangents: Arguments = NO_TANGENTS,
        cotangent: Tensor | None = None,
        cotangent_tangent: Tensor | None = None,
    ) -> None:
        self._library, self._circuit = library, circuit
        assert arguments.inputs is not None
        self._like, self._batch = arguments.inputs, arguments.inputs.shape[-2]
        tensors = [
            (name, t)
            for name, t in zip(_NAMES, (*arguments, *tangents, cotangent, cotangent_tangent), strict=True)
            if t is not None
        ]
        leads = {tensor.shape[: -N_TAIL_AXES[name]] for name, tensor in tensors}
        self.lead = leads.pop() if len(leads) == 1 else torch.broadcast_shapes(*leads)
        self._n_circuits = math.prod(self.lead) if self.lead else 1
        self._kept: list[Tensor] = []  # alive until the kernel has read them
        self._c = CCall(self._like.dtype == torch.float64, circuit.output, self._n_threads())
        self._c.n_circuits, self._c.n_samples = self._n_circuits, self._batch
        widths = {
            "weights": circuit.n_weights,
            "scales": circuit.n_scales,
            "inputs": circuit.n_inputs,
            "initial": 2 * circuit.size,
            "cotangent": circuit.n_columns,
        }
        for name, tensor in tensors:
            width = widths[name.removesuffix("_tangent")]
            tail = (width,) if N_TAIL_AXES[name] == 1 else (self._batch, width)
            setattr(self._c, name, self._array(name, tensor, tail))

    def _n_threads(self) -> int:
        work = self._n_circuits * self._batch * self._circuit.size * self._circuit.n_gates
        return torch.get_num_threads() if work >= THREADED else 1

    # --- arguments ---------------------------------------------------------------------------------------------------

    def _array(self, name: str, tensor: Tensor, tail: tuple[int, ...]) -> CArray:
        """Return a view of the tensor as [circuit, row, column]; copy it only if its strides require that.

        Raises UsageError if the tensor's dtype, device or size is wrong: the kernel would read other memory.
        """
        if tensor.dtype != self._like.dtype or not tensor.is_cpu:
            raise UsageError(
                f"circuit: parameters and inputs must have one dtype and device, not {tensor.dtype} on {tensor.device} "
                f"and {self._like.dtype} on {self._like.device}"
            )
        shape, lead, n_tail = tensor.shape, self.lead, len(tail)
        if shape[-n_tail:] != tail:
            raise UsageError(
                f"circuit: {name} must have the shape [..., {', '.join(map(str, tail))}], not {list(shape)}"
            )
        tensor = tensor.resolve_neg()
        if shape[:-n_tail] != lead:
            tensor = tensor.expand(*lead, *tail)
        if len(lead) > 1:
            tensor = tensor.reshape(self._n_circuits, *tail)
        if tail[-1] > 1 and tensor.stride(-1) != 1:
            tensor = tensor.contiguous()
        if tensor._is_zerotensor():  # zeros without memory, as forward mode makes them
            tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
        self._kept.append(tensor)
        strides = tensor.stride()
        return CArray(tensor.data_ptr(), strides[0] if lead else 0, strides[-2] if n_tail > 1 else 0)

    def _new(self, *shape: int) -> Tensor:
        # The kernel does nothing without samples, and the sum over none is 0.
        new = self._like.new_empty if self._batch else self._like.new_zeros
        tensor = new(*self.lead, *shape)
        self._kept.append(tensor)
        return tensor

    # --- execution ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if not self._batch:
            return
        run = self._library.functions.qrl_native_run
        if run(self._circuit.pointer, ctypes.byref(self._c), self._library.number):
            raise MemoryError("the native kernel is out of memory")

    def values(self) -> Tensor:
        """Return the output [..., batch, column]."""
        result = self._new(self._batch, self._circuit.n_columns)
        self._c.result = result.data_ptr()
        self._run()
        return result

    def values_and_state(self) -> tuple[Tensor, Tensor]:
        """Return the output, and the final state for `gradient`, in the kernel's own layout."""
        final_state = self._new(self._state_size)
        self._c.final_state = final_state.data_ptr()
        return self.values(), final_state

    @property
    def _state_size(self) -> int:
        """Numbers of the final states of a circuit, which are kept for as many samples as a vector has lanes."""
        lanes = self._library.functions.qrl_native_lanes(self._library.number, self._c.is_double)
        return -(-self._batch // lanes) * lanes * 2 * self._circuit.size

    def gradient(self, final_state: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
        """Return the gradients by the wanted arguments, weights and scales [..., parameter] of every circuit apart."""
        assert final_state.shape[-1] == self._state_size and final_state.dtype == self._like.dtype
        if final_state.shape[:-1] != self.lead:
            final_state = final_state.expand(*self.lead, final_state.shape[-1])
        final_state = final_state.contiguous()
        self._kept.append(final_state)
        self._c.final_state = final_state.data_ptr()
        gradients = self._gradients(wanted)
        self._run()
        return gradients

    def second(self, *, result: bool, wanted: Sequence[bool]) -> list[Tensor]:
        """Return derivatives along the tangents: of the output if `result`, then of the wanted gradients."""
        self._c.is_dual = True
        results = [self._new(self._batch, self._circuit.n_columns)] if result else []
        self._c.result = results[0].data_ptr() if result else None
        results += self._gradients(wanted)
        self._run()
        return results

    def _gradients(self, wanted: Sequence[bool]) -> list[Tensor]:
        """Return the tensors to which the kernel will write the wanted gradients."""
        circuit, batch = self._circuit, self._batch
        shapes = ((circuit.n_weights,), (circuit.n_scales,), (batch, circuit.n_inputs), (batch, 2 * circuit.size))
        gradients = []
        for name, shape, want in zip(_GRADIENTS, shapes, wanted, strict=True):
            if want:
                gradients.append(self._new(*shape))
                setattr(self._c, name, gradients[-1].data_ptr())
        return gradients
