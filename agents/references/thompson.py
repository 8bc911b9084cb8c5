"""Thompson sampling for the Bernoulli bandit: act optimally in a bandit drawn from the posterior.

Thompson 1933. Each arm's success probability is drawn from Beta(1 + successes, 1 + failures), its posterior under a
uniform prior.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import BanditPolicy, Counts
from agents.references.shared.trial import TrialConfig

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of Thompson sampling."""


class Thompson(BanditPolicy):
    """Thompson sampling policy."""

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """Draw a success probability from each arm's posterior."""
        # A Beta variable is X / (X + Y) with Gamma variables X and Y; as an order statistic of uniforms it would need
        # one number per pull. `_standard_gamma` is torch's only way to draw Gamma variables from a given generator.
        successes, failures = (torch._standard_gamma(1 + counts[..., i], generator=generator) for i in (0, 1))
        return successes / (successes + failures)


def build(config: Config, context: BuildContext) -> Thompson:
    """Return the policy."""
    return Thompson(config, context)
