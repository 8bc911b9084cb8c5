"""The one frame of every model: f(x) = W phi(x) + b, a linear read-out over features phi.

phi is what a model file provides: expectation values of a circuit, hidden units, or sinusoids. Everything around it is
the same for all, so that a control differs from a quantum policy in phi alone.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass

from qrl.common.errors import UsageError

LARGEST_BUDGET = 10**7
"""Parameters beyond which a budget is a slip of the hand: every task has its own copy of them."""


def check_size(n_parameters: int) -> None:
    """Raise UsageError for more parameters than any budget may be, before they are made."""
    if n_parameters > LARGEST_BUDGET:
        raise UsageError(
            f"model: {n_parameters} parameters in one part of it; at most {LARGEST_BUDGET}: make it narrower"
        )


@dataclass(frozen=True)
class Frame:
    """What surrounds the features in a policy, and hence what a parameter budget has to pay for besides them."""

    n_inputs: int
    """Width of the observation; with a memory, of observation, last action, last reward and end of an episode."""
    n_outputs: int
    """Outputs of the read-out: action dimensions or discrete actions."""
    n_head: int = 0
    """Further parameters of the head (log standard deviations, inverse temperature)."""
    trial_steps: int = 1
    """How long a memory may have to last [steps]: the longest trial."""
    n_bilinear: int = 0
    """First inputs whose products with every feature are read out, too."""
    bias: bool = True
    """Whether the read-out has one."""

    def n_parameters(self, n_features: int) -> int:
        """Parameters of read-out and head over this many features."""
        return (n_features * (1 + self.n_bilinear) + self.bias) * self.n_outputs + self.n_head

    def fit(self, budget: int, n_features_and_own: Callable[[int], tuple[int, int]]) -> int:
        """The size s >= 1 whose whole policy comes closest to `budget` parameters; the smaller one of a tie.

        `n_features_and_own(s)` gives the features and the model's own parameters at size s, both growing with s.
        """

        def total(size: int) -> int:
            n_features, own = n_features_and_own(size)
            return own + self.n_parameters(n_features)

        reaching = bisect.bisect_left(range(1, budget + 2), budget, key=total) + 1
        return min({max(1, reaching - 1), reaching}, key=lambda size: (abs(total(size) - budget), size))
