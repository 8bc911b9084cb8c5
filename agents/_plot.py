"""The picture: adaptation curves, and how training went."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents._evaluate import Curve


def draw(curves: Sequence[Curve], metrics: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """PNG bytes: return against updates for each curve; beside it, return against iteration if `metrics` are given."""
    figure = Figure(figsize=(10 if metrics else 5.5, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    _draw_curves(panels[0], curves)
    if metrics:
        _draw_training(panels[1], metrics)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_curves(axes: Any, curves: Sequence[Curve]) -> None:
    for index, curve in enumerate(curves):
        colour = f"C{index}"
        axes.plot(curve.x, curve.mean, "o-", color=colour, label=curve.label)
        axes.fill_between(curve.x, curve.ci_low, curve.ci_high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(curve.x, curve.worst_decile, ":", color=colour)
    styles = zip(curves[0].references.items(), ("--", "-.", (0, (1, 1))), strict=False)
    for (name, values), style in styles:
        axes.plot(curves[0].x, values, color="black", linestyle=style, linewidth=1, label=name)
    axes.plot([], [], ":", color="grey", label="worst tenth of tasks")
    first = curves[0]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if first.axis == "episodes":
        axes.set_xlabel("episode of a trial")
    else:
        axes.set_xlabel(f"gradient steps of {first.episodes[1]} episodes")
    axes.set_ylabel("return")
    axes.set_title(f"{first.env}: {first.n_tasks} {first.split} tasks, mean and 95 % interval", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)


def _draw_training(axes: Any, metrics: Sequence[Mapping[str, Any]]) -> None:
    iterations = [row["iteration"] for row in metrics]
    for step in range(len(metrics[0]["return_by_step"])):
        label = "before adapting" if step == 0 else f"after {step} update{'s' if step > 1 else ''}"
        axes.plot(iterations, [row["return_by_step"][step] for row in metrics], label=label, linewidth=1)
    axes.set_xlabel("meta-iteration")
    axes.set_ylabel("return on training tasks")
    axes.set_title("training", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
