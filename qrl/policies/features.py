"""Features: what a model file builds, and how a policy calls it with parameters as values.

Features are any module [batch, n_inputs] -> [batch, n_features] with an attribute `n_features`. Features with a memory
have an attribute `n_memory` too, the numbers they remember of a lane, and are called with and return it:
(inputs, memory [batch, n_memory]) -> (features, the memory after). The memory is a value: nothing is kept on a module.

They may offer `bind()` and `run(bound, inputs)`, or `run(bound, inputs, memory)`, to separate what depends on
parameters alone, and `groups`, the learning-rate groups of their parameters ("angles" unless named).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.policies.actor import PolicyConfig
from qrl.policies.frame import Frame, check_size

Bound = dict[str, Tensor]
"""What depends on parameters alone."""

FEATURES, READOUT = "features.", "readout."
"""Prefixes of what belongs to the features and to the read-out, among parameters and in `Bound`."""

RATES = ("angles", "scales", "heads")
"""Learning-rate groups: variational angles and hidden weights, input scales and projections, read-outs and the rest."""


def build_features(model: str, config: Any, frame: Frame, generator: torch.Generator, *, memory: bool) -> nn.Module:
    """The features of a model file. Raises UsageError for others than wanted: with a memory, or without one."""
    features = MODELS.load(model).build(config, frame, generator)
    if not isinstance(features, nn.Module) or not isinstance(getattr(features, "n_features", None), int):
        raise UsageError(f"model: expected an nn.Module with an int n_features, not {type(features).__name__}")
    if memory and not isinstance(getattr(features, "n_memory", None), int):
        raise UsageError(f"model {model!r} has no memory, which this agent needs; one such as qgru or gru has")
    if not memory and hasattr(features, "n_memory"):
        raise UsageError(f"model {model!r} has a memory, of which this agent makes no use; it is for one such as rl2")
    return features


def make_readout(n_features: int, n_outputs: int, config: PolicyConfig, generator: torch.Generator) -> nn.Linear:
    """A linear read-out that begins as the options say; biases, if any, are 0."""
    check_size((n_features + 1) * n_outputs)
    readout = nn.Linear(n_features, n_outputs, bias=config.readout_bias)
    bound = config.readout_gain / math.sqrt(n_features)
    nn.init.uniform_(readout.weight, -bound, bound, generator=generator)
    if config.readout_start == "alternating":
        signs = (-1.0) ** torch.arange(n_outputs)
        readout.weight.data.copy_(config.readout_gain * signs[:, None].expand_as(readout.weight))
    if config.readout_bias:
        nn.init.zeros_(readout.bias)
    return readout


def bind_network(features: nn.Module, readout: nn.Linear) -> Bound:
    """Everything of features and read-out that depends on parameters alone."""
    own: Bound = features.bind() if hasattr(features, "bind") else dict(features.named_parameters())  # type: ignore[operator]
    outer = {f"{READOUT}{name}": parameter for name, parameter in readout.named_parameters()}
    return outer | {f"{FEATURES}{name}": tensor for name, tensor in own.items()}


def bound_features(features: nn.Module, bound: Bound) -> Callable[..., Any]:
    """A function of inputs, or of inputs and memory, with bound parameters: to be called at every step."""
    own = part(bound, FEATURES)
    if hasattr(features, "bind"):
        run: Callable[..., Any] = features.run  # type: ignore[assignment]
        return partial(run, own)
    return lambda *inputs: functional_call(features, own, inputs)


def read_out(bound: Bound, features: Tensor) -> Tensor:
    """The read-out's outputs with bound parameters."""
    outputs, bias = features @ bound[f"{READOUT}weight"].mT, bound.get(f"{READOUT}bias")
    return outputs if bias is None else outputs + bias


def groups_of(network: nn.Module, features: nn.Module) -> dict[str, str]:
    """Learning-rate group of each parameter of a module that holds these as `features`: the others are "heads"."""
    own = getattr(features, "groups", {})
    return {
        name: own.get(name.removeprefix(FEATURES), "angles") if name.startswith(FEATURES) else "heads"
        for name, _ in network.named_parameters()
    }


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins so, without that."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
