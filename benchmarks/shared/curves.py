"""Learning curves: when a goal is reached, what that is over seeds, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def reached(returns: Sequence[float], goal: float, episodes_a_point: int) -> int | None:
    """Episodes until a mean return is first at least the goal; None if it never is."""
    hits = np.flatnonzero(np.asarray(returns) >= goal)
    return (int(hits[0]) + 1) * episodes_a_point if len(hits) else None


def overview(rows: Sequence[Mapping[str, Any]], *, at_least: int, within: float = float("inf")) -> dict[str, Any]:
    """What a table shows of seeds, each with its `episodes` until the goal: None, never, is later than all others.

    They pass if `at_least` so many reach it `within` so many episodes.
    """
    never = float("inf")
    found = sorted(row["episodes"] or never for row in rows)
    n_reached = sum(episodes <= within and episodes < never for episodes in found)
    median = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
    return {
        "parameters": rows[0]["n_parameters"],
        "seeds": len(rows),
        "reached": n_reached,
        "median episodes": median if median < never else None,
        "earliest": found[0] if found[0] < never else None,
        "latest": found[-1] if found[-1] < never else None,
        "pass": n_reached >= at_least,
    }


def draw(
    curves: Mapping[str, Sequence[Sequence[float]]],
    path: Path,
    *,
    episodes_a_point: int,
    goal: float,
    title: str,
    published: int | None = None,
) -> None:
    """A panel a model: every seed's mean return against episodes, their median, the goal, and what was published."""
    figure = Figure(figsize=(5 * len(curves), 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (model, rows) in zip(panels, curves.items(), strict=True):
        longest = max(map(len, rows))
        episodes = episodes_a_point * np.arange(1, longest + 1)
        for row in rows:
            axes.plot(episodes[: len(row)], row, color="tab:blue", alpha=0.35, linewidth=0.8)
        # A curve that ends early has reached the goal: it stays where it was.
        held = np.array([[*row, *[row[-1]] * (longest - len(row))] for row in rows])
        axes.plot(
            episodes, np.median(held, axis=0), color="tab:blue", linewidth=2, label=f"median of {len(rows)} seeds"
        )
        axes.axhline(goal, color="black", linewidth=0.8, linestyle=":")
        if published is not None:
            axes.axvline(published, color="tab:red", linewidth=0.8, linestyle="--", label="published, one run")
        axes.set(title=f"{title}: {model}", xlabel="episodes")
        axes.legend(fontsize=8, loc="lower right")
    panels[0].set_ylabel("return")
    figure.savefig(path, metadata={"Software": None})


def draw_band(axes: Any, x: Sequence[float], values: Sequence[Mapping[str, Any]], label: str, **style: Any) -> None:
    """Means over seeds against x with their intervals, as `benchmarks.shared.statistics` gives them."""
    (line,) = axes.plot(x, [value["mean"] for value in values], label=label, **{"marker": "o"} | style)
    if all(value["low"] is not None for value in values):
        ends = ([value[end] for value in values] for end in ("low", "high"))
        axes.fill_between(x, *ends, color=line.get_color(), alpha=0.2, linewidth=0)
