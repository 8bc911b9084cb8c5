"""Per-lane random number generator: L'Ecuyer's, uniform, independent over steps and lanes."""

import numpy as np
import torch
from scipy import stats

from envs.dynamics.per_lane_rng import MODULI, init_rng_state, next_uniform


def reference(first: int, second: int) -> tuple[int, int, int]:
    """One step of the published generator by Schrage's method in 32 bits; its output, 1 to 2147483562, comes last."""
    k = first // 53668
    first = 40014 * (first - k * 53668) - k * 12211
    first += 2147483563 * (first < 0)
    k = second // 52774
    second = 40692 * (second - k * 52774) - k * 3791
    second += 2147483399 * (second < 0)
    z = first - second
    return first, second, z + 2147483562 * (z < 1)


def test_numbers_equal_the_published_generator() -> None:
    starts = [(1, 1), (12345, 67890), (2147483562, 2147483398), (40014, 2), (2**30, 3)]
    seed = torch.tensor(starts, dtype=torch.float64)
    for _ in range(300):
        seed, uniform = next_uniform(seed)
        rows = [reference(*start) for start in starts]
        starts = [row[:2] for row in rows]
        assert seed.tolist() == [list(start) for start in starts]
        # The largest output, which the paper maps to just below 1, is 0 here: a half-open interval [0, 1).
        assert uniform.tolist() == [z % 2147483562 / 2147483562 for *_, z in rows]


def test_numbers_are_uniform_and_independent() -> None:
    lanes, steps = 2000, 50
    seed = init_rng_state(torch.rand(lanes, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    columns = []
    for _ in range(steps):
        seed, uniform = next_uniform(seed)
        columns.append(uniform)
    table = torch.stack(columns).numpy()
    assert table.min() >= 0 and table.max() < 1
    assert stats.kstest(table.ravel(), "uniform").pvalue > 0.01
    # A correlation of n pairs has a standard deviation of 1 / sqrt(n).
    for one, other in ((table[:-1], table[1:]), (table[:, :-1], table[:, 1:]), (table[:-7], table[7:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / one.size**0.5


def test_seeds_are_integers_within_the_moduli() -> None:
    drawn = torch.rand(1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn[0], drawn[1] = 0.0, torch.nextafter(torch.ones(()), torch.zeros(())).double()
    drawn[2] = float(np.nextafter(1.0, 0.0))
    made = init_rng_state(drawn)
    assert torch.equal(made, made.floor()) and made[2:, 0].unique().numel() == 998
    assert made.min() == 1 and (made < MODULI).all()
    torch.testing.assert_close(made / MODULI, drawn, atol=1e-9, rtol=0)
