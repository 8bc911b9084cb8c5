"""Hashed random numbers: SplitMix64's own, uniform, and independent from step to step and from lane to lane."""

import numpy as np
import torch
from scipy import stats

from envs._luck import seeds, uniform

MASK = 2**64 - 1


def mixed(x: int) -> int:
    """SplitMix64's finaliser with Python's integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def test_numbers_are_those_of_unbounded_integers() -> None:
    # The first numbers of SplitMix64 from the state 1234567, as published with it.
    golden, state = 0x9E3779B97F4A7C15, 1234567
    assert [mixed(state + i * golden & MASK) for i in (1, 2)] == [6457827717110365317, 3203168211198807973]
    seed = torch.tensor([0.0, 1.0, 12345.0, 2.0**53 - 1], dtype=torch.float64)
    for step in (0, 1, 7, 500):
        expected = [(mixed(int(s) + step * golden & MASK) >> 11) * 2.0**-53 for s in seed]
        assert uniform(seed, torch.full_like(seed, step)).tolist() == expected


def test_numbers_are_uniform_and_independent() -> None:
    lanes, steps = 2000, 50
    seed = torch.arange(lanes, dtype=torch.float64)  # the worst seeds: neighbours
    table = torch.stack([uniform(seed, torch.full_like(seed, step)) for step in range(steps)]).numpy()
    assert table.min() >= 0 and table.max() < 1
    assert stats.kstest(table.ravel(), "uniform").pvalue > 0.01
    # A correlation of n pairs has a standard deviation of 1 / sqrt(n).
    for one, other in ((table[:-1], table[1:]), (table[:, :-1], table[:, 1:]), (table[:-7], table[7:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / one.size**0.5


def test_seeds_are_whole_numbers_and_follow_what_was_drawn() -> None:
    drawn = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = seeds(drawn)
    assert torch.equal(made, made.floor()) and made.unique().numel() == 1000 and made.max() < 2**53
    torch.testing.assert_close(made / 2**53, drawn)
