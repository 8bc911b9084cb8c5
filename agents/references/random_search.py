"""Random search: evaluate candidates in uniformly random order, without replacement; no training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of random search."""


class RandomSearch(SearchPolicy):
    """Search policy with uniformly random acquisition values."""

    deterministic = False

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return uniform random scores."""
        return torch.rand(
            observed.tried.shape, generator=generator, device=observed.tried.device, dtype=observed.tried.dtype
        )


def build(config: Config, context: BuildContext) -> RandomSearch:
    """Return the policy."""
    return RandomSearch(config, context)
