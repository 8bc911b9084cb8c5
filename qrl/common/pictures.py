"""Common style of all pictures, and the files that they are written to."""

import gzip
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray

from qrl.common.errors import UsageError, suggest, wrap_errors

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Colours of lines, distinguishable by colour-blind readers (Okabe and Ito 2008), without its yellow, which is too pale
on white, and its black, which is for references; grey comes last."""

PANEL = (5.5, 4.0)
"""Width and height of a panel [inches]."""

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
