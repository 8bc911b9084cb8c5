"""No search: the candidate that gained most on average in training, alone or followed by the next best.

What somebody does who has one favourite; its first try is the best single algorithm.
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

    alone: bool = True
    """Whether it is tried again and again in place of the ones after it: more tries are then without use."""


class BestSingle(SearchPolicy):
    """The candidates by their mean improvement."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        self._scores = torch.from_numpy(self.train_improvement.mean(0)).to(self.device)
        self._alone = config.alone

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Mean gain in training."""
        return self._scores.expand(observed.tried.shape)

    def act(self, state: None, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, None]:
        """The best candidate; of those not tried, if it is not to be alone."""
        if not self._alone:
            return super().act(state, observation, generator)
        return self._scores.argmax().expand(observation.shape[:2]), None


def build(config: Config, context: BuildContext) -> BestSingle:
    """Return the policy."""
    return BestSingle(config, context)
