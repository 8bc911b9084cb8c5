"""Methods that compute in the precision of their module's parameters under `torch.autocast`."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

Method = TypeVar("Method", bound=Callable[..., Any])


@runtime_checkable
class Parametrised(Protocol):
    """Protocol of a module, or of anything else with parameters."""

    def parameters(self) -> Iterator[Tensor]:
        """Yield the parameters, at least one."""


def in_own_precision(method: Method) -> Method:
    """Decorate a method of a module: inside, autocast is off, and floating-point inputs have the parameters' precision.

    Circuits do not run in half precision. Tensors are cast if they are arguments of their own; bound parameters, which
    have that precision already, are passed on as they are.
    """

    @functools.wraps(method)
    def wrapped(module: Parametrised, *arguments: Any) -> Any:
        if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")):
            return method(module, *arguments)
        parameter = next(module.parameters())
        with torch.autocast(parameter.device.type, enabled=False):
            return method(module, *(_cast(each, parameter.dtype) for each in arguments))

    return wrapped  # type: ignore[return-value]


def _cast(value: object, dtype: torch.dtype) -> object:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
