"""Certificate as text: lines of the report of an evaluation."""

import math
from collections.abc import Sequence

from agents.experiment.certificate import LEAST_EPISODES, Certificate, SuccessRate

DIGITS = 4
"""Number of decimals of success rates."""


def ceiling_name(kind: str) -> str:
    """Return the name of a ceiling, which says whether a classical memory attains it."""
    return "ceiling of any classical memory" if kind == "exact" else "bound on any classical memory"


def p_value_text(log10: float) -> str:
    """Return a p-value with two digits; below 1e-300, the next larger power of ten.

    >>> p_value_text(math.log10(0.21)), p_value_text(-130.5), p_value_text(-1234.5)
    ('0.21', '3.2e-131', '10^-1234')
    """
    return f"10^{math.ceil(log10)}" if log10 < -300 else f"{10.0**log10:.2g}"


def share_text(advantage: float | None) -> str:
    """Return the share of the gap between ceiling and optimum, such as "97.7 %"."""
    return "–" if advantage is None else f"{round(100 * advantage, 1) + 0.0:.1f} %"  # no sign before a zero


def certificate_lines(certificate: Certificate, axis: str, x: Sequence[int], n_tasks: int) -> list[str]:
    """Return the lines of a certificate; p-values only if there are enough episodes for a claim.

    Args:
        certificate: the certificate.
        axis: axis of the curve.
        x: its values.
        n_tasks: number of evaluated tasks.
    """
    total = certificate.total
    lines = [
        f"success rate {_where(axis, x)}: {_rate_text(total)} (exact binomial, 95 %), "
        f"{total.n_successes:,} of {total.n_episodes:,} episodes",
        f"{ceiling_name(certificate.ceiling_kind)}: {certificate.ceiling:.{DIGITS}f}; {_optimum_text(certificate)}",
    ]
    if not certificate.sufficient:
        enough = math.ceil(LEAST_EPISODES * n_tasks / total.n_episodes)
        return [
            *lines,
            f"certificate: {total.n_episodes:,} episodes; a certificate needs {LEAST_EPISODES:,}: give more --tasks or "
            f"--episodes, such as --tasks {enough}",
        ]
    lines.append(f"p-value that a classical memory did as well: {p_value_text(total.log10_p_value)}")
    return [*lines, *_by_x(certificate, axis, x)]


def _optimum_text(certificate: Certificate) -> str:
    if certificate.optimum is None:
        return "optimum: not known"
    share = share_text(certificate.total.advantage)
    return f"optimum: {certificate.optimum:.{DIGITS}f}; share of the gap: {share}"


def _where(axis: str, x: Sequence[int]) -> str:
    if axis == "gradient_steps":
        return f"after {x[-1]} gradient step{'s' * (x[-1] != 1)}"
    return "over all episodes" if len(x) > 1 else "of an episode"


def _rate_text(rate: SuccessRate) -> str:
    n = f".{DIGITS}f"
    return f"{rate.rate:{n}} [{rate.low:{n}}, {rate.high:{n}}]"


def _by_x(certificate: Certificate, axis: str, x: Sequence[int]) -> list[str]:
    """Return a table with a row for each x, if there are several; without the gap, if the optimum is not known."""
    if len(x) == 1:
        return []
    rows = [(axis.replace("_", " "), "success rate", "of the gap", "p-value")]
    rows += [
        (str(at), _rate_text(rate), share_text(rate.advantage), p_value_text(rate.log10_p_value))
        for at, rate in zip(x, certificate.by_x, strict=True)
    ]
    widths = (14, 24, 11 if certificate.optimum is not None else 0, 10)
    return [
        *(" ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True) if n) for row in rows),
        f"these {len(x)} p-values are not corrected for their number",
    ]
