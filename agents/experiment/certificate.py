"""Certificate of an evaluation on quantum data: exact statistics of the success rate against any classical memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import special, stats
from torch import Tensor

from agents.core.confidence import CONFIDENCE
from envs.core.quantum_data import QuantumDataFamily
from qrl.common.checks import check_count
from qrl.common.errors import UsageError

LEAST_EPISODES = 20_000
"""Number of episodes that a certificate needs [episodes]."""
UNDERFLOW = 1e-250
"""Probabilities below are computed as logarithms, since they may underflow."""
PRECISION = 40.0
"""Natural logarithm of the ratio of a sum to the part of it that is left out."""


@dataclass(frozen=True)
class SuccessRate:
    """Success rate, with its exact interval and its test against any classical memory.

    The p-value is P(X ≥ n_successes) of a binomial X with the ceiling as its probability. It is valid although the
    episodes of a trial depend on each other, and the episodes of a task share its parameters: whatever has happened
    before, a classical memory succeeds in the next episode with at most the ceiling's probability, since the case is
    drawn afresh. Its number of successes is therefore stochastically dominated by X, for each training and each task. A
    ceiling that is a bound makes the p-value larger, never too small.

    The interval of Clopper and Pearson (1934) is about this trained agent and these tasks. It is exact for independent
    episodes. Those of a trial in which an agent adapts are correlated; the bootstrap interval of the curve, over tasks,
    does not assume independence.

    Raises:
        UsageError: the counts are no counts, or there are more successes than episodes.
    """

    n_episodes: int
    n_successes: int
    rate: float
    """Share of the episodes that succeeded."""
    low: float
    """Lower end of the 95 % interval of Clopper and Pearson."""
    high: float
    """Its upper end."""
    advantage: float | None
    """(rate - ceiling) / (optimum - ceiling); None if the optimum is unknown or not above the ceiling."""
    p_value: float
    """Largest probability that a classical memory has as many successes; 0 if it underflows."""
    log10_p_value: float
    """Its decimal logarithm, which does not underflow."""

    def __post_init__(self) -> None:
        check_count("n_episodes", self.n_episodes)
        check_count("n_successes", self.n_successes, least=0, most=self.n_episodes)

    @classmethod
    def of(cls, n_successes: int, n_episodes: int, ceiling: float, optimum: float | None) -> "SuccessRate":
        """Return the statistics of these counts. Raises UsageError as the class does."""
        check_count("n_episodes", n_episodes)
        check_count("n_successes", n_successes, least=0, most=n_episodes)
        low, high = exact_interval(n_successes, n_episodes)
        rate = n_successes / n_episodes
        advantage = None if optimum is None or optimum <= ceiling else (rate - ceiling) / (optimum - ceiling)
        log10 = log10_tail(n_successes, n_episodes, ceiling)
        return cls(n_episodes, n_successes, rate, low, high, advantage, 10.0**log10, log10)

    @property
    def is_sufficient(self) -> bool:
        """Whether there are enough episodes for a certificate."""
        return self.n_episodes >= LEAST_EPISODES


@dataclass(frozen=True)
class Certificate:
    """Certificate of an evaluation, part of evaluation.json.

    Its episodes are fresh: their random streams differ from those of training and of validations, and, for runs with
    different training seeds, from each other (`EvaluationPlan.training_seed`), so that counts of several seeds add up.
    """

    ceiling: float
    """Largest success rate of any classical memory, or a bound on it."""
    ceiling_kind: Literal["exact", "bound"]
    """`exact` if a classical memory attains the ceiling, else `bound`."""
    optimum: float | None
    """Success rate of the best agent with a coherent memory; None if it is not known."""
    total: SuccessRate
    """After the last update; of an in-context agent, over all episodes of all trials."""
    by_x: list[SuccessRate]
    """After each number of updates; of an in-context agent, in each episode of a trial. These are not corrected for
    their number."""
    sufficient: bool
    """Whether `total` has the 20,000 episodes that a certificate needs."""

    @property
    def bounds(self) -> tuple[float, str, float | None]:
        """Ceiling, its kind and the optimum."""
        return self.ceiling, self.ceiling_kind, self.optimum


def certificate_of(
    family: QuantumDataFamily, n_successes: Sequence[int], n_episodes: int, *, of_trials: bool
) -> Certificate:
    """Return the certificate of an evaluation.

    Args:
        family: the task family.
        n_successes: successes at each x.
        n_episodes: number of episodes at each x.
        of_trials: whether x counts the episodes of a trial, which are then taken together; else the last x counts.

    Raises:
        UsageError: the counts are no counts, or there are more successes than episodes.
    """
    ceiling, optimum = family.classical_ceiling, family.quantum_optimum
    by_x = [SuccessRate.of(count, n_episodes, ceiling.value, optimum) for count in n_successes]
    total = by_x[-1]
    if of_trials:
        total = SuccessRate.of(sum(n_successes), n_episodes * len(n_successes), ceiling.value, optimum)
    return Certificate(ceiling.value, ceiling.kind, optimum, total, by_x, total.is_sufficient)


def count_successes(family: str, returns: Float[Tensor, "x task env"]) -> Int[Tensor, " x"]:
    """Return the number of episodes that returned 1. Raises UsageError for a return that is neither 0 nor 1."""
    wrong = (returns != 0) & (returns != 1)
    if bool(wrong.any()):
        raise UsageError(f"{family}: an episode on quantum data must return 0 or 1, not {float(returns[wrong][0]):g}")
    return (returns == 1).sum((1, 2)).cpu()


def pooled(certificates: Sequence[Certificate], index: int | None = None) -> SuccessRate:
    """Return the success rate over the certificates of all seeds together, without a choice among them.

    Args:
        certificates: of runs with different training seeds, whose episodes are therefore independent.
        index: place of an x; by default, the certificates' totals.

    Raises:
        UsageError: the ceilings or the optima differ.
    """
    first = certificates[0]
    if any(each.bounds != first.bounds for each in certificates):
        raise UsageError("certificates with different ceilings or optima cannot be taken together")
    rates = [each.total if index is None else each.by_x[index] for each in certificates]
    counts = sum(rate.n_successes for rate in rates), sum(rate.n_episodes for rate in rates)
    return SuccessRate.of(*counts, first.ceiling, first.optimum)


def exact_interval(n_successes: int, n_episodes: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson (1934) of a success probability."""
    tail, failures = (1 - CONFIDENCE) / 2, n_episodes - n_successes
    low = float(stats.beta.ppf(tail, n_successes, failures + 1)) if n_successes else 0.0
    high = float(stats.beta.ppf(1 - tail, n_successes + 1, failures)) if failures else 1.0
    return low, high


