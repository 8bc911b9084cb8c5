"""Page about a search: its history, the importance of options, the best options against the defaults."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes

from agents.compare.configuration import flat
from agents.compare.outputs import MARK
from agents.compare.page.figures import WIDE, PageFigure
from agents.compare.page.page import Cell, PageTable
from agents.compare.page.svg import inline_svg
from agents.compare.page.template import template
from agents.experiment.style import whole_ticks
from agents.runs.program import program
from agents.tuning.record import Record, TrialRecord
from agents.tuning.report import (
    OPTION_HEAD,
    TRIAL_HEAD,
    findings,
    option_rows,
    ranking,
    states,
    trial_row,
    value_text,
)
from qrl.common.pictures import PALETTE, panels

MOST_PANELS = 6
"""Maximum number of options whose values are drawn against the scores: the most important ones."""


def page_of(record: Record, path: Path, versions: Mapping[str, str]) -> str:
    """Return the page as HTML. Texts from files are escaped.

    Args:
        record: record of the search.
        path: its folder.
        versions: names and versions of what the search ran with.
    """
    title, *_ = findings(record)
    return template("search.html").render(
        mark=MARK,
        title=f"{title[:1].upper()}{title[1:]}",
        name=record.name,
        states=states(record),
        record=record,
        best=_table("Options", OPTION_HEAD, option_rows(record)),
        trials=_table("Trials", (*TRIAL_HEAD, *(each.name for each in record.ranges)), _trial_rows(record)),
        drawings=list(_figures(record)),
        values=list(_values(record)),
        options=dict(flat(record.spec)),
        seeds=", ".join(map(str, record.protocol.seeds)),
        command=f"{program()} {shlex.join(['report', str(path)])}",
        versions=_table("Versions", ("what", "version"), list(versions.items())),
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> PageTable:
    return PageTable(title, tuple(head), tuple(tuple(map(Cell, row)) for row in rows))


def _trial_rows(record: Record) -> list[tuple[str, ...]]:
    names = [each.name for each in record.ranges]
    return [
        (*trial_row(each), *(value_text(each.options[name]) if name in each.options else "–" for name in names))
        for each in ranking(record)
    ]


def _figures(record: Record) -> Iterator[PageFigure]:
    complete = [each for each in record.trials if each.score is not None]
    if not complete:
        return
    best = record.best
    assert best is not None
    yield PageFigure(
        "History",
        _drawn(lambda axes: _draw_history(axes, record), "history", f"Score of each trial; the best is {best.number}."),
        "Score of each trial by its number, the best so far as a line. A pruned trial has its last score.",
    )
    if any(len(each.scores) > 1 for each in record.trials):
        yield PageFigure(
            "Training",
            _drawn(lambda axes: _draw_scores(axes, record), "scores", "Scores of each trial against its iterations."),
            "Scores of each trial during its training, by which trials are pruned; the best one is thick.",
        )
    if record.importance:
        names = ", ".join(f"{name} {share:.0%}" for name, share in record.importance.items())
        yield PageFigure(
            "Importance",
            _drawn(lambda axes: _draw_importance(axes, record), "importance", f"Bars: {names}."),
            "Share of the variance of the scores of complete trials that an option explains alone, by functional "
            "analysis of variance of a random forest (Hutter et al. 2014). It is uncertain with few trials",
        )


def _values(record: Record) -> Iterator[PageFigure]:
    """Yield the scores against the values of the most important options, or of the first ones."""
    names = list(record.importance) or [each.name for each in record.ranges]
    ranges = {each.name: each for each in record.ranges}
    for index, name in enumerate(names[:MOST_PANELS]):
        shown = [each for each in record.trials if each.score is not None and name in each.options]
        if not shown:
            continue

        def draw(axes: Axes, name: str = name, shown: Sequence[TrialRecord] = shown) -> None:
            values = [each.options[name] for each in shown]
            across = list(map(str, values)) if ranges[name].choices else [float(value or 0) for value in values]
            axes.scatter(across, [float(each.score or 0) for each in shown], color=PALETTE[0], s=14)
            if ranges[name].log:
                axes.set_xscale("log")
            axes.set(xlabel=name, ylabel="score")

        alt = f"Score of each complete trial against {name}."
        yield PageFigure(name, _drawn(draw, f"value{index}", alt, (3.3, 2.5)), "Score of each complete trial.")


def _draw_history(axes: Axes, record: Record) -> None:
    complete = [(each.number, each.score) for each in record.trials if each.score is not None]
    pruned = [(each.number, each.scores[-1][1]) for each in record.trials if each.score is None and each.scores]
    for points, marker, label in ((complete, "o", "complete"), (pruned, "x", "pruned")):
        if points:
            numbers, scores = zip(*points, strict=True)
            axes.scatter(numbers, scores, color=PALETTE[0 if label == "complete" else -1], marker=marker, label=label)
    best = [max(score for _, score in complete[: index + 1]) for index in range(len(complete))]
    axes.step([number for number, _ in complete], best, where="post", color=PALETTE[1], label="best so far")
    axes.set(xlabel="trial", ylabel="score")
    axes.legend()
    whole_ticks(axes.xaxis)


def _draw_scores(axes: Axes, record: Record) -> None:
    best = record.best
    for each in record.trials:
        if each.scores:
            is_best = best is not None and each.number == best.number
            colour = PALETTE[1] if is_best else PALETTE[0] if each.score is not None else PALETTE[-1]
            axes.plot(*zip(*each.scores, strict=True), color=colour, linewidth=2.2 if is_best else 0.8, marker=".")
    axes.set(xlabel="iteration", ylabel="score")
    whole_ticks(axes.xaxis)


def _draw_importance(axes: Axes, record: Record) -> None:
    names = list(record.importance)[::-1]
    axes.barh(names, [record.importance[name] for name in names], color=PALETTE[0])
    axes.set(xlabel="share of the variance")


def _drawn(draw: Callable[[Axes], None], name: str, alt: str, size: tuple[float, float] = WIDE) -> Markup:
    with panels(size=size) as (figure, axes):
        draw(axes[0, 0])
    return inline_svg(figure, name, alt)
