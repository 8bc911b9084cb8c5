"""Pictures: arrays of red, green and blue, and the shapes that several families draw."""

import numpy as np
from jaxtyping import UInt8

Picture = UInt8[np.ndarray, "height width 3"]

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

RED, GREEN, BLUE = (214, 39, 40), (80, 180, 80), (50, 90, 200)
BLACK, GREY, WHITE = (0, 0, 0), (200, 200, 200), (255, 255, 255)


def blank_picture(height: int, width: int) -> Picture:
    """Return a white picture [pixels]."""
    return np.full((height, width, 3), WHITE, dtype=np.uint8)


def draw_disc(drawn: Picture, column: float, row: float, colour: Colour = RED, radius: float = 7.0) -> Picture:
    """Return a copy of `drawn` with a disc around this column from the left and row from the top [pixels]."""
    height, width, _ = drawn.shape
    rows, columns = np.ogrid[:height, :width]
    disc = (columns - column) ** 2 + (rows - row) ** 2 <= radius**2
    return np.where(disc[..., None], np.array(colour, dtype=np.uint8), drawn)
