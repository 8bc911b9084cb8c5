"""Figures of a page, each with its text alternative and its caption."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.axes import Axes

from agents.compare.figures import (
    MOST_BANDS,
    adaptation_label,
    draw_adaptation,
    draw_intervals,
    draw_learning,
    draw_profiles,
    draw_seeds,
    draw_tasks,
    learning_label,
    limits_of,
    steps_axis,
    task_pairs,
)
from agents.compare.format import number_text
from agents.compare.page.svg import inline_svg
from agents.compare.result import Group, Section
from agents.compare.statistics import MIN_SEEDS
from agents.compare.tables import words
from agents.experiment.style import legend_below, whole_ticks
from qrl.common.pictures import panels

WIDE, SMALL, SQUARE = (5.6, 3.5), (3.3, 2.5), (3.3, 3.1)
"""Sizes of figures [inches]."""
MOST_INSIDE = 3
"""Maximum number of entries of a legend inside a panel."""


@dataclass(frozen=True)
class PageFigure:
    """Figure of a page."""

    title: str
    svg: Markup
    caption: str = ""


def main_figures(section: Section, name: str) -> Iterator[PageFigure]:
    """Yield the figures with all groups of a section; `name` begins their ids."""
    groups, digits = section.groups, section.digits
    shown = _intervals(section)
    ends = "; ".join(
        f"{group.label} from {number_text(first.value, digits)} to {number_text(last.value, digits)}"
        for group in groups
        for first, *_, last in [(group.means[0], *group.means)]
    )
    yield PageFigure(
        "Adaptation",
        _drawn(
            lambda axes: draw_adaptation(axes, section),
            f"{name}-adaptation",
            f"Line plot of the mean return against {adaptation_label(section)}: {ends}.",
        ),
        f"Mean return on {section.split} tasks. {shown}",
    )
    if any(group.learning is not None for group in groups):
        yield _learning(section, f"{name}-learning")
    scores = "seeds × tasks" if section.has_several_seeds else "tasks"
    crossing = (
        ". Where curves cross, each group is ahead at some levels only (Agarwal et al. 2021)" if len(groups) > 1 else ""
    )
    yield PageFigure(
        "Performance profiles",
        _drawn(
            lambda axes: draw_profiles(axes, section),
            f"{name}-profiles",
            f"Falling curves: share of {scores} above each return, for {_labels(section)}.",
        ),
        f"Share of {scores} whose return exceeds τ: the higher, the better{crossing}.",
    )
    if len(groups) > 1:
        means = "; ".join(f"{group.label} {number_text(group.at.mean.value, digits)}" for group in groups)
        yield PageFigure(
            "Means",
            _drawn(lambda axes: draw_intervals(axes, section), f"{name}-means", f"Points with intervals: {means}."),
            f"Mean return at the compared place, with its 95 % interval from {MIN_SEEDS} seeds on.",
        )


def adaptation_of_seeds(section: Section, name: str) -> Iterator[PageFigure]:
    """Yield the adaptation curves of the seeds of each group, on common axes."""
    rows = [[[mean.value for mean in member.means] for member in group.members] for group in section.groups]
    limits = limits_of([row for each in rows for row in each])
    for index, (group, curves) in enumerate(zip(section.groups, rows, strict=True)):
        ends = [curve[-1] for curve in curves]
        span = f"from {number_text(min(ends), section.digits)} to {number_text(max(ends), section.digits)}"
        alt = f"Adaptation curves of {len(curves)} seeds of {group.label}; at the end, {span}."
        yield PageFigure(
            group.label,
            _drawn(_Seeds(group, curves, limits, index).draw_adaptation, f"{name}-seeds{index}", alt, SMALL),
            f"Adaptation, in the end {span}.",
        )


def training_of_seeds(section: Section, name: str) -> Iterator[PageFigure]:
    """Yield the learning curves of the seeds of each trained group, on common axes."""
    trained = [(index, group, group.learning) for index, group in enumerate(section.groups)]
    limits = limits_of(
        [row for _, _, learning in trained if learning is not None for row in learning.per_seed] or [[0]]
    )
    for index, group, learning in trained:
        if learning is None:
            continue
        alt = f"Learning curves of {len(learning.per_seed)} seeds of {group.label}: {words(learning_label(section))}."
        seeds = _Seeds(group, learning.per_seed, limits, index)
        svg = _drawn(seeds.draw_training, f"{name}-learned{index}", alt, SMALL)
        yield PageFigure(group.label, svg, f"Training: {words(learning_label(section))}.")


def task_figures(section: Section, name: str) -> Iterator[PageFigure]:
    """Yield scatter plots of tasks: the reference against each other group, or before against after adaptation."""
    for index, group in enumerate(section.groups):
        pair = task_pairs(section, group)
        if pair is None:
            continue
        x, y, (across, up) = pair
        above = sum(b > a for a, b in zip(x, y, strict=True))
        yield PageFigure(
            group.label,
            _drawn(
                partial(draw_tasks, x=x, y=y, labels=(across, up), index=index),
                f"{name}-tasks{index}",
                f"Scatter plot of tasks, {up} against {across}: {above} of {len(x)} tasks are above the diagonal.",
                SQUARE,
            ),
            f"{above} of {len(x)} tasks are above the diagonal.",
        )


def _learning(section: Section, name: str) -> PageFigure:
    trained = [group for group in section.groups if group.learning is not None]
    ends = "; ".join(
        f"{group.label} to {number_text(group.learning.mean[-1].value, section.digits)}"
        for group in trained
        if group.learning is not None
    )
    target = section.target
    line = ""
    if target.threshold is not None:
        line = " Dashed: the threshold of Ŝ."
    return PageFigure(
        "Training",
        _drawn(
            lambda axes: draw_learning(axes, section),
            name,
            f"Line plot of the {words(learning_label(section))} against environment steps: {ends}.",
        ),
        f"{_over_seeds(section)}{line}",
    )


@dataclass(frozen=True)
class _Seeds:
    """Curves of the seeds of a group."""

    group: Group
    curves: Sequence[Sequence[float]]
    limits: tuple[float, float]
    index: int

    def draw_adaptation(self, axes: Axes) -> None:
        """Draw adaptation curves."""
        draw_seeds(axes, self.group.x, self.curves, self.index)
        axes.set(ylim=self.limits, ylabel="return", xlabel=self.group.axis.replace("_", " "))
        whole_ticks(axes.xaxis)

    def draw_training(self, axes: Axes) -> None:
        """Draw learning curves."""
        assert self.group.learning is not None
        draw_seeds(axes, self.group.learning.env_steps, self.curves, self.index)
        steps_axis(axes)
        axes.set(ylim=self.limits, ylabel="return", xlabel="environment steps")


def _drawn(draw: Callable[[Axes], None], name: str, alt: str, size: tuple[float, float] = WIDE) -> Markup:
    with panels(size=size) as (figure, axes):
        draw(axes[0, 0])
        entries = axes[0, 0].get_legend_handles_labels()[1]
        if len(entries) > MOST_INSIDE:
            legend_below(axes[0, 0])
        elif len(entries) > 1:
            axes[0, 0].legend()
    return inline_svg(figure, name, alt)


def _intervals(section: Section) -> str:
    if not section.has_several_seeds:
        return "Bands are 95 % intervals over tasks; a single seed says nothing about other seeds."
    if len(section.groups) > MOST_BANDS:
        return f"Intervals are in the table: bands of more than {MOST_BANDS} groups would hide each other."
    return f"Bands are 95 % intervals that cover seeds and tasks, from {MIN_SEEDS} seeds on."


def _over_seeds(section: Section) -> str:
    if not section.has_several_seeds:
        return f"{words(learning_label(section)).capitalize()}."
    if len(section.groups) > MOST_BANDS:
        return "Mean over seeds."
    return f"Mean over seeds; bands are 95 % t-intervals over seeds, from {MIN_SEEDS} seeds on."


def _labels(section: Section) -> str:
    return ", ".join(group.label for group in section.groups)
