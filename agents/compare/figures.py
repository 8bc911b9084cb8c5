"""Panels of a comparison: adaptation, learning, profiles, intervals, tasks and seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from agents.compare.columns import place_text
from agents.compare.result import Group, Section
from agents.compare.statistics import Estimate
from agents.experiment.style import BAND_ALPHA, draw_band, line_style, reference_style, whole_ticks

GREY = "#5F6368"
"""Colour of lines that only guide the eye."""
MOST_BANDS = 5
"""Maximum number of groups whose intervals are drawn as bands; more of them would hide each other."""
MANY_TASKS = 1000
"""From more tasks on, their points are drawn as pixels."""
REFERENCES_SHOWN = 4
"""Maximum number of reference agents in a panel."""


def draw_adaptation(axes: Axes, section: Section) -> None:
    """Draw the mean return of each group against its adaptation, with intervals, and the reference agents."""
    own_axis = len({group.axis for group in section.groups}) == 1
    alone = not section.has_several_seeds
    for index, group in enumerate(section.groups):
        means = group.members[0].means if alone else group.means
        draw_band(axes, _where(group, own_axis), *_band(means, section), group.label, **line_style(index))
    for name, (x, values) in _references(section, own_axis).items():
        axes.plot(x, values, label=name, **reference_style(name))
    whole_ticks(axes.xaxis)
    axes.set_xlabel(adaptation_label(section))
    axes.set_ylabel("return on test tasks" if section.split == "test" else f"return on {section.split} tasks")


def adaptation_label(section: Section) -> str:
    """Return the label of the axis of adaptation."""
    first = section.groups[0]
    if len({group.axis for group in section.groups}) > 1:
        return "experience in the task [episodes]"
    if first.axis == "gradient_steps":
        each = f" of {first.episodes[1]} episodes each" if len(first.episodes) > 1 else ""
        return f"gradient steps{each}"
    return {"episodes": "episode of a trial"}.get(first.axis, first.axis)


def draw_learning(axes: Axes, section: Section) -> None:
    """Draw the return during training against environment steps, and the threshold of the sample complexity."""
    for index, group in enumerate(section.groups):
        if group.learning is not None:
            band = _band(group.learning.mean, section)
            draw_band(axes, group.learning.env_steps, *band, group.label, **line_style(index))
    if section.target.threshold is not None:
        axes.axhline(section.target.threshold, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    steps_axis(axes)
    axes.set_ylabel(learning_label(section))


def learning_label(section: Section) -> str:
    """Return the label of the return during training, with the number of updates if all groups share it."""
    curves = [group.learning for group in section.groups if group.learning is not None]
    tasks = "validation tasks" if any(curve.validated for curve in curves) else "training tasks"
    if len({curve.updates for curve in curves}) > 1:
        return f"return on {tasks} after adaptation"
    updates = curves[0].updates if curves else None
    if updates is None:
        return f"return of a trial on {tasks}"
    return f"return on {tasks}\nafter {updates} gradient step{'s' * (updates != 1)}"


def steps_axis(axes: Axes) -> None:
    """Label a horizontal axis of environment steps."""
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_count(value)))
    axes.set_xlabel("environment steps of training")


def draw_profiles(axes: Axes, section: Section) -> None:
    """Draw the share of seeds × tasks above each return, that of tasks if no group has several seeds."""
    for index, group in enumerate(section.groups):
        style = {key: value for key, value in line_style(index).items() if key != "marker"}
        draw_band(axes, group.profile.thresholds, *_band(group.profile.shares, section), group.label, **style)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(f"return τ {_place(section)}".rstrip())
    axes.set_ylabel(f"share of {'seeds × ' * section.has_several_seeds}tasks above τ")


def draw_intervals(axes: Axes, section: Section) -> None:
    """Draw the mean of each group at the compared place as a point, with its interval, one below the other."""
    groups = section.groups
    for index, group in enumerate(groups):
        style = line_style(index)
        _point(axes, len(groups) - 1 - index, group.at.mean, style["color"], style["marker"])
    axes.set_yticks(range(len(groups)), [group.label for group in reversed(groups)])
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"mean return {_place(section)}".rstrip())


def draw_tasks(axes: Axes, x: Sequence[float], y: Sequence[float], labels: tuple[str, str], index: int) -> None:
    """Draw each task as a point: its return of one kind against that of another, and the diagonal."""
    style = line_style(index)
    low, high = min(*x, *y), max(*x, *y)
    margin = 0.05 * (high - low) or 0.5
    ends = low - margin, high + margin
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    many = len(x) > MANY_TASKS  # as pixels: the size of a vector graphic grows with their number
    look = {"color": style["color"], "marker": style["marker"], "linewidths": 0, "rasterized": many}
    axes.scatter(x, y, s=6 if many else 22, alpha=0.3 if many else 0.75, **look)
    axes.set(xlim=ends, ylim=ends, xlabel=labels[0], ylabel=labels[1], aspect="equal")


def draw_seeds(axes: Axes, x: Sequence[float | int], per_seed: Sequence[Sequence[float]], index: int) -> None:
    """Draw a thin line for each seed, and their mean."""
    style = line_style(index) | {"marker": ""}
    for values in per_seed:
        axes.plot(x, values, **style | {"linewidth": 0.9, "alpha": 0.55})
    if len(per_seed) > 1:
        axes.plot(x, np.mean(np.array(per_seed), axis=0), **style | {"linewidth": 2.2})


def limits_of(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return common limits of an axis for several panels."""
    every = [each for row in values for each in row]
    low, high = min(every), max(every)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _references(section: Section, own_axis: bool) -> dict[str, tuple[Sequence[int], Sequence[float]]]:
    """Return the lines of reference agents by name, each from the first group that has it."""
    found: dict[str, tuple[Sequence[int], Sequence[float]]] = {}
    for group in section.groups:
        for name, values in group.references.items():
            if name != "memory_reset" or len(section.groups) == 1:
                found.setdefault(name, (_where(group, own_axis), values))
    return dict(list(found.items())[:REFERENCES_SHOWN])


