"""PPO's optimiser: early stopping, backtracking and learning rates that follow the KL divergence."""

import pytest
import torch

from agents.rl.adaptive_adam import MAX_LR_SCALE, KLAdaptiveAdam
from agents.rl.config import PPOConfig


class Hill:
    """One parameter with gradient 1 everywhere and a KL divergence of `steepness` times the distance moved."""

    def __init__(self, steepness, **options):
        self.value, self.steepness, self.taken = torch.zeros(1, requires_grad=True), steepness, 0
        options = {"target_kl": 0.02, "max_grad_norm": 0.0} | options
        self.optimiser = KLAdaptiveAdam(PPOConfig(**options), {"x": self.value}, {"x": 0.01}, {})

    @property
    def x(self):
        return self.value.item()

    def kl(self):
        return self.steepness * abs(self.x)

    def climb(self, n_steps):
        """Make an update of `n_steps` epochs, as every algorithm does; return its KL divergence."""
        return self.optimiser.optimise((self.gradient() for _ in range(n_steps)), self.kl, 1.0)["kl"]

    def gradient(self):
        self.taken += 1
        return [torch.ones(1)], {"kl": self.kl()}


@pytest.mark.parametrize(
    ("steepness", "gradients", "gone"),
    [
        (0.1, 6, 0.06),  # never beyond twice the target: every step
        (1.3, 5, 0.02),  # 0.052 after four steps of 0.01: no fifth step, then backtrack by a half
        (30.0, 2, 0.00125),  # one step, then backtrack by halves until 30 x = 0.0375
    ],
)
def test_stops_at_twice_the_target_and_backtracks_by_halves(steepness, gradients, gone):
    hill = Hill(steepness)
    kl = hill.climb(6)
    assert hill.taken == gradients
    assert hill.x == pytest.approx(gone, rel=1e-4)
    assert kl == pytest.approx(steepness * 0.01 * (6 if gradients == 6 else gradients - 1), rel=1e-4)


def test_without_a_target_every_step_has_a_constant_rate():
    hill = Hill(1e6, target_kl=0.0)
    for _ in range(3):
        hill.climb(4)
    assert hill.taken == 12 and hill.x == pytest.approx(0.12, rel=1e-4)


def test_rates_rise_after_small_kl_up_to_a_bound_and_fall_after_large_kl():
    hill = Hill(1e-6)
    sizes = []
    for _ in range(8):
        before = hill.x
        hill.climb(1)
        sizes.append(hill.x - before)
    assert sizes == pytest.approx([0.01 * min(1.5**i, MAX_LR_SCALE) for i in range(8)], rel=1e-3)
    hill.steepness = 1e3
    hill.climb(1)
    for _ in range(2):
        before = hill.x
        hill.steepness = 0.015 / before  # neither small nor large
        hill.climb(1)
        assert hill.x - before == pytest.approx(0.01 * MAX_LR_SCALE / 1.5, rel=1e-3)
