"""Legend of the tables: the meaning of brackets and columns, in words, and where intervals are too narrow."""

import math
from collections.abc import Sequence

from agents.compare.certification import FAMILY_WISE_LEVEL, GroupCertificate, family_wise_log10_p
from agents.compare.format import number_text, percent
from agents.compare.result import Section
from agents.compare.statistics import CONFIDENCE, MIN_SEEDS, SAMPLE_COMPLEXITY_CONFIDENCE
from agents.experiment.certificate import LEAST_EPISODES
from agents.experiment.certificate_text import DIGITS, ceiling_name, p_value_text

UNDERCOVERAGE = (
    "Where seeds or tasks are skewed, or some seeds fail, intervals of the mean are too narrow: they cover as little "
    "as 76 % at five seeds and 86 % at twenty; those of the IQM 89 %, of paired differences 94 %"
)
"""Result of `benchmarks.coverage`; tests/agents/compare/test_legend.py compares it with the committed numbers."""
UNDERCOVERAGE_OF_STEPS = "79 % at five seeds and δ = 0.75"
"""The same of the 90 % interval of the sample complexity."""


def legend_of_returns(section: Section) -> tuple[str, ...]:
    """Return the legend of the table of returns, one line for each matter."""
    lines = [_brackets(section)]
    if any(group.has_intervals for group in section.groups):
        lines.append(UNDERCOVERAGE)
    of_scores, of_each = (
        (" of seeds × tasks", " of each seed, averaged over seeds") if section.has_several_seeds else ("", "")
    )
    lines.append(
        f"IQM: interquartile mean{of_scores}, without the best and the worst quarter; worst 10 %: mean over the worst "
        f"tenth of the tasks{of_each}"
    )
    if section.reference:
        lines.append(
            f"Differences from {section.reference} are paired over tasks and common seeds; P(better than it) is the "
            "probability that a seed exceeds a seed of it, averaged over tasks"
        )
    return tuple(lines)


def legend_of_costs(section: Section) -> tuple[str, ...]:
    """Return the legend of the table of cost, about the sample complexity; empty without learning curves."""
    target = section.target
    if target.threshold is None:
        missing = any(group.learning is not None for group in section.groups)
        return (f"No sample complexity Ŝ: {target.basis}",) if missing else ()
    value = number_text(target.threshold, section.digits)
    way = f"{percent(1 - target.epsilon)} of the way {target.basis}" if target.basis else "as given"
    lines = [
        f"Ŝ: environment steps of training spent while fewer than {percent(target.delta)} of the seeds exceed the "
        "threshold, relapses counted (Meyer et al. 2025)",
        f"Threshold: a return of {value}, {way}",
    ]
    if any(each.low is not None for each in (g.sample_complexity for g in section.groups) if each is not None):
        confidence = percent(SAMPLE_COMPLEXITY_CONFIDENCE)
        lines.append(f"Brackets: {confidence} intervals over seeds, which cover down to {UNDERCOVERAGE_OF_STEPS}")
    return tuple(lines)


def legend_of_certificates(section: Section) -> tuple[str, ...]:
    """Return the legend of the table of certificates; empty without any."""
    certificates = section.certificates
    if not certificates:
        return ()
    first = certificates[0]
    lines = [
        "Success rates over all episodes of all seeds together, none left out; brackets: exact binomial "
        f"{percent(CONFIDENCE)} intervals, about these trained agents; seeds above: those whose own rate is above the "
        "ceiling",
        f"{ceiling_name(first.ceiling_kind).capitalize()}: {first.ceiling:.{DIGITS}f}, 0 % of the gap; optimum: "
        + ("not known" if first.optimum is None else f"{first.optimum:.{DIGITS}f}, 100 %"),
    ]
    sufficient = [each for each in certificates if each.pooled.is_sufficient]
    if len(sufficient) < len(certificates):
        lines.append(f"No p-value where there are fewer than {LEAST_EPISODES:,} episodes")
    return (*lines, *([_family_wise(sufficient)] if sufficient else []))


def _family_wise(certificates: Sequence[GroupCertificate]) -> str:
    """Return what p-values mean, and the statement about all groups together."""
    meaning = "p-value: largest probability that a classical memory has as many successes"
    if len(certificates) == 1:
        return meaning
    log10 = family_wise_log10_p(certificates)
    found = "none" if log10 > math.log10(FAMILY_WISE_LEVEL) else "at least one"
    return (
        f"{meaning}; over the {len(certificates)} groups together, the smallest after Holm's correction is "
        f"{p_value_text(log10)}: {found} exceeds the ceiling at the level {FAMILY_WISE_LEVEL:g}"
    )


def _brackets(section: Section) -> str:
    if not any(group.has_intervals for group in section.groups):
        return f"No intervals: those over seeds and tasks need {MIN_SEEDS} seeds"
    return f"Brackets: {percent(CONFIDENCE)} intervals over both seeds and tasks, from {MIN_SEEDS} seeds on"