def _where(group: Group, own_axis: bool) -> tuple[int, ...]:
    return group.x if own_axis else group.episodes


def _place(section: Section) -> str:
    places = {place_text(group, group.at.x) for group in section.groups}
    (place, *others) = places
    return "" if others else f"after {place}" if section.groups[0].axis != "episodes" else f"in {place}"


def _band(estimates: Sequence[Estimate], section: Section) -> tuple[list[float], list[float], list[float]]:
    """Return values and the ends of their intervals, NaN where there is none or where there are too many groups."""
    shown = len(section.groups) <= MOST_BANDS
    low, high = (
        [np.nan if end is None or not shown else end for end in (getattr(each, name) for each in estimates)]
        for name in ("low", "high")
    )
    return [each.value for each in estimates], low, high


def _point(axes: Axes, y: int, estimate: Estimate, colour: str, marker: str) -> None:
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=6, alpha=2 * BAND_ALPHA,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot([estimate.value], [y], color=colour, marker=marker, markersize=7, linestyle="")


def _short_count(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def task_pairs(section: Section, group: Group) -> tuple[Sequence[float], Sequence[float], tuple[str, str]] | None:
    """Return what to draw task by task: the reference against a group, or before against after adaptation if alone.

    None for the reference itself, and for a group on other tasks.
    """
    if not section.reference:
        if group.first.x == group.at.x:
            return None
        labels = tuple(f"return, {place_text(group, score.x)}" for score in (group.first, group.at))
        return group.first.per_task, group.at.per_task, (labels[0], labels[1])
    reference = section.group(section.reference)
    if group is reference or group.improvement is None:
        return None
    return reference.at.per_task, group.at.per_task, (f"return of {reference.label}", f"return of {group.label}")
