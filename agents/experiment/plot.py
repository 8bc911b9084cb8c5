"""Plot of adaptation curves and of the training progress."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.experiment.certificate import Certificate
from agents.experiment.certificate_text import ceiling_name
from agents.experiment.evaluation import Curve
from agents.experiment.series import Against, Series, as_series
from agents.experiment.style import (
    REFERENCE_COLOUR,
    WORST_STYLE,
    draw_band,
    line_style,
    place_legend,
    reference_style,
    set_titles,
    whole_ticks,
)
from qrl.common.errors import UsageError, suggest
from qrl.common.files import write_atomically
from qrl.common.pictures import PALETTE, PANEL, encode, format_of, panels

Curves = Curve | Sequence[Curve] | Mapping[str, Curve | Sequence[Curve]]
"""Curves to draw: a line each, or a line for each label of a mapping, over its curves of several seeds."""


def draw(
    curves: Curves, metrics: Sequence[Mapping[str, Any]] = (), against: Against = "x", format: str = "png"
) -> bytes:
    """Return `figure_of` these curves, as the bytes of a file of this format."""
    return encode(figure_of(curves, metrics, against), format)


def figure_of(curves: Curves, metrics: Sequence[Mapping[str, Any]] = (), against: Against = "x") -> Figure:
    """Draw the adaptation curves and, if `metrics` are given, the training return against iterations.

    Raises:
        UsageError: there is no curve, or the curves do not fit into one plot.
    """
    series = as_series(curves)
    check_comparable([curve for each in series for curve in each.curves], against)
    with panels(1, 2 if metrics else 1, size=PANEL) as (figure, axes):
        _draw_curves(axes[0, 0], series, against)
        if metrics:
            _draw_training(axes[0, 1], metrics, of_trials=series[0].curves[0].axis != "gradient_steps")
    return figure


def check_comparable(curves: Sequence[Curve], against: Against = "x") -> None:
    """Raise UsageError unless there are curves, all on the same tasks, and with the same x if drawn against it."""
    if not curves:
        raise UsageError("plot: there is no curve to draw")
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
                f"plot: one curve is of {first.n_tasks} tasks, another of {curve.n_tasks}: "
                "evaluate all runs on the same tasks"
            )
        if against == "x" and curve.axis != first.axis:
            raise UsageError(
                f"plot: one curve is over {first.axis.replace('_', ' ')}, another over "
                f"{curve.axis.replace('_', ' ')}: draw both against episodes"
            )


def plot(curves: Curves, path: Path | str, *, against: str = "x", labels: Sequence[str] | None = None) -> None:
    """Plot adaptation curves into one file, written atomically; its suffix chooses the format, such as .png or .pdf.

    A curve, or each curve of a sequence, is a line with its 95 % interval over tasks. A mapping draws a line for each
    label: over several curves, of one configuration trained from several seeds, the mean and its 95 % t-interval over
    seeds.

    The horizontal axis `against` is the curves' own "x", or the "episodes" or "env_steps" previously spent in a task,
    which are comparable between gradient-based and in-context agents. `labels` name the lines of a sequence of curves,
    by default after agent and model; those of a mapping are its keys.

    Raises:
        UsageError: the suffix is missing or unknown, there is no curve, the axis is unknown, the labels do not fit the
            curves, or the curves do not fit into one plot: they are of different tasks, or have different x.
    """
    _check_curves(curves)
    if labels is not None:
        curves = _labelled(curves, labels)
    format = format_of(path)
    against = against.replace("-", "_")
    if against not in get_args(Against):
        raise UsageError(f"plot: curves cannot be drawn against {against!r}{suggest(against, get_args(Against))}")
    write_atomically(Path(path), draw(curves, against=cast(Against, against), format=format))


def _labelled(curves: Curves, labels: Sequence[str]) -> dict[str, Curve | Sequence[Curve]]:
    """Return the curves by their labels. Raises UsageError as `check_labels` does, and for curves that have some."""
    if isinstance(curves, Mapping):
        raise UsageError(f"plot: the curves have labels, {', '.join(curves)}: give them as a list, or no labels")
    lines = [curves] if isinstance(curves, Curve) else list(curves)
    check_labels(labels, len(lines))
    return dict(zip(labels, lines, strict=True))


def check_labels(labels: Sequence[str], n_lines: int) -> None:
    """Raise UsageError unless there is a label for each line, and no label twice."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise UsageError(f"plot: labels must be a list of texts, not {labels!r}")
    if len(labels) != n_lines:
        raise UsageError(f"plot: {len(labels)} labels were given for {n_lines} line{'' if n_lines == 1 else 's'}")
    if len(set(labels)) < len(labels):
        raise UsageError(f"plot: a label is given twice: {', '.join(labels)}")


