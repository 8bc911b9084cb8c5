"""The Bernoulli bandit's optimum: what nobody can beat on average who does not know the arms.

An arm that paid s times and failed f times is Beta(1 + s, 1 + f) under a uniform prior and pays next with probability
(1 + s) / (2 + s + f). A belief is the counts (s_1, f_1, ..., s_k, f_k), which sum to the pulls so far. Backward over
pulls t, from W = 0 after the last one:

    W_t(c) = max over arms a of  p_a (1 + W_t+1(c + s_a)) + (1 - p_a) W_t+1(c + f_a)

Where there are too many beliefs, each arm has an index instead: the sure pay for each of the pulls left that is worth
as much as the arm with the freedom to stop pulling it. To pull the arm of the largest index is optimal for an infinite,
discounted game (Gittins 1979), and for a finite one close to it (Niño-Mora 2011).
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 5_000_000
"""Beliefs that are enumerated, at most, for whole trials."""
MOST_PULLS = 200
"""Of a trial whose indices are computed: the table takes half a minute, and memory grows with the cube."""


@dataclass(frozen=True)
class Optimum:
    """The Bayes-optimal policy of k arms and n pulls."""

    value: float
    """Expected sum of rewards."""
    by_pull: tuple[float, ...]
    """Expected reward of each pull."""
    best: tuple[NDArray[np.bool_], ...]
    """For each pull, which arms are optimal for every belief [belief, arm], in the order of `rank`."""


def n_beliefs(k: int, n: int) -> int:
    """Beliefs before pulls 0..n-1."""
    return math.comb(n - 1 + 2 * k, 2 * k)


@functools.cache
def _binomials(rows: int, columns: int) -> NDArray[np.int64]:
    """Pascal's triangle up to these; for beliefs that are enumerated all entries are far from overflow."""
    table = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    table[:, 0] = 1
    for row in range(1, rows + 1):
        table[row, 1:] = table[row - 1, :-1] + table[row - 1, 1:]
    return table


def beliefs(k: int, t: int) -> NDArray[np.int64]:
    """All counts of t pulls [belief, 2 * k], in the order of `rank`."""
    parts = 2 * k
    # Stars and bars: the places of the bars among stars, in lexicographic order.
    flat = itertools.chain.from_iterable(itertools.combinations(range(t + parts - 1), parts - 1))
    bars = np.fromiter(flat, dtype=np.int64).reshape(-1, parts - 1)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), t + parts - 1)], axis=1)
    return np.diff(edges, axis=1) - 1


def rank(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of counts [..., 2 * k] among all with the same sum, in lexicographic order."""
    parts = counts.shape[-1]
    total = int(counts.sum(-1).max(initial=0))
    choose = _binomials(total + parts, parts)
    # Those before: an equal head, then a smaller entry c at place j; the rest of the sum goes to the places behind.
    left = np.flip(np.flip(counts, -1).cumsum(-1), -1)
    behind = np.arange(parts - 1, 0, -1)
    following = left[..., 1:]
    return np.asarray((choose[left[..., :-1] + behind, behind] - choose[following + behind, behind]).sum(-1))


@functools.cache
def optimum(k: int, n: int) -> Optimum:
    """Solved backward, and the expected rewards forward. Raises ValueError for more than LARGEST beliefs."""
    if n_beliefs(k, n) > LARGEST:
        raise ValueError(f"{k} arms and {n} pulls have {n_beliefs(k, n):,} beliefs; at most {LARGEST:,} are enumerated")
    value: NDArray[np.float64] | None = None
    optimal: list[NDArray[np.bool_]] = []
    for t in reversed(range(n)):
        counts = beliefs(k, t)
        worth = np.stack([_value_of(counts, arm, value) for arm in range(k)], axis=1)
        value = worth.max(1)
        optimal.insert(0, worth >= value[:, None] - 1e-12)  # equal arms differ by rounding
    assert value is not None
    chance, by_pull = np.ones(1), []
    for t in range(n):
        counts, arm = beliefs(k, t), optimal[t].argmax(1)
        p = _mean(counts, arm)
        by_pull.append(float(chance @ p))
        if t < n - 1:
            following = np.zeros(math.comb(t + 2 * k, 2 * k - 1))
            for offset, weight in ((0, p), (1, 1 - p)):
                np.add.at(following, rank(_after(counts, 2 * arm + offset)), chance * weight)
            chance = following
    return Optimum(float(value[0]), tuple(by_pull), tuple(optimal))


def _mean(counts: NDArray[np.int64], arm: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Posterior mean of an arm."""
    rows = np.arange(len(counts))
    paid, failed = counts[rows, 2 * arm], counts[rows, 2 * arm + 1]
    return np.asarray((1 + paid) / (2 + paid + failed))


def _after(counts: NDArray[np.int64], place: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Counts with one more at a place."""
    result = counts.copy()
    result[np.arange(len(counts)), place] += 1
    return result


def _value_of(counts: NDArray[np.int64], arm: int, following: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Expected sum of rewards from here on if this arm is pulled now and the best one ever after."""
    p = _mean(counts, arm)
    if following is None:
        return p
    paid, failed = (following[rank(_after(counts, 2 * arm + offset))] for offset in (0, 1))
    return p * (1 + paid) + (1 - p) * failed


@functools.cache
def indices(n: int) -> NDArray[np.float64]:
    """Finite-horizon Gittins index of an arm [pulls left, paid, failed], 0 where paid + failed + left exceed n.

    For each of a grid of sure pays, whether it is better to pull on, by dynamic programming over the arm alone; between
    the grid's pays linear. Raises ValueError for more than MOST_PULLS.
    """
    if n > MOST_PULLS:
        raise ValueError(f"indices are computed for up to {MOST_PULLS} pulls, not {n}")
    grid = np.linspace(0, 1, 401)
    paid, failed = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    p = ((1 + paid) / (2 + paid + failed))[..., None]
    result = np.zeros((n + 1, n + 1, n + 1))
    # Advantage of pulling at least once over the sure pay for all pulls left, and the value of the best of both.
    value = np.zeros((n + 2, n + 2, len(grid)))
    for left in range(1, n + 1):
        size = n - left + 1
        inside = value[: size + 1, : size + 1]
        pull = p[:size, :size] * (1 + inside[1:, :-1]) + (1 - p[:size, :size]) * inside[:-1, 1:]
        gain = pull - left * grid
        value = np.zeros_like(value)
        value[:size, :size] = np.maximum(pull, left * grid)
        result[left, :size, :size] = _crossing(gain, grid)
        result[left][paid + failed > n - left] = 0.0
    return result


def _crossing(gain: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a function that falls along the last axis is zero, between the points of its grid."""
    above = np.clip((gain > 0).sum(-1) - 1, 0, len(grid) - 2)[..., None]
    here, there = np.take_along_axis(gain, above, -1)[..., 0], np.take_along_axis(gain, above + 1, -1)[..., 0]
    share = np.clip(here / np.maximum(here - there, 1e-300), 0, 1)
    return np.asarray(grid[above[..., 0]] + share * (grid[1] - grid[0]))
