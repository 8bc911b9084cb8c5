"""Multi-layer perceptron, the classical control; its width follows a parameter budget."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.common.checks import check_count
from qrl.policies.budget import Budget, canonical_budget, n_parameters_of
from qrl.policies.frame import MAX_BUDGET, Frame, check_size
from qrl.policies.task_axes import affine

LISTED_UNDER = "classical controls"

MAX_DEPTH = 1000
"""Upper bound of the number of hidden layers; larger values are rejected as typos."""


@dataclass(frozen=True)
class Config:
    """Options of the network."""

    budget: Budget = 100
    """Target size of the whole policy [parameters], or like:NAME: that of the policy with this model, such as
    like:reuploading or like:reuploading,n_layers=5."""
    depth: int = 2
    """Hidden layers, if `hidden` is empty [layers]; 2 as in Finn et al. 2017."""
    hidden: tuple[int, ...] = ()
    """Widths of the hidden layers [units]; overrides `budget` (100 100 is the network of Finn et al. 2017)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", canonical_budget(self.budget))  # frozen
        check_count("model mlp: depth", self.depth, most=MAX_DEPTH)
        check_count("model mlp: number of widths in hidden", len(self.hidden), least=0, most=MAX_DEPTH)
        for width in self.hidden:
            check_count("model mlp: a width in hidden", width, most=MAX_BUDGET)


class Perceptron(nn.Module):
    """Perceptron: [*tasks, batch, n_inputs] -> [*tasks, batch, last width], tanh units.

    Weights are Glorot-uniform and biases 0, as in Finn et al. 2017.
    """

    broadcasts: ClassVar[bool] = True

    def __init__(self, widths: tuple[int, ...], generator: Generator) -> None:
        super().__init__()
        check_size(sum((a + 1) * b for a, b in itertools.pairwise(widths)))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight, generator=generator)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.n_features = widths[-1]

    def bind(self) -> list[tuple[Tensor, Tensor]]:
        """Return the weights and biases of each layer."""
        return [(layer.weight, layer.bias) for layer in self.layers if isinstance(layer, nn.Linear)]

    def run(
        self, bound: list[tuple[Tensor, Tensor]], inputs: Float[Tensor, "*tasks batch input"]
    ) -> Float[Tensor, "*tasks batch feature"]:
        """Return the features for bound parameters."""
        for weight, bias in bound:
            inputs = torch.tanh(affine(inputs, weight, bias))
        return inputs

    def forward(self, inputs: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        return self.run(self.bind(), inputs)


def build(config: Config, frame: Frame, generator: Generator) -> Perceptron:
    """Build the network; its features are the last hidden layer."""
    hidden = config.hidden
    if not hidden:

        def size(width: int) -> tuple[int, int]:
            n_parameters = (frame.n_inputs + 1) * width + (config.depth - 1) * (width + 1) * width
            return width, n_parameters

        hidden = (frame.fit(n_parameters_of(config.budget, frame), size),) * config.depth
    return Perceptron((frame.n_inputs, *hidden), generator)