def _check_curves(curves: object) -> None:
    """Raise UsageError unless these are curves, a sequence of curves, or a mapping of labels to them."""
    each = list(curves.values()) if isinstance(curves, Mapping) else [curves]
    for part in each:
        members = list(part) if isinstance(part, Sequence) and not isinstance(part, str) else [part]
        for member in members:
            if not isinstance(member, Curve):
                raise UsageError(f"plot: expected a Curve, such as run.evaluate() returns, found {member!r}")


def _draw_curves(axes: Axes, series: Sequence[Series], against: Against) -> None:
    kinds = {each.over_seeds for each in series}
    for index, each in enumerate(series):
        style = line_style(index)
        draw_band(axes, each.where(against), *each.band, _label(each, mixed=len(kinds) > 1), **style)
        axes.plot(each.where(against), each.worst_decile, WORST_STYLE, color=style["color"], linewidth=1.2)
    exact = list(dict.fromkeys(name for each in series for name in each.exact))
    replaced = exact if len(exact) > 1 else []  # Several lines are readable only if the played ones are left out.
    for name in dict.fromkeys(name for each in series for name in each.references if name not in replaced):
        _draw_reference(axes, name, [each for each in series if name in each.references], against)
    for name in exact:
        of = next(each for each in series if name in each.exact)
        style = reference_style(name) if replaced else {"color": REFERENCE_COLOUR, "linewidth": 1}
        _draw_line(axes, of.where(against), of.exact[name], label=f"{name}, exact value", **style)
    first = series[0].curves[0]
    if first.certificate is not None:
        _draw_bounds(axes, first.certificate, {name for each in series for name in each.exact})
    whole_ticks(axes.xaxis)
    axes.set_xlabel(_axis_label(first, against))
    axes.set_ylabel("return")
    interval = {frozenset([True]): "t-interval over seeds", frozenset([False]): "interval over tasks"}
    shown = f"mean and 95 % {interval.get(frozenset(kinds), 'interval')}; dotted: worst tenth of tasks"
    set_titles(axes, f"{first.env}: {first.n_tasks} {first.split} tasks", shown)
    place_legend(axes)


def _draw_bounds(axes: Axes, certificate: Certificate, drawn: Collection[str]) -> None:
    """Draw the ceiling of classical memories and the optimum, unless exact references are drawn there."""
    bounds = [
        ("classical_memory", certificate.ceiling, ceiling_name(certificate.ceiling_kind), "--"),
        ("helstrom", certificate.optimum, "optimum of a coherent memory", ":"),
    ]
    for reference, value, label, line in bounds:
        if value is not None and reference not in drawn:
            axes.axhline(value, color=REFERENCE_COLOUR, linestyle=line, linewidth=1, label=label)


def _label(series: Series, mixed: bool) -> str:
    """Return a line's label; with a remark on its interval, if that is not the same for all lines."""
    if series.over_seeds:
        return f"{series.label} ({len(series.curves)} seeds)"
    return f"{series.label} (1 seed, interval over tasks)" if mixed else series.label


def _axis_label(curve: Curve, against: Against) -> str:
    if against == "episodes":
        return "experience in the task [episodes]"
    if against == "env_steps":
        return "experience in the task [environment steps]"
    if curve.axis == "gradient_steps":
        return f"gradient steps of {curve.episodes[1]} episodes each"
    return {"episodes": "episode of a trial"}.get(curve.axis, curve.axis)


def _draw_reference(axes: Axes, name: str, series: Sequence[Series], against: Against) -> None:
    """Draw a reference once if its returns are equal for all lines, else once per line with the line's label."""
    lines = [(each.where(against), each.references[name]) for each in series]
    same = all(line == lines[0] for line in lines)
    for each, line in list(zip(series, lines, strict=True))[: 1 if same else None]:
        label = name if same else f"{name}: {each.label}"
        _draw_line(axes, *line, label=label, **reference_style(name))


def _draw_line(axes: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """Draw a line without markers; across the whole panel if it has a single point, which would not be seen."""
    if len(x) == 1:
        axes.axhline(y[0], **style)
    else:
        axes.plot(x, y, **style)


def _draw_training(axes: Axes, metrics: Sequence[Mapping[str, Any]], of_trials: bool) -> None:
    iterations = [row["iteration"] for row in metrics]
    for step in range(len(metrics[0]["return_by_step"])):
        first = "of a trial" if of_trials else "before adaptation"
        label = first if step == 0 else f"after {step} update{'s' if step > 1 else ''}"
        returns = [row["return_by_step"][step] for row in metrics]
        axes.plot(iterations, returns, label=label, color=PALETTE[step % len(PALETTE)], linewidth=1.2)
    whole_ticks(axes.xaxis)
    axes.set_xlabel("meta-iteration")
    axes.set_ylabel("return on training tasks")
    axes.set_title("training")
    axes.legend()
