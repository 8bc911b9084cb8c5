"""Thompson sampling for the Bernoulli bandit: draw a world from the posterior and do what is best in it.

Thompson 1933. Each arm's probability is drawn from Beta(1 + paid, 1 + failed), the posterior under a uniform prior.
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
    """Thompson sampling."""

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """A draw from each arm's posterior."""
        # Beta(1 + a, 1 + b) with whole a and b is the (1 + a)-th smallest of 1 + a + b uniforms, but as a quotient of
        # Gamma variables it needs no such number of them. Torch draws those from a generator only in this form.
        paid, failed = (torch._standard_gamma(1 + counts[..., i], generator=generator) for i in (0, 1))
        return paid / (paid + failed)


def build(config: Config, context: BuildContext) -> Thompson:
    """Return the policy."""
    return Thompson(config, context)
