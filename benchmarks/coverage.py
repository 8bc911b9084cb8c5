"""Coverage of the confidence intervals of `compare`, by simulation with known truth.

    python -m benchmarks.coverage      results/coverage.json

Scores are crossed random effects, a[seed] + b[task] + c[seed, task]. The truth is the value for infinitely many seeds
and tasks. Required is a coverage of 93 to 97 % for mean, interquartile mean and paired difference under normal effects
where seeds or tasks dominate. Skewed and heavy-tailed effects, the probability of improvement, profiles and the sample
complexity are reported; no requirement holds for them. Other methods run on fewer repetitions.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from agents.compare.estimates import iqm_interval, mean_interval
from agents.compare.improvement import improvement_interval, improvement_share, placements
from agents.compare.intervals import Interval, Share, share_interval
from agents.compare.profiles import profile_interval, share_above
from agents.compare.sample_complexity import sample_complexity
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.intervals import bootstrap, bootstrap_mean, bootstrap_placements, jackknife, over_seeds
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.random_effects import DOMINATED, EFFECTS, SHARES, SHIFT, Array, Case, Truth, population

SEEDS, TASKS = (5, 10, 20), (20, 100)
REQUIRED = (93.0, 97.0)
REQUIRED_STATISTICS = ("mean", "IQM", "difference")
CHOSEN = "library"
METHODS = (CHOSEN, "bootstrap", "seeds only", "jackknife", "unbounded")
"""The library's interval, the percentile two-level bootstrap, Student's t over seeds, the two-way jackknife; and
the library's interval of a share without its bound of the effective sample size."""
REPETITIONS, COMPARED, CURVES, POPULATION = 4000, 300, 1000, 4_000_000
"""Repetitions of the library's methods, of the others, and of the sample complexity; draws for the true values."""
CHUNK = 20_000_000
"""Largest number of pairs of scores held at once."""


