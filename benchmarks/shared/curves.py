"""Learning curves: episodes until a goal is reached, their summary over seeds, and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.experiment.style import draw_band, legend_below, whole_ticks
from qrl.common.files import write_atomically
from qrl.common.pictures import PALETTE, encode, format_of, panels


def reached(returns: Sequence[float], goal: float, episodes_per_point: int) -> int | None:
    """Episodes until the mean return first reaches the goal; None if it never does."""
    hits = np.flatnonzero(np.asarray(returns) >= goal)
    return (int(hits[0]) + 1) * episodes_per_point if len(hits) else None


def overview(rows: Sequence[Mapping[str, Any]], *, at_least: int, within: float = float("inf")) -> dict[str, Any]:
    """Summarise the seeds' `episodes` until the goal; None means that the goal is never reached, and is sorted last.

    The benchmark passes if `at_least` this many seeds reach the goal `within` this many episodes.
    """
    never = float("inf")
    counts = sorted(row["episodes"] or never for row in rows)
    n_reached = sum(count <= within and count < never for count in counts)
    median = (counts[(len(counts) - 1) // 2] + counts[len(counts) // 2]) / 2
    return {
        "parameters": rows[0]["n_parameters"],
        "seeds": len(rows),
        "reached": n_reached,
        "median episodes": median if median < never else None,
        "earliest": counts[0] if counts[0] < never else None,
        "latest": counts[-1] if counts[-1] < never else None,
        "pass": n_reached >= at_least,
    }


def draw(
    curves: Mapping[str, Sequence[Sequence[float]]],
    path: Path,
    *,
    episodes_per_point: int,
    goal: float,
    title: str,
    published: int | None = None,
) -> None:
    """Plot one panel per model: mean return of every seed against episodes, their median, goal and published result.

    A seed whose curve ends early has reached the goal; the median continues it with its last value.
    """
    figure, panel_axes = grid(len(curves), columns=len(curves), sharex=True, sharey=True)
    for index, (axes, (model, rows)) in enumerate(zip(panel_axes, curves.items(), strict=True)):
        colour, longest = PALETTE[index], max(map(len, rows))
        episodes = episodes_per_point * np.arange(1, longest + 1)
        for seed, row in enumerate(rows):
            label = None if seed else "each seed"
            axes.plot(episodes[: len(row)], row, color=colour, alpha=0.3, linewidth=0.8, label=label)
        padded = np.array([[*row, *[row[-1]] * (longest - len(row))] for row in rows])
        axes.plot(episodes, np.median(padded, axis=0), color=colour, linewidth=2, label=f"median of {len(rows)} seeds")
        axes.axhline(goal, color="black", linewidth=1, linestyle=":", label=f"goal, {goal:g}")
        if published is not None:
            axes.axvline(published, color="black", linewidth=1, linestyle="--", label="published, one run")
        axes.set(title=f"{title}: {model}", xlabel="training [episodes]")
        whole_ticks(axes.xaxis)
        legend_below(axes, columns=2)
    panel_axes[0].set_ylabel("return")
    save(figure, path)


def grid(n_panels: int, *, columns: int, size: tuple[float, float] = (4.6, 4.0), **options: Any) -> tuple[Figure, Any]:
    """Return a figure in the common style and the list of its axes, with `columns` panels per row."""
    columns = min(columns, n_panels)
    with panels(-(-n_panels // columns), columns, size=size, **options) as (figure, panel_axes):
        for axes in panel_axes.flat[n_panels:]:
            axes.set_visible(False)
    return figure, list(panel_axes.flat[:n_panels])


def draw_means(axes: Any, x: Sequence[float], values: Sequence[Mapping[str, Any]], label: str, **style: Any) -> None:
    """Plot means against x with their intervals, if any, in the format of `benchmarks.shared.statistics`."""
    mean, low, high = (
        [np.nan if value[key] is None else value[key] for value in values] for key in ("mean", "low", "high")
    )
    draw_band(axes, x, mean, low, high, label, **style)


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, in the format of its suffix."""
    write_atomically(path, encode(figure, format_of(path)))
