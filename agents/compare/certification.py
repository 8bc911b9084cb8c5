"""Certificate of a group: its success rate on quantum data, over all episodes of all seeds together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.experiment.certificate import SuccessRate, holm_adjusted, pooled
from agents.experiment.evaluation import Curve

FAMILY_WISE_LEVEL = 1e-3
"""Family-wise level below which a set of groups is said to exceed the ceiling."""


@dataclass(frozen=True)
class GroupCertificate:
    """Success rate of a group against any classical memory."""

    ceiling: float
    ceiling_kind: str
    """`exact` if a classical memory attains the ceiling, else `bound`."""
    optimum: float | None
    """Success rate of the best agent with a coherent memory; None if it is not known."""
    pooled: SuccessRate
    """Over all episodes of all seeds, none left out."""
    rates: tuple[float, ...]
    """Success rate of each seed."""
    median_rate: float
    """Median of the seeds' success rates."""
    n_above: int
    """Number of seeds whose success rate is above the ceiling."""


def group_certificate(curves: Sequence[Curve], index: int) -> GroupCertificate | None:
    """Return the certificate of the seeds' curves; None unless every curve has one.

    It is about the returns after the updates of this index; of an in-context agent, about all episodes of its trials.

    Raises:
        UsageError: the ceilings or the optima differ.
    """
    certificates = [curve.certificate for curve in curves if curve.certificate is not None]
    if len(certificates) < len(curves):
        return None
    first, of_steps = certificates[0], curves[0].axis == "gradient_steps"
    rates = tuple((each.by_x[index] if of_steps else each.total).rate for each in certificates)
    return GroupCertificate(
        first.ceiling,
        first.ceiling_kind,
        first.optimum,
        pooled(certificates, index if of_steps else None),
        rates,
        float(np.median(rates)),
        sum(rate > first.ceiling for rate in rates),
    )


def family_wise_log10_p(certificates: Sequence[GroupCertificate]) -> float:
    """Return the family-wise p-value that no group exceeds its ceiling, as a decimal logarithm; see `holm_adjusted`."""
    return min(holm_adjusted([each.pooled.log10_p_value for each in certificates]))
