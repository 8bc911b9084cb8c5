"""Trust-region steps, on flat vectors (Schulman et al. 2015, Trust Region Policy Optimization)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""v -> F v for a symmetric, positive semidefinite F."""


def conjugate_gradient(
    product: Product, target: Float[Tensor, " n"], iterations: int, tolerance: float = 1e-10
) -> Float[Tensor, " n"]:
    """x with F x = target, approximately: `iterations` of Hestenes and Stiefel 1952, from x = 0.

    Stops earlier if |F x - target|^2 falls below `tolerance` times |target|^2, or if the curvature of F along the next
    direction is not positive, because of rounding.
    """
    x, residual = torch.zeros_like(target), target.clone()
    direction, squared = residual, residual @ residual
    threshold = tolerance * squared
    for _ in range(iterations):
        if squared <= threshold:
            break
        image = product(direction)
        curvature = direction @ image
        if curvature <= 0:
            break
        length = squared / curvature
        x, residual = x + length * direction, residual - length * image
        squared, before = residual @ residual, squared
        direction = residual + squared / before * direction
    return x


def natural_step(
    product: Product, gradient: Float[Tensor, " n"], max_kl: float, iterations: int
) -> Float[Tensor, " n"]:
    """Step s along F^-1 gradient for which the quadratic model of the KL divergence, s' F s / 2, is `max_kl` [nat].

    Zero if the gradient is zero.
    """
    direction = conjugate_gradient(product, gradient, iterations)
    curvature = direction @ product(direction)
    if curvature <= 0:
        return torch.zeros_like(gradient)
    return (2 * max_kl / curvature).sqrt() * direction


def backtrack(acceptable: Callable[[float], bool], shrink: float, steps: int) -> float:
    """Return the first acceptable fraction among 1, shrink, shrink^2, ...; 0 if none of the first `steps` is."""
    for step in range(steps):
        fraction = shrink**step
        if acceptable(fraction):
            return fraction
    return 0.0


def line_search(
    point: Float[Tensor, " n"],
    direction: Float[Tensor, " n"],
    evaluate: Callable[[Tensor], dict[str, float]],
    before: dict[str, float],
    max_kl: float,
    shrink: float,
    backtracks: int,
) -> tuple[Tensor, dict[str, float]]:
    """Return the first acceptable point along `direction`, and the metrics there.

    A point is acceptable if its `kl` is at most `max_kl` [nat] and its `loss` is less than in `before`, the metrics at
    `point`. If none of `backtracks` points is acceptable, return `point`. The metric `step_fraction` is the fraction of
    the direction that is taken.
    """
    after = before

    def acceptable(fraction: float) -> bool:
        nonlocal after
        after = evaluate(point + fraction * direction)
        return after["kl"] <= max_kl and after["loss"] < before["loss"]

    fraction = backtrack(acceptable, shrink, backtracks)
    return point + fraction * direction, (after if fraction else before) | {"step_fraction": fraction}
