"""Plot of adaptation curves and of the training progress."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents.experiment.evaluation import Curve
from qrl.common.errors import UsageError, suggest
from qrl.common.files import write_atomically

Against = Literal["x", "episodes", "env_steps"]
"""Horizontal axis: the curves' own x, or the episodes or environment steps previously spent in the task."""

REFERENCE_STYLES: dict[str, Any] = {
    "bayes": "--",
    "gittins": "--",
    "oracle": "--",
    "memory_reset": (0, (1, 1)),
    "thompson": "-.",
    "psrl": "-.",
    "portfolio": "-.",
    "nearest_tasks": (0, (5, 1)),
    "random_search": (0, (3, 1, 1, 1, 1, 1)),
}


def draw(curves: Sequence[Curve], metrics: Sequence[Mapping[str, Any]] = (), against: Against = "x") -> bytes:
    """Draw the adaptation curves and, if `metrics` are given, the training return against iterations; return PNG bytes.

    Raises UsageError for curves that do not fit into one plot: on different tasks, or with different x.
    """
    first = curves[0]
    for curve in curves:
        if (curve.env, curve.env_options, curve.split) != (first.env, first.env_options, first.split):
            differing = first.env_options.items() ^ curve.env_options.items() if curve.env == first.env else ()
            names = {name for name, _ in differing}
            ours, theirs = (
                ", ".join([each.env, each.split, *(f"{n}={v}" for n, v in each.env_options.items() if n in names)])
                for each in (first, curve)
            )
            raise UsageError(f"plot: curves of different tasks cannot share a picture: {ours}; {theirs}")
        if curve.n_tasks != first.n_tasks:
            raise UsageError(
                f"plot: one curve is of {first.n_tasks} tasks, another of {curve.n_tasks}: evaluate all runs on the same tasks"
            )
        if against == "x" and curve.axis != first.axis:
            raise UsageError(
                f"plot: one curve is over {first.axis.replace('_', ' ')}, another over "
                f"{curve.axis.replace('_', ' ')}: draw both against episodes"
            )
    figure = Figure(figsize=(10 if metrics else 5.5, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    _draw_curves(panels[0], curves, against)
    if metrics:
        _draw_training(panels[1], metrics, of_trials=first.axis != "gradient_steps")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def plot(curves: Curve | Sequence[Curve], path: Path | str, *, against: str = "x") -> None:
    """Plot adaptation curves into one PNG file, written atomically.

    The horizontal axis `against` is the curves' own "x", or the "episodes" or "env_steps" previously spent in a task,
    which are comparable between gradient-based and in-context agents. Raises UsageError if there is no curve, for an
    unknown axis, and for curves that do not fit into one plot.
    """
    chosen = [curves] if isinstance(curves, Curve) else list(curves)
    if not chosen:
        raise UsageError("plot: there is no curve to draw")
    against = against.replace("-", "_")
    if against not in get_args(Against):
        raise UsageError(f"plot: curves cannot be drawn against {against!r}{suggest(against, get_args(Against))}")
    write_atomically(Path(path), draw(chosen, against=cast(Against, against)))


def _draw_curves(axes: Any, curves: Sequence[Curve], against: Against) -> None:
    for index, curve in enumerate(curves):
        colour, where = f"C{index}", getattr(curve, against)
        axes.plot(where, curve.mean, "o-", color=colour, label=curve.label)
        axes.fill_between(where, curve.ci_low, curve.ci_high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(where, curve.worst_decile, ":", color=colour)
    for name in dict.fromkeys(name for curve in curves for name in curve.references):
        _draw_reference(axes, name, [curve for curve in curves if name in curve.references], against)
    for name in dict.fromkeys(name for curve in curves for name in curve.exact):
        curve = next(curve for curve in curves if name in curve.exact)
        axes.plot(getattr(curve, against), curve.exact[name], color="black", linewidth=1, label=f"{name}, exact value")
    axes.plot([], [], ":", color="grey", label="worst tenth of tasks")
    first = curves[0]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if against != "x":
        axes.set_xlabel(
            "episodes in the task before" if against == "episodes" else "environment steps in the task before"
        )
    elif first.axis != "gradient_steps":
        axes.set_xlabel({"episodes": "episode of a trial", "evaluations": "evaluations"}[first.axis])
    else:
        axes.set_xlabel(f"gradient steps of {first.episodes[1]} episodes")
    axes.set_ylabel("return")
    axes.set_title(f"{first.env}: {first.n_tasks} {first.split} tasks, mean and 95 % interval", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)


def _draw_reference(axes: Any, name: str, curves: Sequence[Curve], against: Against) -> None:
    """Draw a reference once if its returns are equal for all curves, else once per curve with the curve's label."""
    lines = [(getattr(curve, against), curve.references[name]) for curve in curves]
    same = all(line == lines[0] for line in lines)
    style = REFERENCE_STYLES.get(name, "-.")
    for curve, line in list(zip(curves, lines, strict=True))[: 1 if same else None]:
        label = name if same else f"{name}: {curve.label}"
        axes.plot(*line, color="black", linestyle=style, linewidth=1, label=label)


def _draw_training(axes: Any, metrics: Sequence[Mapping[str, Any]], of_trials: bool) -> None:
    iterations = [row["iteration"] for row in metrics]
    for step in range(len(metrics[0]["return_by_step"])):
        first = "of a trial" if of_trials else "before adapting"
        label = first if step == 0 else f"after {step} update{'s' if step > 1 else ''}"
        axes.plot(iterations, [row["return_by_step"][step] for row in metrics], label=label, linewidth=1)
    axes.set_xlabel("meta-iteration")
    axes.set_ylabel("return on training tasks")
    axes.set_title("training", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
