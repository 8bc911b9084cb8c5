"""Style of plots: line styles, references, ticks, legends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qrl.common.pictures import PALETTE, PANEL

Numbers = Sequence[float] | NDArray[np.float64]

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of lines, so that colour is not their only difference."""

REPEATED_STYLES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)))
"""Line styles of lines that repeat a colour, once, twice, ..."""

REFERENCE_COLOUR = "black"
REFERENCE_STYLES: dict[str, Any] = {
    "bayes": "--",
    "gittins": "--",
    "oracle": "--",
    "memory_reset": (0, (1, 1)),
    "thompson": "-.",
    "psrl": "-.",
    "portfolio": "-.",
    "nearest_tasks": (0, (6, 1)),
    "random_search": (0, (3, 1, 1, 1, 1, 1)),
    "random": (0, (1, 3)),
    "helstrom": "--",
    "helstrom (envelope)": "--",
    "frame_tracking (playable)": (0, (6, 1)),
    "classical_memory": "-",
    "classical_memory (bound)": "-",
    "swap_test": "-.",
    "measure_both": (0, (3, 1, 1, 1, 1, 1)),
}
"""Line style of each reference; those that can appear together differ."""
OTHER_REFERENCE = (0, (8, 2, 1, 2))
"""Line style of references without a style of their own."""

WORST_STYLE = ":"
"""Line style of the mean of the worst tenth of tasks."""

BAND_ALPHA = 0.2
MANY_POINTS = 10
"""Curves of more points have no markers."""

MAX_ENTRIES_INSIDE = 3
HANDLE_WIDTH, LETTER_WIDTH, LINE_HEIGHT = 0.6, 0.065, 0.2
"""Width of a legend's column without its text, width of a letter, and height of a line [inches]."""


def line_style(index: int) -> dict[str, Any]:
    """Return the colour and the marker of the line of this index; lines that repeat a colour differ in the rest."""
    repeated, colour = divmod(index, len(PALETTE))
    style = {"color": PALETTE[colour], "marker": MARKERS[(index + repeated) % len(MARKERS)]}
    return style | ({"linestyle": REPEATED_STYLES[repeated % len(REPEATED_STYLES)]} if repeated else {})


def reference_style(name: str) -> dict[str, Any]:
    """Return the style of a reference's line."""
    return {"color": REFERENCE_COLOUR, "linestyle": REFERENCE_STYLES.get(name, OTHER_REFERENCE), "linewidth": 1.2}


def draw_band(
    axes: Axes, x: Sequence[float | int], mean: Numbers, low: Numbers, high: Numbers, label: str, **style: Any
) -> None:
    """Draw means as a line and their intervals, where they are finite, as a band of its colour below all lines."""
    if len(x) > MANY_POINTS:
        style = style | {"marker": ""}
    (line,) = axes.plot(x, np.asarray(mean), label=label, **style)
    ends = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if np.isfinite(ends).all():
        axes.fill_between(x, *ends, color=line.get_color(), alpha=BAND_ALPHA, linewidth=0, zorder=1)


def whole_ticks(axis: Axis) -> None:
    """Place the ticks of an axis of counts at whole numbers."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def set_titles(axes: Axes, title: str, subtitle: str) -> None:
    """Write a title and, in small letters between it and the panel, a line that says what is drawn."""
    axes.set_title(title, pad=18)
    axes.annotate(
        subtitle, (0.5, 1), (0, 4), "axes fraction", textcoords="offset points", ha="center", va="bottom", fontsize=8
    )


def place_legend(axes: Axes) -> None:
    """Place the legend inside a panel of size PANEL; below it if it has many entries, and the figure grows for it."""
    entries = axes.get_legend_handles_labels()[1]
    if len(entries) <= MAX_ENTRIES_INSIDE:
        axes.legend()
        return
    columns = max(1, int(PANEL[0] / (HANDLE_WIDTH + LETTER_WIDTH * max(map(len, entries)))))
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, max(height, PANEL[1] + LINE_HEIGHT * -(-len(entries) // columns)))
    legend_below(axes, columns)


def legend_below(axes: Axes, columns: int = 3) -> None:
    """Place the legend below the panel, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=columns, borderaxespad=0, columnspacing=1.2)
