"""Picture of a comparison: four panels for each environment, in any format of Matplotlib."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.compare.columns import heading_of
from agents.compare.figures import (
    draw_adaptation,
    draw_intervals,
    draw_learning,
    draw_profiles,
    draw_tasks,
    task_pairs,
)
from agents.compare.result import Results, Section
from qrl.common.pictures import panels

SIZE = (4.6, 3.4)
"""Width and height of a panel [inches]."""


def picture_of(results: Results) -> Figure:
    """Draw each section as a row: adaptation, learning, profiles, and means with intervals, or tasks of one group."""
    with panels(2 * len(results.sections), 2, size=SIZE) as (figure, axes):
        for index, section in enumerate(results.sections):
            _draw_section(section, axes[2 * index : 2 * index + 2].ravel().tolist())
        figure.set_size_inches(2 * SIZE[0], 2 * len(results.sections) * SIZE[1] + 0.4)
    return figure


def _draw_section(section: Section, axes: list[Axes]) -> None:
    adaptation, learning, profiles, last = axes
    draw_adaptation(adaptation, section)
    adaptation.legend(fontsize=8)
    adaptation.set_title(heading_of(section), loc="left", fontweight="bold")
    draw_learning(learning, section)
    learning.set_title("training", loc="left")
    draw_profiles(profiles, section)
    profiles.set_title("performance profiles", loc="left")
    pair = task_pairs(section, section.groups[0]) if len(section.groups) == 1 else None
    if pair is None:
        draw_intervals(last, section)
        intervals = any(group.has_intervals for group in section.groups)
        last.set_title("means" + " with 95 % intervals" * intervals, loc="left")
    else:
        draw_tasks(last, *pair, 0)
        last.set_title("tasks", loc="left")
