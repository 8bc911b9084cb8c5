"""Gated recurrent unit (GRU), the classical control of `qgru`; its width follows a parameter budget.

Cho et al. 2014 in the form of torch's `GRUCell`, with the reset gate after the memory's matrix product:

    z, r = sigma(W x + U h + b)     n = tanh(W_n x + r * (U_n h) + b_n)     h' = z * h + (1 - z) * n
"""

from dataclasses import dataclass

from torch import Generator

from qrl.models.shared.cells import CellConfig
from qrl.policies.frame import Frame
from qrl.policies.gru_cell import GRU, Affine

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(CellConfig):
    """Options of the network."""


def build(config: Config, frame: Frame, generator: Generator) -> GRU:
    """Build the cell; its features are the memory."""
    width = config.width(frame, lambda width: Affine.size(3, frame.n_inputs, width))
    return GRU(frame.n_inputs, config.keep_bias(width, frame, generator), generator)
