"""Requirements on the rows of the result on quantum data, and whether they are met."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.certificates.rows import CLASSICAL, certificate_of

MEDIANS = {"symmetry": 0.99, "match": 0.745, "same": 0.62}
"""Least median success rate of pairs of one qubit."""
FRACTIONS = {2: 1 / 2, 3: 1 / 3}
"""Least fraction of the gap that the median covers, by qubits of a register."""
MINUTES = {1: 1, 2: 10}
"""Longest training of a seed with its restarts, by qubits of a register [minutes]; none for three qubits."""
FRAME_MINUTES = 6
"""Longest training of a seed with a hidden frame [minutes]."""
RESTARTS = 6
"""Most initialisations of a training."""
LOG10_P = -12
"""Decimal logarithm of the p-value below which the advantage of pairs of one qubit has to be."""
NEAR_CEILING = 0.01
"""Largest distance of a measured memory's median from the ceiling."""
FAMILY_WISE = -3
"""Decimal logarithm of the family-wise p-value that classical memories have to stay above."""
COMPARISONS = {"at least": operator.ge, "above": operator.gt, "at most": operator.le, "below": operator.lt}


def requirement(what: str, found: float, comparison: str, limit: float) -> dict[str, Any]:
    """Return a requirement as it stands in the result."""
    met = bool(COMPARISONS[comparison](found, limit))
    return {"what": what, "found": found, "required": comparison, "limit": limit, "met": met}


def requirements(part: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the requirements of a row of a part; empty for rows that are only reported."""
    certificate = certificate_of(row)
    ceiling, median = certificate.ceiling, certificate.median_rate
    if row["memory"] == "measured" and part == "pairs":
        return [requirement("distance of the median from the ceiling", abs(median - ceiling), "at most", NEAR_CEILING)]
    if row["memory"] in CLASSICAL or part == "dephasing":
        return []
    every_seed = requirement("seeds above the ceiling", certificate.n_above, "at least", len(certificate.rates))
    log10_p, fraction = certificate.pooled.log10_p_value, row["fraction_of_median"]
    match part:
        case "pairs":
            own = [
                requirement("median", median, "at least", MEDIANS[row["mode"]]),
                every_seed,
                requirement("log10 of the p-value", log10_p, "below", LOG10_P),
            ]
        case "larger":
            covered = requirement("fraction of the gap, median", fraction, "at least", FRACTIONS[row["n_qubits"]])
            own = [covered, every_seed, requirement("restarts", row["restarts"], "at most", RESTARTS)]
        case "one_shot":
            own = _above(median, certificate.pooled.rate, ceiling)
            if row["n_qubits"] == 2:
                own.append(requirement("fraction of the gap, median", fraction, "at least", FRACTIONS[2]))
        case "purity":
            own = _above(median, certificate.pooled.rate, ceiling)
        case "frame":
            return _frame(row, ceiling)
        case _:
            n_enough = len(certificate.rates) * 8 // 10
            return [
                requirement("seeds above the ceiling after the last update", certificate.n_above, "at least", n_enough)
            ]
    return own + _minutes(row, MINUTES.get(row["n_qubits"]))


def family_wise_requirement(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the requirement on all rows with a classical memory together."""
    return [requirement("log10 of the family-wise p-value", found["log10_p_value"], "above", FAMILY_WISE)]


def _above(median: float, pooled: float, ceiling: float) -> list[dict[str, Any]]:
    return [
        requirement("median", median, "above", ceiling),
        requirement("success rate over all seeds", pooled, "above", ceiling),
    ]


def _frame(row: Mapping[str, Any], ceiling: float) -> list[dict[str, Any]]:
    by_seed = np.array(row["rates_by_x"])
    return [
        requirement("mean over episodes", float(by_seed.mean()), "at least", 0.85),
        requirement("tenth episode", float(by_seed[:, 9].mean()), "at least", 0.91),
        requirement(
            "lowest mean of a seed over episodes 6 to 10", float(by_seed[:, 5:].mean(1).min()), "above", ceiling
        ),
        *_minutes(row, FRAME_MINUTES),
    ]


def _minutes(row: Mapping[str, Any], most: float | None) -> list[dict[str, Any]]:
    longest = row["seconds"]["max"] / 60
    return [] if most is None else [requirement("longest training of a seed [minutes]", longest, "at most", most)]
