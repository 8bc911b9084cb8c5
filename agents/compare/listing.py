"""Lists in warnings."""

from collections.abc import Sequence

MOST_SHOWN = 4
"""Maximum number of options or groups that a warning names."""


def quoted(labels: Sequence[str]) -> str:
    """Return labels, which may hold commas, in quotation marks."""
    return listed([repr(label) for label in labels])


def listed(items: "Sequence[str] | map[str]") -> str:
    """Return items joined by commas, the later ones of a long list counted only."""
    every = list(items)
    more = len(every) - MOST_SHOWN
    return ", ".join(every[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
