"""Optimal policy of a known finite-horizon Markov decision process, by backward induction."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def best_actions(
    mean_reward: Float[Tensor, "*batch state action"],
    transition: Float[Tensor, "*batch state action state"],
    horizon: int,
) -> tuple[Int[Tensor, "*batch time state"], Float[Tensor, "*batch state"]]:
    """Return the optimal action at each step in each state, and the value of each state at the start of an episode.

    Q_t(s, a) = r(s, a) + sum over s' of P(s' | s, a) max over b of Q_t+1(s', b),    Q_horizon = 0
    """
    value = torch.zeros_like(mean_reward[..., 0])
    actions: list[Tensor] = []
    for _ in range(horizon):
        q = mean_reward + (transition @ value[..., None, :, None])[..., 0]
        value, action = q.max(-1)
        actions.insert(0, action)
    return torch.stack(actions, dim=-2), value
