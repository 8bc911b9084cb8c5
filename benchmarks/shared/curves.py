"""Learning curves: when a goal is reached, what that is over seeds, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.experiment.style import PALETTE, draw_band, encode, format_of, legend_below, panels, whole_ticks
from qrl.common.files import write_atomically


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
    """One panel a model: every seed's mean return against episodes, their median, the goal, and the published result.

    A seed whose curve ends early has reached the goal: in the median, it holds its last value.
    """
    figure, places = grid(len(curves), columns=len(curves), sharex=True, sharey=True)
    for index, (axes, (model, rows)) in enumerate(zip(places, curves.items(), strict=True)):
        colour, longest = PALETTE[index], max(map(len, rows))
        episodes = episodes_a_point * np.arange(1, longest + 1)
        for seed, row in enumerate(rows):
            label = None if seed else "each seed"
            axes.plot(episodes[: len(row)], row, color=colour, alpha=0.3, linewidth=0.8, label=label)
        held = np.array([[*row, *[row[-1]] * (longest - len(row))] for row in rows])
        axes.plot(episodes, np.median(held, axis=0), color=colour, linewidth=2, label=f"median of {len(rows)} seeds")
        axes.axhline(goal, color="black", linewidth=1, linestyle=":", label=f"goal, {goal:g}")
        if published is not None:
            axes.axvline(published, color="black", linewidth=1, linestyle="--", label="published, one run")
        axes.set(title=f"{title}: {model}", xlabel="training [episodes]")
        whole_ticks(axes.xaxis)
        legend_below(axes, columns=2)
    places[0].set_ylabel("return")
    save(figure, path)


def grid(n_panels: int, *, columns: int, size: tuple[float, float] = (4.6, 4.0), **options: Any) -> tuple[Figure, Any]:
    """Return a figure in the common style, and its panels in a list; `columns` is how many there are side by side."""
    columns = min(columns, n_panels)
    with panels(-(-n_panels // columns), columns, size=size, **options) as (figure, places):
        for axes in places.flat[n_panels:]:
            axes.set_visible(False)
    return figure, list(places.flat[:n_panels])


def draw_means(axes: Any, x: Sequence[float], values: Sequence[Mapping[str, Any]], label: str, **style: Any) -> None:
    """Means against x with their intervals, if there are any, as `benchmarks.shared.statistics` gives them."""
    mean, low, high = (
        [np.nan if value[key] is None else value[key] for value in values] for key in ("mean", "low", "high")
    )
    draw_band(axes, x, mean, low, high, label, **style)


def save(figure: Figure, path: Path) -> None:
    """Write a picture whole, in the format of its suffix."""
    write_atomically(path, encode(figure, format_of(path)))
