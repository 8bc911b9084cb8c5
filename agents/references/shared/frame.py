"""Hidden frame of `quantum_memory`: posterior of the angle φ, and exact success rates of agents that learn it.

Mode `symmetry` of one qubit, register B turned by RZ(φ), φ uniform. Pairs with even parity (1/3 of all pairs) are
symmetric for sure. A pair with odd parity is the turned triplet (1/6 of all pairs) or the turned singlet (1/2), and is
measured in a frame θ: the outcome agrees with the case with probability (1 + cos(φ - θ)) / 2. The reward reveals the
case. The posterior of φ is therefore a trigonometric polynomial, which its moments E[exp(i k φ)] describe exactly.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Complex128, Float64
from torch import Tensor

Moments = Complex128[Tensor, "*lane order"]
"""Moments E[exp(i k φ)] of the posterior, order k = 0, 1, … ."""

Rule = Callable[[Float64[Tensor, "*lane"], Bool[Tensor, "*lane"]], Float64[Tensor, "*lane"]]
"""Rule for the angle at which to measure: from the certainty |E[exp(i φ)]| and whether the episode is the last one of
the trial, the offset of θ from the direction of E[exp(i φ)] [rad], between 0 (answer best) and π/2 (learn most)."""

MAX_EPISODES = 16
"""Longest trial [episodes]; the exact success rates enumerate 2**15 histories."""

P_EVEN, P_TRIPLET, P_SINGLET = 1 / 3, 1 / 6, 1 / 2
"""Shares of all pairs: even parity, and the two cases of odd parity."""

CERTAIN = 2 / 3
"""Certainty from which `balanced` answers at once. Values from 0.6 to 0.7 give the largest return of ten episodes."""


def explore_first(certainty: Tensor, last: Tensor) -> Tensor:
    """Learn most in all episodes but the last one; there, answer best."""
    return torch.where(last, 0.0, math.pi / 2).to(certainty).expand_as(certainty)


def balanced(certainty: Tensor, last: Tensor) -> Tensor:
    """Answer best if the certainty is large or the episode is the last one; otherwise, learn most."""
    return torch.where(last | (certainty > CERTAIN), 0.0, math.pi / 2).to(certainty)


def uniform_moments(shape: tuple[int, ...], n_orders: int, device: torch.device | str = "cpu") -> Moments:
    """Return the moments of the uniform distribution."""
    moments = torch.zeros(*shape, n_orders, dtype=torch.complex128, device=device)
    moments[..., 0] = 1
    return moments


def updated(moments: Moments, angle: Float64[Tensor, "*lane"], agrees: Float64[Tensor, "*lane"]) -> Moments:
    """Return the moments given the outcome of a measurement in frame `angle` [rad], by Bayes' rule.

    The likelihood is (1 + agrees · cos(φ - angle)) / 2, with `agrees` 1 if the outcome agrees with the case, else -1.
    Moments beyond the last one count as zero, which is exact if there are more orders than measurements.
    """
    above = torch.cat([moments[..., 1:], torch.zeros_like(moments[..., :1])], dim=-1)
    below = torch.cat([moments[..., 1:2].conj(), moments[..., :-1]], dim=-1)
    turn = torch.exp(1j * angle)[..., None]
    product = moments + agrees[..., None] * (turn.conj() * above + turn * below) / 2
    return product / product[..., :1].real


def triplet_is_likelier(contrast: Float64[Tensor, "*lane"]) -> Bool[Tensor, "*lane"]:
    """Return whether the triplet is the likelier case after its outcome, at contrast E[cos(φ - θ)] ≥ 0.

    After the singlet's outcome, the singlet is always the likelier case.
    """
    return P_TRIPLET * (1 + contrast) > P_SINGLET * (1 - contrast)


def success(contrast: Float64[Tensor, "*lane"]) -> Float64[Tensor, "*lane"]:
    """Return the success rate of the likelier answer at contrast c: 1/3 + max(1/2, (1 + c) / 3)."""
    triplet, singlet = P_TRIPLET * (1 + contrast) / 2, P_SINGLET * (1 - contrast) / 2
    return P_EVEN + torch.maximum(triplet, singlet) + P_SINGLET * (1 + contrast) / 2


def exact_returns(rule: Rule, n_episodes: int) -> list[float]:
    """Return the expected return of each episode of a trial of an agent that follows `rule`."""
    earlier = _success_by_pairs(rule, n_episodes, last=False)
    final = _success_by_pairs(rule, n_episodes, last=True)
    last = n_episodes - 1
    return [*(_over_pairs(earlier, episode) for episode in range(last)), _over_pairs(final, last)]


def envelope(n_episodes: int) -> list[float]:
    """Return the success rate in each episode of an agent that learned most in all earlier ones and now answers best.

    No agent that measures each pair in its own episode attains the envelope in all episodes. Nor is it a bound. An
    agent that keeps earlier pairs of odd parity, whose cases the rewards have revealed, and measures them together with
    the current one, exceeds it: 8/9 instead of 5/6 in the second episode.
    """
    by_pairs = _success_by_pairs(explore_first, n_episodes, last=True)
    return [_over_pairs(by_pairs, episode) for episode in range(n_episodes)]


def _success_by_pairs(rule: Rule, n_episodes: int, last: bool) -> list[float]:
    """Return the success rate after 0, 1, … measured pairs, with every history of outcomes weighted."""
    moments, weights = uniform_moments((1,), n_episodes + 1), torch.ones(1, dtype=torch.float64)
    rates = []
    for _ in range(n_episodes):
        certainty, direction = moments[:, 1].abs(), moments[:, 1].angle()
        now = certainty * torch.cos(rule(certainty, torch.full_like(certainty, last, dtype=torch.bool)))
        rates.append(float(weights @ success(now)))
        offset = rule(certainty, torch.zeros_like(certainty, dtype=torch.bool))
        contrast, ones = certainty * torch.cos(offset), torch.ones_like(certainty)
        moments = torch.cat([updated(moments, direction + offset, sign) for sign in (ones, -ones)])
        weights = torch.cat([weights * (1 + contrast) / 2, weights * (1 - contrast) / 2])
    return rates


def _over_pairs(by_pairs: list[float], episode: int) -> float:
    """Return the mean over the number of pairs of odd parity in the earlier episodes, which is binomial."""
    odd = 1 - P_EVEN
    shares = [math.comb(episode, n) * odd**n * P_EVEN ** (episode - n) for n in range(episode + 1)]
    return sum(share * rate for share, rate in zip(shares, by_pairs[: episode + 1], strict=True))
