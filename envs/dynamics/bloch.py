"""Pictures of the Bloch vectors of a few qubits."""

from collections.abc import Mapping
from itertools import product

from jaxtyping import Float64
from torch import Tensor

from envs.dynamics.drawing import GREY, WHITE, Colour, Picture, blank_picture, draw_disc

PANEL, RADIUS = 120, 50.0
"""Side of a qubit's view in a picture, and length of a pure state's Bloch vector [pixels]."""


def draw_bloch_vectors(states: Mapping[Colour, Float64[Tensor, "qubit 3"]], n_qubits: int) -> Picture:
    """Draw the Bloch vector of each qubit in several states, one colour per state, seen along y and along z."""
    drawn = blank_picture(2 * PANEL, PANEL * n_qubits)
    for qubit, row in product(range(n_qubits), (0, 1)):
        column, middle = PANEL * (qubit + 0.5), PANEL * (row + 0.5)
        drawn = draw_disc(draw_disc(drawn, column, middle, GREY, RADIUS), column, middle, WHITE, RADIUS - 2)
        for colour, vectors in states.items():
            x, y, z = vectors[qubit].tolist()
            drawn = draw_disc(drawn, column + RADIUS * x, middle - RADIUS * (y if row else z), colour)
    return drawn