def log10_tail(n_successes: int, n: int, probability: float) -> float:
    """Return the decimal logarithm of P(X ≥ n_successes), X binomial, also where that probability underflows."""
    if n_successes == 0 or probability == 1:
        return 0.0
    tail = float(stats.binom.sf(n_successes - 1, n, probability))
    if tail > UNDERFLOW:
        return math.log10(tail)
    # Far above the mean, the terms of the sum fall at least as fast as a geometric series with their first ratio.
    odds = probability / (1 - probability)
    first_ratio = (n - n_successes) / (n_successes + 1) * odds
    n_terms = math.ceil(PRECISION / -math.log(first_ratio)) if first_ratio else 0
    index = np.arange(n_successes, min(n, n_successes + n_terms))
    terms = np.cumprod((n - index) / (index + 1) * odds)
    return (_log_pmf(n_successes, n, probability) + math.log1p(float(terms.sum()))) / math.log(10)


def _log_pmf(k: int, n: int, probability: float) -> float:
    """Return the natural logarithm of the binomial probability of k; SciPy's own underflows."""
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return float(ways + special.xlogy(k, probability) + special.xlog1py(n - k, -probability))


def holm_adjusted(log10_p_values: Sequence[float]) -> list[float]:
    """Return the p-values of a family of tests adjusted by Holm (1979), as decimal logarithms, in the same order.

    The probability that any adjusted p-value of a true hypothesis is at most α is at most α, however the tests depend
    on each other. The smallest adjusted p-value is that of the statement about all of them together: that no success
    rate of the family exceeds what a classical memory can reach.
    """
    order = np.argsort(log10_p_values, kind="stable")
    remaining = len(order) - np.arange(len(order))
    adjusted = np.maximum.accumulate(np.asarray(log10_p_values)[order] + np.log10(remaining))
    found = np.empty(len(order))
    found[order] = np.minimum(adjusted, 0.0)
    return [float(each) for each in found]
