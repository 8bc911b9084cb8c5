"""Memory of a gradient's graph, and chunks of tasks whose graphs fit into a budget."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from agents.rl.config import InnerConfig
from qrl.backends.backend import uncounted
from qrl.common.memory import check_fits
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import bind


def saved_bytes(policy: nn.Module, compute: Callable[[], object]) -> int:
    """Return the memory that autograd keeps of a computation with a policy [bytes]; circuit runs are not counted."""
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> int:
        saved.append(tensor)
        return len(saved) - 1

    with uncounted(policy), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, saved.__getitem__):
        compute()
    # The list keeps all storages alive, so that no two of them have the same address.
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in saved}
    saved.clear()  # graph and list refer to each other, a cycle that the garbage collector does not see
    return sum(storages.values())


def forward_bytes(policy: EpisodePolicy, observation: Tensor) -> int:
    """Return the memory that autograd keeps of the policy's forward pass on observations [batch, obs], in bytes."""
    params = {name: value.detach().requires_grad_() for name, value in policy.named_parameters()}
    action = policy.no_action(1, len(observation))
    return saved_bytes(policy, lambda: policy.episodes(bind(policy, params), observation[None], action))


def task_chunks(policy: EpisodePolicy, observation: Tensor, n_samples: int, config: InnerConfig) -> list[slice]:
    """Divide tasks into chunks of `chunk_tasks`, or, if that is 0, into chunks whose graphs fit into `memory_budget`.

    The division depends on shapes alone, so that a resumed run divides in the same way.

    Args:
        policy: network whose graph is measured, by a forward pass on some of the observations.
        observation: observations [task, time, env, obs].
        n_samples: size of one task's graph [forward passes of one sample].
        config: options with `chunk_tasks` and `memory_budget`.
    """
    sample = observation[0].flatten(0, 1)[:512]
    per_sample = forward_bytes(policy, sample) / len(sample)
    size = config.chunk_tasks or max(1, int(config.memory_budget * 2**30 / (per_sample * n_samples)))
    return [slice(first, first + size) for first in range(0, len(observation), size)]


def check_gradient_fits(user: str, policy: EpisodePolicy, n_samples: int) -> None:
    """Raise UsageError if the graph of a single task, of `n_samples` forward passes, exceeds its device's memory."""
    # Differences of multiples of 16: the native kernel keeps the states of 16 samples, or of as many as fit into a
    # vector, together.
    sample = torch.zeros(32, len(policy.scale), device=policy.scale.device)
    per_sample = (forward_bytes(policy, sample) - forward_bytes(policy, sample[:16])) / 16
    check_fits(user, "the gradient of one task", per_sample * n_samples, policy.scale.device)