def main(options: QuickOptions) -> None:
    """Simulate; print the coverage of each statistic and method."""
    set_up(threads=1)
    rows = []
    for effects, dominated_by in product(EFFECTS, DOMINATED):
        truth = population(Case(effects, dominated_by, 1, 1), POPULATION // 100 if options.quick else POPULATION)
        for seeds, tasks in product(SEEDS, TASKS):
            rows += list(simulate(Case(effects, dominated_by, seeds, tasks), truth, options.quick))
    print(f"coverage in per cent: {' / '.join(METHODS)}", table(pivot(rows)), sep="\n")
    print("", f"lowest and highest coverage of {CHOSEN}", table(summary(rows)), sep="\n")
    curves = list(sample_complexities(CURVES // 20 if options.quick else CURVES))
    print("", "sample complexity, 90 % interval as published", table(curves), sep="\n")
    found = [row[CHOSEN] for row in rows if is_required(row)]
    verdict = {"lowest": min(found), "highest": max(found), "required": REQUIRED}
    verdict["pass"] = bool(REQUIRED[0] <= min(found) and max(found) <= REQUIRED[1])
    print(f"\ncoverage where required: {min(found):.1f} to {max(found):.1f} %; {'pass' if verdict['pass'] else 'FAIL'}")
    sizes = {"repetitions": REPETITIONS, "compared": COMPARED, "population": POPULATION}
    write_result("coverage", verdict | sizes | {"rows": rows, "sample complexity": curves}, quick=options.quick)


def is_required(row: dict[str, Any]) -> bool:
    """Return whether the requirement holds for this row."""
    plain = row["effects"] == "normal" and row["dominated by"] in ("seeds", "tasks")
    return plain and row["statistic"] in REQUIRED_STATISTICS


def simulate(case: Case, truth: Truth, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each statistic: the coverage by each method in per cent, and the mean width of the library's."""
    rng = np.random.default_rng(1)
    repetitions, compared = (REPETITIONS // 20, COMPARED // 20) if quick else (REPETITIONS, COMPARED)
    scores, reference = case.draw(repetitions, rng), case.draw(repetitions, rng)
    shifted = scores + SHIFT * truth.deviation
    few, few_shifted, few_reference = scores[:compared], shifted[:compared], reference[:compared]
    pairs = _pairs(few_shifted, few_reference)
    found: dict[str, tuple[float, dict[str, Callable[[], Interval]]]] = {
        "mean": (0.0, {CHOSEN: lambda: mean_interval(scores), **_of_means(few, rng)}),
        "IQM": (
            truth.iqm,
            {
                CHOSEN: lambda: iqm_interval(scores),
                "bootstrap": lambda: bootstrap(few, _iqm, rng),
                "seeds only": lambda: over_seeds(_iqm(few[..., None, :])),
                "jackknife": lambda: jackknife(few, _iqm),
            },
        ),
        "difference": (
            SHIFT * truth.deviation,
            {CHOSEN: lambda: mean_interval(shifted - reference), **_of_means(few_shifted - few_reference, rng)},
        ),
        "improvement": (
            truth.improvement,
            {
                CHOSEN: lambda: _improvement(shifted, reference),
                "bootstrap": lambda: bootstrap_placements(pairs, rng),
                "seeds only": lambda: over_seeds(placements(few_shifted, few_reference).mean(-1)),
                "unbounded": lambda: _unbounded(improvement_share(few_shifted, few_reference)),
            },
        ),
    }
    for share, threshold in zip(SHARES, truth.thresholds, strict=True):
        found[f"profile at {share}"] = (
            share,
            {
                CHOSEN: lambda at=threshold: _at(profile_interval(scores, np.array([at]))),
                **_of_means((few > threshold).astype(float), rng),
                "unbounded": lambda at=threshold: _unbounded(share_above(few > at)),
            },
        )
    place = {"effects": case.effects, "dominated by": case.dominated_by, "seeds": case.seeds, "tasks": case.tasks}
    for statistic, (true_value, methods) in found.items():
        intervals = {name: method() for name, method in methods.items()}
        width = float((intervals[CHOSEN].high - intervals[CHOSEN].low).mean())
        covered = {name: covers(interval, true_value) for name, interval in intervals.items()}
        yield {**place, "statistic": statistic, **covered, "width": width}


def _of_means(tables: Array, rng: np.random.Generator) -> dict[str, Callable[[], Interval]]:
    return {"bootstrap": lambda: bootstrap_mean(tables, rng), "seeds only": lambda: over_seeds(tables.mean(-1))}


def _iqm(tables: Array) -> Array:
    """Return the interquartile mean of each table, faster than by sorting."""
    flat = tables.reshape(*tables.shape[:-2], -1)
    cut = flat.shape[-1] // 4
    return np.partition(flat, (cut, flat.shape[-1] - cut - 1), axis=-1)[..., cut : flat.shape[-1] - cut].mean(-1)


def _pairs(scores: Array, reference: Array) -> Array:
    """Return whether each seed's score exceeds each seed's of the reference [repetition, seed, other, task]."""
    return (scores[:, :, None] > reference[:, None]).astype(float)


def _improvement(scores: Array, reference: Array) -> Interval:
    size = max(1, CHUNK // (scores[0].size * reference.shape[1]))
    chunks = range(0, len(scores), size)
    parts = [improvement_interval(scores[i : i + size], reference[i : i + size]) for i in chunks]
    return Interval(*(np.concatenate([getattr(part, end) for part in parts]) for end in ("value", "low", "high")))


def _unbounded(share: Share) -> Interval:
    return share_interval(share, share, math.inf)


def _at(profile: Interval) -> Interval:
    return Interval(profile.value[..., 0], profile.low[..., 0], profile.high[..., 0])


def covers(interval: Interval, truth: float) -> float:
    """Return the share of intervals that contain the truth, in per cent."""
    return 100 * float(((interval.low <= truth) & (truth <= interval.high)).mean())


def sample_complexities(repetitions: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of the sample complexity where seeds succeed for good after log-normal numbers of steps."""
    rng = np.random.default_rng(2)
    steps = np.arange(1.0, 51.0)
    many = np.exp(2 + 0.5 * rng.normal(size=POPULATION))
    for seeds, delta in product(SEEDS, (0.5, 0.75)):
        # The share of seeds that have succeeded by each point, for infinitely many of them.
        true_value = float((np.searchsorted(np.sort(many), steps, side="right") / len(many) < delta).sum())
        ends = []
        for _ in range(repetitions):
            reached = np.exp(2 + 0.5 * rng.normal(size=(seeds, 1))) <= steps
            ends.append(sample_complexity(steps, reached.astype(float), 0.5, delta))
        covered = [each.low <= true_value <= each.high for each in ends if each.low is not None is not each.high]
        yield {"seeds": seeds, "delta": delta, "true value": true_value, CHOSEN: 100 * float(np.mean(covered))}


def pivot(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each case, with coverages by statistic and method."""
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        place = {key: row[key] for key in ("effects", "dominated by", "seeds", "tasks")}
        case = cases.setdefault(tuple(place.values()), place)
        case[row["statistic"]] = " / ".join(f"{row[method]:.1f}" for method in METHODS if method in row)
    return list(cases.values())


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each distribution, with the range of coverages by statistic over numbers of seeds and tasks."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        by_statistic = found.setdefault((row["effects"], row["dominated by"]), {})
        by_statistic.setdefault(row["statistic"], []).append(row[CHOSEN])
    return [
        {"effects": effects, "dominated by": dominated_by}
        | {name: f"{min(values):.1f} to {max(values):.1f}" for name, values in by_statistic.items()}
        for (effects, dominated_by), by_statistic in found.items()
    ]


if __name__ == "__main__":
    run_main(main, QuickOptions, __doc__)
