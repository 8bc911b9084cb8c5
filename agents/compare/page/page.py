"""Page of a comparison, or of one run: one HTML file without scripts that requests nothing."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agents.compare.columns import Table, heading_of, printed, tables_of
from agents.compare.outputs import MARK
from agents.compare.page.animations import LARGEST, Animation, saved_animations
from agents.compare.page.figures import PageFigure, adaptation_of_seeds, main_figures, task_figures, training_of_seeds
from agents.compare.page.svg import inline_svg
from agents.compare.page.template import template
from agents.compare.result import Group, Member, Results, Section
from agents.experiment.circuits import UsedCircuit, circuits_of
from agents.experiment.style import line_style
from agents.runs.program import program
from qrl.common.errors import UsageError
from qrl.common.trust import Trust

MOST_OBSERVABLES = 8
"""Maximum number of observables that a caption names."""


@dataclass(frozen=True)
class Cell:
    """Cell of a table: a value, and what stands below it, such as its interval."""

    main: str
    below: str = ""


@dataclass(frozen=True)
class PageTable:
    """Table of a page; the first cell of each row is its heading."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    legend: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageSection:
    """Everything that the page shows of one environment."""

    section: Section
    heading: str
    colours: tuple[str, ...]
    """Colour of each group."""
    tables: tuple[PageTable, ...]
    figures: tuple[PageFigure, ...]
    seeds: tuple[tuple[PageFigure, ...], ...]
    """Rows: adaptation of each group, then training; of a single group, both in one row."""
    tasks: tuple[PageFigure, ...]
    circuits: tuple[PageFigure, ...]
    animations: tuple[Animation, ...]
    notes: tuple[str, ...]
    """Drawings and animations that are missing, and why."""
    differences: PageTable
    commands: str


def page_of(results: Results, trust: Trust, animation: bytes | None = None) -> str:
    """Return the page.

    Args:
        results: what it shows. Texts from files are escaped.
        trust: code outside this library that may be executed to draw the circuits of its models; circuits of other code
            are left out, with a note.
        animation: GIF of the groups, in place of those in the run folders.
    """
    sections = [_page_section(f"e{i}", each, trust, animation) for i, each in enumerate(results.sections)]
    runs = [member for section in results.sections for group in section.groups for member in group.members]
    return template("page.html").render(
        mark=MARK,
        title=_title(results),
        alone=len(runs) == 1,
        warnings=results.warnings,
        sections=sections,
        command=_command(results, alone=len(runs) == 1),
        versions=_versions(runs),
    )


def _title(results: Results) -> str:
    if len(results.sections) == 1:
        return re.sub(r", (?=[^\[]*\])", ",\u00a0", results.sections[0].finding)  # no line breaks inside intervals
    envs = list(dict.fromkeys(section.env for section in results.sections))
    settings = len(results.sections)
    where = f"{len(envs)} environments" if len(envs) > 1 else envs[0]
    return f"Comparison on {where}" + (f" in {settings} task settings" if settings > len(envs) else "")


def _page_section(name: str, section: Section, trust: Trust, animation: bytes | None) -> PageSection:
    groups = section.groups
    circuits, notes = _circuits(section, name, trust)
    animations, more = saved_animations(section)
    if animation is not None:
        alt = f"Animation of {', '.join(group.label for group in groups)} in a task, before and after adaptation."
        animations, more = [Animation("", alt, animation)], []
        if len(animation) > LARGEST:
            animations, more = [], [f"the animation is left out: {len(animation):,} bytes are too many for this page"]
    return PageSection(
        section=section,
        heading=heading_of(section),
        colours=tuple(str(line_style(index)["color"]) for index in range(len(groups))),
        tables=tuple(_table(printed(table, groups), groups) for table in tables_of(section)),
        figures=tuple(main_figures(section, name)),
        seeds=_seeds(section, name),
        tasks=tuple(task_figures(section, name)),
        circuits=tuple(circuits),
        animations=tuple(animations),
        notes=(*notes, *more),
        differences=_differences(section),
        commands="\n".join(_commands(groups)),
    )


def _seeds(section: Section, name: str) -> tuple[tuple[PageFigure, ...], ...]:
    if all(group.n_seeds == 1 for group in section.groups):
        return ()
    adaptation, training = tuple(adaptation_of_seeds(section, name)), tuple(training_of_seeds(section, name))
    return (adaptation + training,) if len(section.groups) == 1 else (adaptation, training)


def _table(table: Table, groups: Sequence[Group]) -> PageTable:
    rows = tuple(tuple(_cell(column.text(group)) for column in table.columns) for group in groups)
    titles = (column.title.replace(" %", "\u00a0%") for column in table.columns)  # no line break in "10 %"
    return PageTable(table.title, tuple(titles), rows, table.legend)


def _cell(text: str) -> Cell:
    main, bracket, interval = text.partition(" [")
    return Cell(main, f"{bracket.strip()}{interval}")


def _circuits(section: Section, name: str, trust: Trust) -> tuple[list[PageFigure], list[str]]:
    """Return a drawing of each distinct circuit, and a note for each group whose circuits cannot be drawn."""
    found: dict[UsedCircuit, list[str]] = {}
    notes = []
    for group in section.groups:
        if not group.circuits:
            continue
        try:
            for each in circuits_of(group.members[0].path, trust):
                found.setdefault(each, []).append(group.label)
        except UsageError as error:
            notes.append(f"no circuit of {group.label} is drawn: {error}")
    return [_circuit(f"{name}-circuit{i}", *each) for i, each in enumerate(found.items())], notes


def _circuit(name: str, used: UsedCircuit, labels: Sequence[str]) -> PageFigure:
    circuit = used.circuit
    size = f"{circuit.n_wires} wires, {len(circuit.gates)} gates, depth {len(circuit.moments)}"
    shown = [str(observable) for observable in circuit.observables[:MOST_OBSERVABLES]]
    shown += ["…"] if len(circuit.observables) > MOST_OBSERVABLES else []
    several = f"{used.count} equal circuits of " if used.count > 1 else ""
    owners = "; ".join(labels)
    svg = inline_svg(circuit.draw("mpl"), name, f"Circuit of {owners}: {several}{size}.")
    return PageFigure(owners, svg, f"{several}{size}. Measured: {', '.join(shown)}.")


def _differences(section: Section) -> PageTable:
    rows = [_option_row(name, section.groups) for name in section.differing]
    return PageTable("Differences", ("option", *(group.label for group in section.groups)), tuple(rows))


def _option_row(name: str, groups: Iterable[Group]) -> tuple[Cell, ...]:
    values = [str(group.options[name]) if name in group.options else "–" for group in groups]
    return tuple(map(Cell, (name, *values)))


def _commands(groups: Iterable[Group]) -> Iterator[str]:
    for member in (member for group in groups for member in group.members):
        yield shlex.join(member.command) if member.command else f"# {member.path}: its command is not recorded"
        yield from (f"# then {text}" for text in member.changes)


def _command(results: Results, *, alone: bool) -> str:
    paths = map(str, results.paths)
    return f"{program()} {shlex.join(['report' if alone else 'compare', *paths, *results.options])}"


def _versions(members: Sequence[Member]) -> PageTable:
    names = dict.fromkeys(name for member in members for name in member.provenance)
    rows = []
    for name in names:
        values = sorted({member.provenance.get(name, "unknown") for member in members})
        rows.append((Cell(name), Cell(", ".join(values))))
    return PageTable("Versions", ("what", "version"), tuple(rows))
