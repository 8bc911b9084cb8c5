"""No training: candidates in random order, none twice."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Player, Seen, TriesConfig

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(TriesConfig):
    """Options of random search."""


class RandomSearch(Player):
    """The player."""

    without_chance = False

    def worth(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """As chance will have it."""
        return torch.rand(seen.tried.shape, generator=generator, device=seen.tried.device, dtype=seen.tried.dtype)


def build(config: Config, context: BuildContext) -> RandomSearch:
    """The player."""
    return RandomSearch(config, context)
