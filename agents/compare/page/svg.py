"""Matplotlib's figures as SVG for a page: text stays text, and no two figures share an id."""

import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from qrl.common.pictures import encode

_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_DECIMALS = re.compile(r"(\d+\.\d{2})\d+")


def inline_svg(figure: Figure, name: str, alt: str) -> Markup:
    """Return a figure as an SVG element with a text alternative; `name` begins all its ids."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        text = encode(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _IDS.sub(rf"\1{name}-", text)
    text = _DECIMALS.sub(r"\1", text)  # hundredths of a point are more than any screen shows
    return Markup(re.sub(r"<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', text, count=1))
