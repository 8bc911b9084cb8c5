"""Memory of a gradient's graph, and the chunks of tasks whose graphs fit into a budget."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from qrl.backends.backend import uncounted
from qrl.common.errors import UsageError
from qrl.common.memory import physical_memory
from qrl.policies.policy import Policy, bind


def saved_bytes(policy: nn.Module, compute: Callable[[], object]) -> int:
    """Return what autograd keeps of a computation with a policy [bytes]; its circuits are not counted as run."""
    held: list[Tensor] = []

    def hold(tensor: Tensor) -> int:
        held.append(tensor)
        return len(held) - 1

    with uncounted(policy), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(hold, held.__getitem__):
        compute()
    # Of storages that are all alive: one that was freed in between might share its address with another.
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    held.clear()  # the graph refers to the list, and the list to the graph: no collector would see that circle
    return sum(storages.values())


def check_fits(who: str, what: str, needed: float) -> None:
    """Raise UsageError if `what`, which takes `needed` bytes, cannot fit into this machine's memory."""
    if needed > physical_memory():
        raise UsageError(
            f"{who}: {what} needs about {needed / 2**30:.3g} GiB, "
            f"this machine has {physical_memory() / 2**30:.3g}; use fewer wires, layers, tasks, episodes or steps"
        )


def forward_bytes(policy: Policy, observation: Tensor) -> int:
    """Return what autograd keeps of the policy's distributions for these observations [batch, obs], in bytes."""
    params = {name: value.detach().requires_grad_() for name, value in policy.named_parameters()}
    return saved_bytes(policy, lambda: policy.distribution(bind(policy, params), observation))


def task_chunks(policy: Policy, observation: Tensor, n_samples: int, budget: float, fixed: int = 0) -> list[slice]:
    """Divide tasks into chunks whose graphs fit into `budget` GiB, or into chunks of `fixed` tasks.

    Args:
        policy: the network whose graph is measured, by its forward pass of some samples.
        observation: [task, time, env, obs]; the choice depends on shapes alone, so that it is the same on resuming.
        n_samples: forward passes that one task's graph amounts to [samples].
        budget: memory for the graph of a chunk [GiB].
        fixed: tasks per chunk; 0: as many as fit.
    """
    sample = observation[0].flatten(0, 1)[:512]
    per_sample = forward_bytes(policy, sample) / len(sample)
    size = fixed or max(1, int(budget * 2**30 / (per_sample * n_samples)))
    return [slice(first, first + size) for first in range(0, len(observation), size)]


def check_gradient_fits(who: str, policy: Policy, n_samples: int) -> None:
    """Raise UsageError if the graph of one task, of `n_samples` forward passes, cannot fit, whatever the chunk."""
    some = torch.zeros(4, len(policy.scale), device=policy.scale.device)
    per_sample = (forward_bytes(policy, some) - forward_bytes(policy, some[:2])) / 2
    check_fits(who, "the gradient of one task", per_sample * n_samples)
