"""Columns of the tables, common to the terminal, LaTeX, CSV and HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agents.compare.certification import GroupCertificate
from agents.compare.format import MISSING, duration_text, estimate_text, number_text, quantity_text
from agents.compare.legend import legend_of_certificates, legend_of_costs, legend_of_returns
from agents.compare.result import Group, Section
from agents.compare.statistics import Estimate
from agents.experiment.certificate_text import DIGITS, p_value_text, share_text

Value = str | int | float | Estimate | None
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Column:
    """Column of a table."""

    title: str
    name: str
    """Name in CSV files; an estimate has two more columns, for the ends of its interval."""
    value: Callable[[Group], Value]
    text: Callable[[Group], str]
    estimated: bool = False
    """Whether the values are estimates with intervals."""
    in_heading: bool = False
    """Whether the heading says the value if it is the same for all groups, and printed tables leave the column out."""


@dataclass(frozen=True)
class Table:
    """Title and columns."""

    title: str
    columns: tuple[Column, ...]
    legend: tuple[str, ...]
    """Lines about brackets and columns."""


def tables_of(section: Section) -> tuple[Table, ...]:
    """Return the tables of a section: of returns, of certificates on quantum data, then of cost.

    Columns that no group has a value for are left out.
    """
    parts = (
        ("Returns", _returns(section), legend_of_returns(section)),
        *((("Certificate", _certificates(), legend_of_certificates(section)),) if section.certificates else ()),
        ("Cost", _costs(section), legend_of_costs(section)),
    )
    return tuple(
        Table(
            title, tuple(column for column in columns if any(_has(column, group) for group in section.groups)), legend
        )
        for title, columns, legend in parts
    )


def printed(table: Table, groups: Sequence[Group]) -> Table:
    """Return the table without the columns whose values, the same for all groups, the heading says."""

    def varies(column: Column) -> bool:
        return len({column.text(group) for group in groups}) > 1

    return replace(table, columns=tuple(each for each in table.columns if not each.in_heading or varies(each)))


def heading_of(section: Section) -> str:
    """Return environment, tasks, seeds and place of the comparison, those that all groups share."""
    groups, parts = section.groups, []
    if len({group.n_tasks for group in groups}) == 1:
        parts.append(f"{groups[0].n_tasks} {section.split} tasks")
    if len({group.n_seeds for group in groups}) == 1:
        seeds = groups[0].n_seeds
        parts.append(f"{seeds} seed{'s' * (seeds != 1)}" + (" each" if len(groups) > 1 and seeds > 1 else ""))
    parts = parts or [f"{section.split} tasks"]
    return f"{section.name}: {', '.join([*parts, *(['best checkpoints'] if section.checkpoint == 'best' else [])])}"


def place_text(group: Group, x: int) -> str:
    """Return the x of an adaptation curve in words."""
    if group.axis == "gradient_steps":
        return f"{x} step{'s' * (x != 1)}"
    return f"episode {x}" if group.axis == "episodes" else f"{x} evaluations"


def _returns(section: Section) -> tuple[Column, ...]:
    digits, groups = section.digits, section.groups
    n_places = len({(group.axis, group.first.x, group.at.x) for group in groups})
    first, last = ("first", "compared") if n_places > 1 else (
        place_text(groups[0], groups[0].first.x), place_text(groups[0], groups[0].at.x)
    )  # fmt: skip
    reference = section.reference
    zero = "" if section.lines.zero_name == "random" else f" (0: {section.lines.zero_name})"
    share = f"share of {section.lines.optimum_name}{zero}"
    return (
        Column("group", "group", lambda group: group.label, lambda group: group.label),
        replace(_count("seeds", "n_seeds", lambda group: group.n_seeds), in_heading=True),
        replace(_count("tasks", "n_tasks", lambda group: group.n_tasks), in_heading=True),
        Column(
            "compared at",
            "compared_at",
            lambda group: group.at.x,
            lambda group: place_text(group, group.at.x),
            in_heading=True,
        ),
        _estimate(f"mean, {first}", "mean_first", _mean_before, digits),
        _estimate(f"mean, {last}", "mean", lambda group: group.at.mean, digits),
        _estimate("IQM", "iqm", lambda group: group.at.iqm, digits),
        Column(
            "worst 10 %",
            "worst_decile",
            lambda group: group.at.worst_decile,
            lambda group: number_text(group.at.worst_decile, digits),
        ),
        _estimate(f"minus {reference}", "difference", lambda group: group.difference, digits, sign=True),
        _estimate(f"P(better than {reference})", "improvement", lambda group: group.improvement, 2),
        _estimate(share, "share", lambda group: group.share, 2),
    )


def _costs(section: Section) -> tuple[Column, ...]:
    target = section.target
    steps = f"env steps below threshold, Ŝ({target.epsilon:g}, {target.delta:g})"
    return (
        Column("group", "group", lambda group: group.label, lambda group: group.label),
        _count("parameters", "n_parameters", lambda group: group.n_parameters),
        Column("circuits", "circuits", lambda group: group.circuits or None, lambda group: group.circuits or MISSING),
        Column("circuits run", "circuit_runs", lambda group: group.circuit_runs, _quantity(lambda g: g.circuit_runs)),
        Column("env steps", "env_steps", lambda group: group.env_steps or None, _quantity(lambda g: g.env_steps)),
        Column(
            "training time",
            "seconds",
            lambda group: group.seconds,
            lambda group: MISSING if group.seconds is None else duration_text(group.seconds),
        ),
        Column(
            steps,
            "sample_complexity",
            lambda group: group.sample_complexity,
            lambda group: _steps_text(group.sample_complexity),
            estimated=True,
        ),
    )


def _certificates() -> tuple[Column, ...]:
    return (
        Column("group", "group", lambda group: group.label, lambda group: group.label),
        _of_certificate("episodes", "certified_episodes", lambda c: c.pooled.n_episodes, lambda n: f"{n:,}"),
        _of_certificate("successes", "successes", lambda c: c.pooled.n_successes, lambda n: f"{n:,}"),
        _estimate("success rate", "success_rate", _success_rate, DIGITS),
        _of_certificate("of the gap", "gap_share", lambda c: c.pooled.advantage, share_text),
        _of_certificate(
            "p-value",
            "log10_p_value",
            lambda c: c.pooled.log10_p_value if c.pooled.is_sufficient else None,
            p_value_text,
        ),
        _of_certificate(
            "median of seeds", "median_success_rate", lambda c: c.median_rate, lambda rate: f"{rate:.{DIGITS}f}"
        ),
        Column("seeds above", "seeds_above", _n_above, _above),
    )


def _of_certificate(
    title: str, name: str, value: Callable[[GroupCertificate], N | None], text: Callable[[N], str]
) -> Column:
    def found(group: Group) -> N | None:
        return None if group.certificate is None else value(group.certificate)

    return Column(title, name, found, lambda group: MISSING if (number := found(group)) is None else text(number))


def _success_rate(group: Group) -> Estimate | None:
    if group.certificate is None:
        return None
    pooled = group.certificate.pooled
    return Estimate(pooled.rate, pooled.low, pooled.high)


def _n_above(group: Group) -> int | None:
    return None if group.certificate is None else group.certificate.n_above


def _above(group: Group) -> str:
    certificate = group.certificate
    return MISSING if certificate is None else f"{certificate.n_above} of {len(certificate.rates)}"


def _mean_before(group: Group) -> Estimate | None:
    """Return the mean at the first x; None if that is the one that is compared."""
    return None if group.first.x == group.at.x else group.first.mean


def _has(column: Column, group: Group) -> bool:
    return column.value(group) is not None


def _count(title: str, name: str, value: Callable[[Group], int | None]) -> Column:
    return Column(title, name, value, lambda group: MISSING if (n := value(group)) is None else f"{n:,}")


def _quantity(value: Callable[[Group], float | None]) -> Callable[[Group], str]:
    return lambda group: MISSING if not (number := value(group)) else quantity_text(number)


def _estimate(
    title: str, name: str, value: Callable[[Group], Estimate | None], digits: int, *, sign: bool = False
) -> Column:
    def text(group: Group) -> str:
        found = value(group)
        return MISSING if found is None else estimate_text(found, digits, sign=sign)

    return Column(title, name, value, text, estimated=True)


def _steps_text(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    text = quantity_text(estimate.value)
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return text
    return f"{text} [{quantity_text(estimate.low)}, {quantity_text(estimate.high)}]"


def rows_of(table: Table, groups: Sequence[Group]) -> list[list[str]]:
    """Return the texts of a table [group][column]."""
    return [[column.text(group) for column in table.columns] for group in groups]
