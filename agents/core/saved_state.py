"""Tensors of a checkpoint: a learner's parameters, optimiser moments and policy buffers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qrl.common.errors import UsageError
from qrl.policies.policy import Params


def named_parameters(params: Params) -> dict[str, Tensor]:
    """Return parameters by their names in a checkpoint."""
    return {f"params/{name}": value for name, value in params.items()}


def policy_buffers(policy: nn.Module) -> dict[str, Tensor]:
    """Return the policy's persistent buffers, such as its input normalisation, by their names in a checkpoint."""
    persistent = policy.state_dict().keys()
    return {f"buffers/{name}": value for name, value in policy.named_buffers() if name in persistent}


def moments(optimiser: torch.optim.Adam, params: Params) -> dict[str, Tensor]:
    """Return all tensors of an optimiser's state by their names in a checkpoint."""
    states = ((name, optimiser.state.get(value, {})) for name, value in params.items())
    return {f"adam/{name}/{key}": tensor for name, state in states for key, tensor in state.items()}


def restore_moments(optimiser: torch.optim.Adam, params: Params, tensors: Mapping[str, Tensor]) -> None:
    """Restore the optimiser state that `moments` returned."""
    for name, value in params.items():
        prefix = f"adam/{name}/"
        saved = {key.removeprefix(prefix): t.clone() for key, t in tensors.items() if key.startswith(prefix)}
        if saved:  # Adam keeps its step count on the CPU
            optimiser.state[value] = {k: t if k == "step" else t.to(value.device) for k, t in saved.items()}


@torch.no_grad()
def restore(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into an agent's tensors in place.

    Raises UsageError, without any change, if the saved tensors belong to another model.
    """
    for name, value in own.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise UsageError(
                f"the checkpoint belongs to another model: {name} should be {tuple(value.shape)}, is {found}"
            )
    for name, value in own.items():
        value.copy_(tensors[name])
