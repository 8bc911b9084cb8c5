"""Greedy portfolio: evaluate candidates in the fixed order with the largest joint gain on the training tasks.

    a_k = argmax_a  sum over tasks of  max(max_j<k g_a_j, g_a)

The order uses no meta-features and is computed beforehand. Because the sum is submodular, the greedy portfolio reaches
at least 1 - 1/e of the best set's improvement (Streeter and Smith 2009; Feurer et al. 2022, Auto-sklearn 2.0).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of the greedy portfolio."""


class Portfolio(SearchPolicy):
    """Search policy that evaluates candidates in the order of the greedy portfolio."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        order = greedy_order(self.train_improvement)
        score = torch.empty(self.n_actions, dtype=torch.float64)
        score[order] = torch.arange(self.n_actions, 0, -1, dtype=torch.float64)
        self._scores = score.to(self.device)

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return a score that decreases with a candidate's position in the portfolio."""
        return self._scores.expand(observed.tried.shape)


def greedy_order(gains: NDArray[np.float64]) -> list[int]:
    """Order the candidates so that each adds most to the best improvement of those before it.

    Ties, also where no candidate adds anything, are broken by mean improvement.

    Args:
        gains: improvements [task, candidate].
    """
    best, order, left = np.zeros(len(gains)), [], list(range(gains.shape[1]))
    while left:
        added = np.maximum(gains[:, left], best[:, None]).mean(0)
        chosen = left[int(np.lexsort((gains[:, left].mean(0), added))[-1])]
        best = np.maximum(best, gains[:, chosen])
        order.append(chosen)
        left.remove(chosen)
    return order


def build(config: Config, context: BuildContext) -> Portfolio:
    """Return the policy."""
    return Portfolio(config, context)
