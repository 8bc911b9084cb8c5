"""Bayes-optimal policy and value of the Bernoulli bandit, and finite-horizon Gittins indices.

After s successes and f failures, an arm has the posterior Beta(1 + s, 1 + f) under a uniform prior, and its success
probability at the next pull is (1 + s) / (2 + s + f). A belief is the vector of counts c = (s_1, f_1, ..., s_k, f_k),
which sum to the number of pulls so far. Backward induction over pulls t, from W = 0 after the last pull, gives the
Bayes-optimal value:

    W_t(c) = max over arms a of  p_a (1 + W_t+1(c + s_a)) + (1 - p_a) W_t+1(c + f_a)

Where there are too many beliefs to enumerate, each arm has a Gittins index instead: the sure reward per remaining pull
at which retiring to the sure reward and pulling the arm, with the option to retire later, have equal value. Pulling the
arm with the largest index is optimal for an infinite discounted horizon (Gittins 1979) and near-optimal for a finite
horizon (Niño-Mora 2011).
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_BELIEFS = 5_000_000
"""Maximum number of beliefs that are enumerated for a whole trial."""
MAX_PULLS = 200
"""Maximum number of pulls for which indices are computed: the table takes half a minute; its memory grows cubically."""


@dataclass(frozen=True)
class Optimum:
    """Bayes-optimal policy and value for k arms and n pulls."""

    value: float
    """Expected sum of rewards."""
    by_pull: tuple[float, ...]
    """Expected reward of each pull."""
    best: tuple[NDArray[np.bool_], ...]
    """Optimal arms of every belief, one array [belief, arm] per pull, with beliefs in the order of `rank`."""


def n_beliefs(k: int, n: int) -> int:
    """Number of beliefs before pulls 0..n-1 of k arms."""
    return math.comb(n - 1 + 2 * k, 2 * k)


@functools.cache
def _binomials(rows: int, columns: int) -> NDArray[np.int64]:
    """Pascal's triangle up to this row and column. Entries stay far from overflow for at most MAX_BELIEFS beliefs."""
    table = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    table[:, 0] = 1
    for row in range(1, rows + 1):
        table[row, 1:] = table[row - 1, :-1] + table[row - 1, 1:]
    return table


def beliefs(k: int, t: int) -> NDArray[np.int64]:
    """All counts that sum to t pulls [belief, 2 * k], in the order of `rank`."""
    parts = 2 * k
    # Stars and bars: the positions of the bars among the stars, in lexicographic order.
    flat = itertools.chain.from_iterable(itertools.combinations(range(t + parts - 1), parts - 1))
    bars = np.fromiter(flat, dtype=np.int64).reshape(-1, parts - 1)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), t + parts - 1)], axis=1)
    return np.diff(edges, axis=1) - 1


def rank(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lexicographic rank of counts [..., 2 * k] among all counts with the same sum."""
    parts = counts.shape[-1]
    total = int(counts.sum(-1).max(initial=0))
    choose = _binomials(total + parts, parts)
    # Smaller counts share a prefix and have a smaller entry at position j; the positions behind j share the remainder.
    left = np.flip(np.flip(counts, -1).cumsum(-1), -1)
    behind = np.arange(parts - 1, 0, -1)
    following = left[..., 1:]
    return np.asarray((choose[left[..., :-1] + behind, behind] - choose[following + behind, behind]).sum(-1))


@functools.cache
def optimum(k: int, n: int) -> Optimum:
    """Bayes-optimal policy of k arms and n pulls: backward induction for the value, a forward pass for the rewards.

    Raises ValueError for more than MAX_BELIEFS beliefs.
    """
    if n_beliefs(k, n) > MAX_BELIEFS:
        raise ValueError(f"{k} arms and {n} pulls have {n_beliefs(k, n):,} beliefs, more than {MAX_BELIEFS:,}")
    value: NDArray[np.float64] | None = None
    optimal: list[NDArray[np.bool_]] = []
    for t in reversed(range(n)):
        counts = beliefs(k, t)
        action_values = np.stack([_value_of(counts, arm, value) for arm in range(k)], axis=1)
        value = action_values.max(1)
        optimal.insert(0, action_values >= value[:, None] - 1e-12)  # equal arms differ by rounding
    assert value is not None
    probability, by_pull = np.ones(1), []
    for t in range(n):
        counts, arm = beliefs(k, t), optimal[t].argmax(1)
        p = _mean(counts, arm)
        by_pull.append(float(probability @ p))
        if t < n - 1:
            following = np.zeros(math.comb(t + 2 * k, 2 * k - 1))
            for offset, weight in ((0, p), (1, 1 - p)):
                np.add.at(following, rank(_after(counts, 2 * arm + offset)), probability * weight)
            probability = following
    return Optimum(float(value[0]), tuple(by_pull), tuple(optimal))


def _mean(counts: NDArray[np.int64], arm: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Posterior mean of an arm, for each belief [belief]."""
    rows = np.arange(len(counts))
    successes, failures = counts[rows, 2 * arm], counts[rows, 2 * arm + 1]
    return np.asarray((1 + successes) / (2 + successes + failures))


def _after(counts: NDArray[np.int64], position: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Counts with the entry at one position incremented, for each belief."""
    result = counts.copy()
    result[np.arange(len(counts)), position] += 1
    return result


def _value_of(counts: NDArray[np.int64], arm: int, following: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Expected sum of rewards from each belief on, if this arm is pulled now and an optimal arm at every later pull."""
    p = _mean(counts, arm)
    if following is None:
        return p
    success, failure = (following[rank(_after(counts, 2 * arm + offset))] for offset in (0, 1))
    return p * (1 + success) + (1 - p) * failure


@functools.cache
def indices(n: int) -> NDArray[np.float64]:
    """Finite-horizon Gittins index of an arm [pulls left, successes, failures].

    The index is 0 where successes + failures + pulls left exceed n. Dynamic programming over the single arm gives the
    advantage of pulling it over each sure reward of a grid; the index is where this advantage crosses zero, linearly
    interpolated between grid points. Raises ValueError for more than MAX_PULLS.
    """
    if n > MAX_PULLS:
        raise ValueError(f"indices are computed for up to {MAX_PULLS} pulls, not {n}")
    grid = np.linspace(0, 1, 401)
    successes, failures = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    p = ((1 + successes) / (2 + successes + failures))[..., None]
    result = np.zeros((n + 1, n + 1, n + 1))
    # Advantage of pulling at least once over the sure reward for all remaining pulls, and the value of the better one.
    value = np.zeros((n + 2, n + 2, len(grid)))
    for left in range(1, n + 1):
        size = n - left + 1
        inside = value[: size + 1, : size + 1]
        pull = p[:size, :size] * (1 + inside[1:, :-1]) + (1 - p[:size, :size]) * inside[:-1, 1:]
        gain = pull - left * grid
        value = np.zeros_like(value)
        value[:size, :size] = np.maximum(pull, left * grid)
        result[left, :size, :size] = _crossing(gain, grid)
        result[left][successes + failures > n - left] = 0.0
    return result


def _crossing(gain: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero of a function that decreases along the last axis, linearly interpolated between grid points."""
    above = np.clip((gain > 0).sum(-1) - 1, 0, len(grid) - 2)[..., None]
    here, there = np.take_along_axis(gain, above, -1)[..., 0], np.take_along_axis(gain, above + 1, -1)[..., 0]
    fraction = np.clip(here / np.maximum(here - there, 1e-300), 0, 1)
    return np.asarray(grid[above[..., 0]] + fraction * (grid[1] - grid[0]))
