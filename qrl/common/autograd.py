"""Types and helpers for rules of `torch.autograd.Function`."""

import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode

Built = TypeVar("Built")

Context = Any
"""Context object of a rule, on which the rule stores anything; torch annotates it as Any."""


class Rule(torch.autograd.Function):
    """`torch.autograd.Function` with a fast `apply`; arguments are positional, and `setup_context` is overridden.

    torch inspects the signature of `forward` in each call, to fill in default values. That takes longer than a small
    circuit. Outside transforms of `torch.func` this class skips that, inside them it stores the signature.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.forward.__signature__ = inspect.signature(cls.forward)  # type: ignore[attr-defined]

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Apply the rule; see `torch.autograd.Function.apply`."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*arguments)
        return super(torch.autograd.Function, cls).apply(*unwrap_dead_wrappers(arguments))  # type: ignore[misc]


def is_plain() -> bool:
    """Return whether tensors are plain and nothing is recorded: no gradient, no forward mode, no transform."""
    transforms: bool = torch._C._are_functorch_transforms_active()
    return not (torch.is_grad_enabled() or transforms or forward_ad._current_level >= 0)


def is_traced() -> bool:
    """Return whether operations are recorded: by `torch.jit.trace`, `torch.compile`, `torch.export` or `make_fx`.

    `torch.func.linearize` uses `make_fx`. A record holds operations of torch only; anything else would become a
    constant, or read tensors without values.
    """
    # In this order, as `torch.compile` cannot look into `get_proxy_mode`.
    traced: bool = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return traced or get_proxy_mode() is not None


def without_modes(build: Callable[[], Built]) -> Built:
    """Return the result of a function that makes constants, called without the modes and transforms that are active.

    A constant made inside a transform of `torch.func` would be a wrapper that is dead when the transform ends; one from
    inference mode cannot be saved for a backward pass. A separate thread has none of the caller's modes.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(build).result()


class PerDevice(Generic[Built]):
    """Constants for each precision and device, built when first used, outside of modes, transforms and traces.

    `build(dtype, device)` makes them.
    """

    def __init__(self, build: Callable[[torch.dtype, torch.device], Built]) -> None:
        self._build = build
        self._built: dict[tuple[torch.dtype, torch.device], Built] = {}

    def like(self, tensor: Tensor) -> Built:
        """Return the constants for a tensor's precision and device."""
        return self.on(tensor.dtype, tensor.device)

    def on(self, dtype: torch.dtype, device: torch.device) -> Built:
        """Return the constants for a precision and a device."""
        _ensure_built(self, dtype, device)
        return self._built[dtype, device]

    def _ensure(self, dtype: torch.dtype, device: torch.device) -> None:
        if (dtype, device) not in self._built:
            self._built[dtype, device] = without_modes(lambda: self._build(dtype, device))


def _ensure_built(constants: PerDevice[Any], dtype: torch.dtype, device: torch.device) -> None:
    """Build constants if there are none yet. `torch.compile` calls this and does not look inside.

    It could not handle the constants as a result, but it can look them up afterwards.
    """
    constants._ensure(dtype, device)


# As `torch.compiler.assume_constant_result` does, which would import the compiler: a second in each process.
_ensure_built._dynamo_marked_constant = True  # type: ignore[attr-defined]


def is_mapped_by_engine(tensor: Tensor) -> bool:
    """Return whether the engine of autograd maps a tensor, by `is_grads_batched` or a vectorised `jacobian`.

    This mapping is older than `torch.func`. It maps operations of torch but does not know of rules.
    """
    return not (torch._C._are_functorch_transforms_active() or torch._C._has_storage(tensor))


@runtime_checkable
class VmapInfo(Protocol):
    """Information about a call under `torch.func.vmap`."""

    batch_size: int


def mapped_axis_first(info: VmapInfo, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Move the mapped axis of each tensor to the front; expand tensors without a mapped axis."""
    return [
        tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        for tensor, axis in zip(tensors, in_dims, strict=True)
    ]
