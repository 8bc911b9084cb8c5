"""Single best candidate: evaluate the candidates by their mean improvement over the training tasks; no search.

The first candidate is the best single algorithm, the usual baseline of algorithm selection.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of the best single candidate."""

    best_only: bool = True
    """Evaluate only the single best candidate, so that further evaluations have no effect; otherwise evaluate the next
    best ones after it."""


class BestSingle(SearchPolicy):
    """Search policy that ranks candidates by their mean improvement over the training tasks."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        self._scores = torch.from_numpy(self.train_improvement.mean(0)).to(self.device)
        self._best_only = config.best_only

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return the mean improvement of each candidate over the training tasks."""
        return self._scores.expand(observed.tried.shape)

    def act(self, state: None, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, None]:
        """Return the best candidate; with `best_only` off, the best untried candidate."""
        if not self._best_only:
            return super().act(state, observation, generator)
        return self._scores.argmax().expand(observation.shape[:2]), None


def build(config: Config, context: BuildContext) -> BestSingle:
    """Return the policy."""
    return BestSingle(config, context)
