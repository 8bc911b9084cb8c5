"""Numbers as texts, for every output alike."""

import math

from agents.compare.statistics import Estimate

MINUS = "−"
NOT_REACHED = "not reached"
MISSING = "–"


def number_text(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number with `digits` decimals, thousands separated, and a true minus sign."""
    if math.isinf(value):
        return NOT_REACHED if value > 0 else f"{MINUS}∞"
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:  # no sign before a zero
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def estimate_text(estimate: Estimate, digits: int, *, sign: bool = False) -> str:
    """Return a value and its interval, such as "1.50 [1.20, 1.80]"."""
    value = number_text(estimate.value, digits, sign=sign)
    if estimate.low is None or estimate.high is None:
        return value
    low, high = (number_text(end, digits, sign=sign) for end in (estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def quantity_text(value: float) -> str:
    """Return a large count with about three digits, such as "1.2 million", or a small one in full."""
    if math.isinf(value):
        return NOT_REACHED
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:,.0f}"


def duration_text(seconds: float) -> str:
    """Return a duration, such as "2.3 s", "4 min 10 s" or "1 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(share: float) -> str:
    """Return a share, such as "90 %"."""
    return f"{100 * share:g} %"
