"""Nearest-neighbour warm start: the best candidates of the training tasks with the most similar meta-features.

The warm start of auto-sklearn (Feurer et al. 2015, Efficient and robust automated machine learning): training tasks are
ordered by their distance in standardised meta-features, and the best candidates of the nearest tasks come first. Here
candidates are ranked by their mean improvement in the `neighbours` nearest tasks, relative to the best improvement in
each of these tasks. With a single neighbour, the best candidate of that task therefore comes first. There is no search.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of the nearest-neighbour warm start."""

    neighbours: int = 5
    """Nearest training tasks whose improvements are averaged [tasks]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("neighbours",), lambda value: value >= 1, "at least 1")


class NearestTasks(SearchPolicy):
    """Search policy that ranks candidates by their relative improvement in the nearest training tasks."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        table = self.family.table
        features = self.family.standardised(table.features[: table.n_train])
        self._features = torch.from_numpy(features).to(self.device)
        best = np.maximum(self.train_improvement.max(1, keepdims=True), 1e-9)
        self._scores = torch.from_numpy(self.train_improvement / best).to(self.device)
        self._neighbours = min(config.neighbours, len(self._scores))

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return each candidate's improvement relative to the best one, averaged over the nearest training tasks."""
        lanes = observed.features.flatten(0, -2)
        nearest = torch.cdist(lanes, self._features).topk(self._neighbours, largest=False).indices
        return self._scores[nearest].mean(1).unflatten(0, observed.tried.shape[:-1])


def build(config: Config, context: BuildContext) -> NearestTasks:
    """Return the policy."""
    return NearestTasks(config, context)
