"""Pictures of the result on quantum data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.experiment.style import (
    REFERENCE_COLOUR,
    draw_band,
    legend_below,
    line_style,
    reference_style,
    set_titles,
    whole_ticks,
)
from benchmarks.certificates.rows import task_of
from benchmarks.shared.curves import draw_means
from qrl.common.pictures import panels

Rows = Mapping[str, Mapping[str, Any]]

MEMORIES = {
    "coherent": "coherent memory",
    "measured": "the same cell, memory measured",
    "GRU, learned": "GRU, learned measurement",
    "GRU, fixed": "GRU, fixed measurement",
}
"""Labels of memories, in the order of their styles."""
SWEPT = {"symmetry, n = 1": 0, "symmetry, n = 2": 4, "match, n = 3": 2}
"""Tasks whose noise of storage is drawn, with the indices of their styles."""
DEPHASED = 5
"""Index of the style of dephasing."""
CEILING, OPTIMUM = "ceiling of any classical memory", "optimum of a coherent memory"
SPREAD, HALF_WIDTH = 0.19, 0.42
"""Distance of the memories of a task, and half the length of its lines, in units of the distance of tasks."""
WIDE, SMALL = (11.0, 4.3), (8.6, 3.9)
"""Size of the panel of seeds in the picture of all panels and on its own [inches]."""


def overview(results: Mapping[str, Any]) -> Figure:
    """Draw the seeds of all pairs above, the hidden frame and the noise below; parts without results stay empty."""
    with panels(2, 2, size=(WIDE[0] / 2, WIDE[1])) as (figure, axes):
        wide = figure.add_subplot(axes[0, 0].get_gridspec()[0, :])
        for each in axes[0]:
            each.remove()
        if rows := pair_rows(results):
            draw_seeds(wide, rows)
        if frame := results.get("frame"):
            draw_frame(axes[1, 0], *frame["rows"].values())
        storage, dephasing = results.get("storage", {}), results.get("dephasing", {"rows": {}})["rows"]
        if storage or dephasing:
            draw_noise(axes[1, 1], storage, list(dephasing.values()))
        for each in figure.axes:
            each.set_visible(each.has_data())
    return figure


def of_seeds(results: Mapping[str, Any]) -> Figure:
    """Draw the seeds of all pairs only, for a narrow page."""
    with panels(1, 1, size=SMALL) as (figure, axes):
        draw_seeds(axes[0, 0], pair_rows(results))
    return figure


def pair_rows(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of pairs of registers."""
    parts = [results[name]["rows"] for name in ("pairs", "larger", "larger-controls") if name in results]
    return [row for rows in parts for row in rows.values()]


def draw_seeds(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the success rate of every seed of each task and memory, with the task's ceiling and optimum."""
    tasks = list(dict.fromkeys(task_of(row) for row in rows))
    for row in {task_of(row): row for row in rows}.values():
        _draw_limits(axes, tasks.index(task_of(row)), row["certificate"])
    for index, (memory, label) in enumerate(MEMORIES.items()):
        x: list[float] = []
        y: list[float] = []
        for row in rows:
            if row["memory"] == memory:
                rates = row["certificate"]["rates"]
                x += [tasks.index(task_of(row)) + SPREAD * (index - (len(MEMORIES) - 1) / 2)] * len(rates)
                y += rates
        if x:
            axes.plot(x, y, label=label, alpha=0.6, **line_style(index) | {"linestyle": "none"})
    set_titles(axes, "quantum_memory: pairs of registers of n qubits", "every seed, each on fresh test episodes")
    axes.set(xlabel="decision about a pair", ylabel="success rate", xticks=range(len(tasks)), xticklabels=tasks)
    axes.grid(visible=False, axis="x")
    legend_below(axes)


def _draw_limits(axes: Axes, place: int, certificate: Mapping[str, Any]) -> None:
    x = [place - HALF_WIDTH, place + HALF_WIDTH]
    for label, value, style in (
        (CEILING, certificate["ceiling"], "classical_memory"),
        (OPTIMUM, certificate["optimum"], "helstrom"),
    ):
        axes.plot(x, [value] * 2, label="" if place else label, **reference_style(style))


def draw_frame(axes: Axes, row: Mapping[str, Any]) -> None:
    """Draw the success rate against the episode of a trial, with the ceiling and the references."""
    draw_means(axes, row["x"], row["returns"], MEMORIES["coherent"], **line_style(0))
    axes.axhline(row["certificate"]["ceiling"], label=f"{CEILING}, each episode", **reference_style("classical_memory"))
    exact = row["seeds"][0]["evaluation"]["exact"]
    for name, label in (
        ("frame_tracking (playable)", "playable reference"),
        ("helstrom (envelope)", "envelope: explored until now, answers best now"),
    ):
        axes.plot(row["x"], exact[name], label=label, **reference_style(name))
    n_seeds = len(row["seeds"])
    set_titles(axes, "hidden frame: symmetry, n = 1", f"mean of {n_seeds} seeds and its 95 % interval")
    axes.set(xlabel="episode of a trial", ylabel="success rate")
    whole_ticks(axes.xaxis)
    legend_below(axes, columns=1)


def draw_noise(axes: Axes, storage: Rows, dephasing: Sequence[Mapping[str, Any]]) -> None:
    """Draw success rates under noise of storage and with dephasing, with predictions, ceilings and thresholds.

    A threshold is where the prediction comes down to the ceiling.
    """
    predicted: list[tuple[list[float], list[float]]] = []
    thresholds: dict[float, float] = {}
    for name, row in storage.items():
        x, rates = _per_cent(row["strengths"]), row["rates"]
        label = f"stored register lost, {name.removeprefix('symmetry, ')}"
        draw_band(axes, x, rates, row["low"], row["high"], label, **line_style(SWEPT[name]) | {"linestyle": "none"})
        predicted.append((x, row["predicted_rates"]))
        thresholds[100 * row["predicted"]] = row["ceiling"]
    if dephasing:
        x = _per_cent([row["dephasing"] for row in dephasing])
        found = [row["certificate"]["pooled"] for row in dephasing]
        rates, low, high = ([each[name] for each in found] for name in ("rate", "low", "high"))
        label = "trained with dephased memory, n = 1"
        draw_band(axes, x, rates, low, high, label, **line_style(DEPHASED) | {"linestyle": "none"})
        ceiling = dephasing[0]["certificate"]["ceiling"]
        knee = 300 * (1 - ceiling)  # where 1 - λ/3 is the ceiling
        predicted.append(([0.0, knee, 100.0], [1.0, ceiling, ceiling]))
        thresholds[knee] = ceiling
    for index, (x, y) in enumerate(predicted):
        axes.plot(x, y, label="" if index else "predicted", **reference_style("random") | {"zorder": 1})
    for index, ceiling in enumerate(sorted({*thresholds.values()})):
        axes.axhline(ceiling, label="" if index else CEILING, **reference_style("classical_memory"))
    style = {"color": REFERENCE_COLOUR, "linestyle": "none", "marker": "x", "markersize": 8}
    axes.plot(list(thresholds), list(thresholds.values()), label="predicted end of the advantage", **style)
    set_titles(axes, "noise: symmetry, and match for n = 3", "success rate over all seeds and its exact 95 % interval")
    axes.set(xlabel="noise of the memory [%]", ylabel="success rate", xlim=(-3, 103))
    legend_below(axes, columns=1)


def _per_cent(fractions: Sequence[float]) -> list[float]:
    return (100 * np.asarray(fractions)).tolist()
