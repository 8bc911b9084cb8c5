"""Tensors of a checkpoint: a learner's parameters, optimiser moments and policy buffers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qrl.common.errors import UsageError
from qrl.common.optimisers import fresh_moments
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


@torch.no_grad()
def restore(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into an agent's tensors in place.

    Raises UsageError, without any change, if the saved tensors are not those of this agent: if one is missing, or has
    another name, shape or type.
    """
    _check(own, tensors)
    for name, value in own.items():
        value.copy_(tensors[name])


def restore_training(
    own: Mapping[str, Tensor], optimiser: torch.optim.Adam, params: Params, tensors: Mapping[str, Tensor]
) -> None:
    """Restore an agent's tensors as `restore` does, and the optimiser state that `moments` returned.

    The moments may be missing altogether, as in weights for evaluation only.
    """
    states = {name: fresh_moments(optimiser, value) for name, value in params.items()}
    expected = {f"adam/{name}/{key}": like for name, state in states.items() for key, like in state.items()}
    saved = {name: tensor for name, tensor in tensors.items() if name in expected}
    _check(expected if saved else {}, saved)
    restore(own, {name: tensor for name, tensor in tensors.items() if name not in saved})
    for name, value in params.items() if saved else ():
        state = {key: saved[f"adam/{name}/{key}"].clone() for key in states[name]}
        # Adam keeps its step count on the CPU.
        optimiser.state[value] = {key: t if key == "step" else t.to(value.device) for key, t in state.items()}


def _check(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raise UsageError unless the tensors have the expected names, shapes and types."""
    for name, like in expected.items():
        wanted, found = _describe(like), _describe(tensors[name]) if name in tensors else "nothing"
        if wanted != found:
            raise UsageError(f"the checkpoint belongs to another model: {name} should be {wanted}, is {found}")
    for name in sorted(tensors.keys() - expected.keys()):
        raise UsageError(f"the checkpoint belongs to another model, which has a tensor {name[:60]!r}")


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
