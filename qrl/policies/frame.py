"""Frame shared by all models: f(x) = W phi(x) + b, a linear read-out over features phi.

phi is provided by a model file: expectation values of a circuit, hidden units, or sinusoids. Everything around phi is
identical across models, so a classical control differs from a quantum policy in phi alone.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass

from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError

MAX_BUDGET = 10**7
"""Largest budget [parameters]; larger values are rejected as typos, since every task has its own copy of the
parameters."""


def check_size(n_parameters: int) -> None:
    """Raise UsageError for more parameters than the largest budget, before they are allocated."""
    if n_parameters > MAX_BUDGET:
        raise UsageError(
            f"model: a module with {n_parameters} parameters is too large; at most {MAX_BUDGET}: make it narrower"
        )


@dataclass(frozen=True)
class Frame:
    """Surroundings of the features in a policy; their parameters count towards a parameter budget."""

    n_inputs: int
    """Width of the observation; for recurrent models, of observation, last action, last reward and end-of-episode
    flag."""
    n_outputs: int
    """Outputs of the read-out: action dimensions or number of discrete actions."""
    n_head: int = 0
    """Further parameters of the head (log standard deviations, inverse temperature)."""
    trial_steps: int = 1
    """Longest trial, the span that a memory has to cover [steps]."""
    n_bilinear: int = 0
    """Number of leading inputs whose products with every feature also enter the read-out."""
    bias: bool = True
    """True if the read-out has a bias."""
    registers: Registers | None = None
    """Registers of qubits that the environment hands over; None if its observations are numbers."""

    def n_parameters(self, n_features: int) -> int:
        """Return the number of parameters of read-out and head over this many features."""
        return (n_features * (1 + self.n_bilinear) + self.bias) * self.n_outputs + self.n_head

    def fit(self, budget: int, n_features_and_parameters: Callable[[int], tuple[int, int]]) -> int:
        """Return the size s >= 1 whose whole policy comes closest to `budget` parameters; the smaller size in a tie.

        `n_features_and_parameters(s)` returns the number of features and of the model's own parameters at size s; both
        grow with s.

        Raises:
            UsageError: the budget is below the smallest network by more than half of the step to the next larger one.
        """

        def total(size: int) -> int:
            n_features, n_own = n_features_and_parameters(size)
            return n_own + self.n_parameters(n_features)

        smallest, larger = total(1), total(2)
        if smallest - budget > (larger - smallest) / 2:
            raise UsageError(
                f"model: a budget of {budget} parameters is too small: the smallest network has {smallest}"
            )
        first = bisect.bisect_left(range(1, budget + 2), budget, key=total) + 1
        return min({max(1, first - 1), first}, key=lambda size: (abs(total(size) - budget), size))
