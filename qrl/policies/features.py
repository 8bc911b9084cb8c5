"""Features: the interface of model files, and functional calls with parameters as values.

A model implements the protocols here. `Features` or, for agents that learn in context, `RecurrentFeatures` is required;
`BindableFeatures`, `BroadcastingFeatures` and `GroupedFeatures` are optional. A memory is a value: no module stores it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from qrl.common.errors import UsageError
from qrl.common.options import build_config
from qrl.common.registry import name_of
from qrl.models import MODELS
from qrl.policies.actor import PolicyConfig
from qrl.policies.frame import Frame, check_size
from qrl.policies.task_axes import for_batch

Output = TypeVar("Output", Tensor, tuple[Tensor, Tensor])
Output_co = TypeVar("Output_co", covariant=True)
Result = TypeVar("Result")

LEARNING_RATE_GROUPS = ("angles", "scales", "heads")
"""Learning-rate groups: variational angles and hidden weights; input scales and projections; read-outs and the rest."""


@runtime_checkable
class Features(Protocol):
    """Features phi of the inputs, an `nn.Module`."""

    @property
    def n_features(self) -> int:
        """Width of the features."""

    def __call__(self, inputs: Float[Tensor, "batch input"], /) -> Float[Tensor, "batch feature"]:
        """Return the features of a batch of inputs."""


@runtime_checkable
class RecurrentFeatures(Protocol):
    """Recurrent features, an `nn.Module`; the memory starts at zero."""

    @property
    def n_features(self) -> int:
        """Width of the features."""

    @property
    def n_memory(self) -> int:
        """Width of the memory per lane."""

    def __call__(
        self, inputs: Float[Tensor, "batch input"], memory: Float[Tensor, "batch memory"], /
    ) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "batch memory"]]:
        """Return the features and the next memory."""


@runtime_checkable
class BindableFeatures(Protocol[Output_co]):
    """Features that compute everything that depends only on parameters, such as a circuit's unitaries, separately.

    That part is computed once for a rollout, or for the steps of a trial.
    """

    def bind(self) -> object:
        """Compute everything that depends only on parameters, as a pytree of tensors."""

    @property
    def run(self) -> Callable[..., Output_co]:
        """`run(bound, inputs)` or `run(bound, inputs, memory)`: the features for bound parameters."""


@runtime_checkable
class BroadcastingFeatures(BindableFeatures[Output_co], Protocol[Output_co]):
    """Features whose `bind` and `run` accept leading task axes in parameters, inputs and memory, and return them.

    A rollout step is then one call for all tasks. Other features are mapped over the tasks by `torch.func.vmap`.
    """

    @property
    def broadcasts(self) -> bool:
        """True; False is the same as no such attribute."""


@runtime_checkable
class GroupedFeatures(Protocol):
    """Features with parameters in learning-rate groups other than "angles"."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Group (`LEARNING_RATE_GROUPS`) of each parameter, by name; "angles" for names not listed."""


class FunctionalFeatures(Generic[Output]):
    """Features module as a function of bound parameters and inputs, and of the memory if recurrent."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._bindable: BindableFeatures[Output] | None = module if isinstance(module, BindableFeatures) else None
        self.broadcasts = isinstance(module, BroadcastingFeatures) and module.broadcasts
        """Whether `bind` of the module accepts parameters with leading task axes; `run` here always does."""

    def bind(self) -> object:
        """Return the bound parameters of the features or, if the features have no `bind`, their parameters."""
        return dict(self._module.named_parameters()) if self._bindable is None else self._bindable.bind()

    def run(self, bound: object, n_task_axes: int, *inputs: Tensor) -> Output:
        """Return the features for bound parameters, with so many leading axes of parameters and inputs."""
        run = self._call if self._bindable is None else self._bindable.run
        return (run if self.broadcasts else mapped(run, n_task_axes))(bound, *inputs)

    def _call(self, params: object, *inputs: Tensor) -> Output:
        return functional_call(self._module, params, inputs)  # type: ignore[arg-type]


def mapped(function: Callable[..., Result], n_axes: int) -> Callable[..., Result]:
    """Map a function over this many leading axes of all tensors in its arguments."""
    for _ in range(n_axes):
        function = vmap(function)
    return function


def build_features(
    model: object, config: object, frame: Frame, generator: torch.Generator, *, memory: bool
) -> nn.Module:
    """Build the features of a model, given by its name or as an object.

    `config`: the model's Config, a mapping of its options, or None for the defaults. Raises UsageError for an unknown
    option, for an object that is not a features module, and if it is recurrent but `memory` is False, or vice versa.
    """
    plugin = MODELS.load(model)
    if config is None or isinstance(config, Mapping):
        config = build_config(plugin.Config, config or {}, "model: no option", f" of model {name_of(model)!r}")
    features = plugin.build(config, frame, generator)
    is_features = isinstance(features, nn.Module) and isinstance(features, Features)
    if not (is_features and isinstance(features.n_features, int)):
        raise UsageError(f"model: expected an nn.Module with an int n_features, not {type(features).__name__}")
    recurrent = isinstance(features, RecurrentFeatures)
    if memory and not (recurrent and isinstance(features.n_memory, int)):
        raise UsageError(f"model {name_of(model)!r} has no memory, which this agent needs; qgru and gru have one")
    if not memory and recurrent:
        raise UsageError(f"model {name_of(model)!r} has a memory, which this agent does not use; rl2 does")
    return features


def make_readout(n_features: int, n_outputs: int, config: PolicyConfig, generator: torch.Generator) -> nn.Linear:
    """Build a linear read-out, initialised as the options specify; biases, if any, are 0."""
    check_size((n_features + 1) * n_outputs)
    # Not initialised by torch, which would draw from its global generator.
    readout = nn.utils.skip_init(nn.Linear, n_features, n_outputs, bias=config.readout_bias)
    bound = config.readout_gain / math.sqrt(n_features)
    nn.init.uniform_(readout.weight, -bound, bound, generator=generator)
    if config.readout_start == "alternating":
        signs = (-1.0) ** torch.arange(n_outputs)
        readout.weight.data.copy_(config.readout_gain * signs[:, None].expand_as(readout.weight))
    if config.readout_bias:
        nn.init.zeros_(readout.bias)
    return readout


def read_out(readout: dict[str, Tensor], features: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch output"]:
    """Return the read-out's outputs for parameters given as values, which may have leading task axes."""
    outputs, bias = features @ readout["weight"].mT, readout.get("bias")
    return outputs if bias is None else outputs + for_batch(bias)


def n_task_axes(readout: dict[str, Tensor]) -> int:
    """Return the number of leading task axes of a read-out's parameters, given as values."""
    return readout["weight"].ndim - 2


def learning_rate_groups(module: nn.Module, *features: nn.Module) -> dict[str, str]:
    """Return the learning-rate group of each parameter of a module that holds these features; "heads" for the rest."""
    groups: dict[Tensor, str] = {}
    for each in features:
        named = each.groups if isinstance(each, GroupedFeatures) else {}
        groups |= {parameter: named.get(name, "angles") for name, parameter in each.named_parameters()}
    return {name: groups.get(parameter, "heads") for name, parameter in module.named_parameters()}
