"""Style and file formats of every plot: colours, sizes, line styles, ticks, encoding."""

import gzip
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qrl.common.errors import UsageError, suggest, wrap_errors

Numbers = Sequence[float] | NDArray[np.float64]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Colours of lines, distinguishable by colour-blind readers (Okabe and Ito 2008), without its yellow, which is too pale
on white, and its black, which is for references; grey comes last."""

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

PANEL = (5.5, 4.0)
"""Width and height of a panel [inches]."""

MAX_ENTRIES_INSIDE = 3
HANDLE_WIDTH, LETTER_WIDTH, LINE_HEIGHT = 0.6, 0.065, 0.2
"""Width of a legend's column without its text, width of a letter, and height of a line [inches]."""

_RC: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same letters on every machine
    "font.size": 10,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.8,
    "legend.edgecolor": "white",
    "legend.fontsize": 9,
    "legend.framealpha": 1.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
    "svg.hashsalt": "qrl",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Metadata that would differ from one call to the next, or between versions of Matplotlib."""


def formats() -> tuple[str, ...]:
    """Return the suffixes, without a dot, of the formats that Matplotlib can write here."""
    names = FigureCanvasAgg.get_supported_filetypes()
    latex = shutil.which(mpl.rcParams["pgf.texsystem"])
    return tuple(sorted(name for name in names if name != "pgf" or latex))


def format_of(path: Path | str) -> str:
    """Return the format that the suffix of `path` names.

    Raises:
        UsageError: the suffix is missing or no format of `formats()`.
    """
    suffix = Path(path).suffix[1:].lower()
    if suffix in formats():
        return suffix
    missing = f"no format {suffix!r}" if suffix else "the name has no suffix that says its format"
    raise UsageError(f"{path}: cannot write a picture: {missing}{suggest(suffix, formats())}")


@contextmanager
def in_style() -> Iterator[None]:
    """Draw in the common style: Matplotlib reads it when a line, a label or a legend is made."""
    with mpl.rc_context(_RC):
        yield


@contextmanager
def panels(
    n_rows: int = 1, n_columns: int = 1, *, size: tuple[float, float] = PANEL, **options: Any
) -> Iterator[tuple[Figure, NDArray[np.object_]]]:
    """Yield a figure in the common style and its panels [row, column], each of `size` [inches].

    Draw within the context, see `in_style`. The `options` are those of `Figure.subplots`.
    """
    with in_style():
        figure = Figure(figsize=(size[0] * n_columns, size[1] * n_rows))
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def encode(figure: Figure, format: str = "png", title: str = "") -> bytes:
    """Return a figure in a format of `formats()`; equal figures give equal bytes.

    A title is written into the metadata of PNG and SVG files.

    Raises:
        UsageError: Matplotlib cannot write this format here, such as without a codec.
    """
    if format == "svgz":  # Matplotlib would write the time into the header.
        return gzip.compress(encode(figure, "svg", title), mtime=0)
    if format in ("ps", "eps"):
        _make_opaque(figure)
    buffer, metadata = io.BytesIO(), _METADATA.get(format)
    if title and format in ("png", "svg"):
        metadata = {**_METADATA[format], "Title": title}
    with in_style(), wrap_errors(f"plot: format {format!r} cannot be written"):
        figure.savefig(buffer, format=format, metadata=metadata)
    data = buffer.getvalue()
    return re.sub(rb"%%CreationDate:[^\n]*\n", b"", data, count=1) if format in ("ps", "eps") else data


def _make_opaque(figure: Figure) -> None:
    """Give translucent areas the colour that they have on white: PostScript knows no transparency."""
    for area in figure.findobj(PolyCollection):
        alpha = area.get_alpha()
        if isinstance(alpha, float) and alpha < 1:
            area.set(facecolor=_on_white(area.get_facecolor()[0], alpha), alpha=None)


def _on_white(colour: Any, alpha: float) -> tuple[float, ...]:
    return tuple(1 - alpha * (1 - each) for each in to_rgb(colour))


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
