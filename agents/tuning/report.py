"""Summary of a search in words and rows, for the terminal and for its page."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from agents.compare.format import number_text
from agents.runs.program import program
from agents.tuning.folder import BEST, TRIALS
from agents.tuning.ranges import Value
from agents.tuning.record import Record, TrialRecord

MOST_ROWS = 10
"""Trials of the table on the terminal."""
DIGITS = 4
"""Decimals of scores."""
OPTION_HEAD = ("option", "best", "default", "range", "importance")
TRIAL_HEAD = ("trial", "score", "iterations", "state")


def summary(path: Path, record: Record) -> list[str]:
    """Return the best trials, the best options, and what to do with them, as lines of text."""
    shown = ranking(record)[:MOST_ROWS]
    lines = _aligned([TRIAL_HEAD, *map(trial_row, shown)])
    lines += [f"{states(record)}: {path / TRIALS}", ""]
    lines += [*_aligned([OPTION_HEAD, *option_rows(record)]), "", *findings(record)]
    if record.best is not None:
        lines.append(f"train with the best options: {program()} --config {shlex.quote(str(path / BEST))}")
    lines.append(f"a page about the search: {program()} report {shlex.quote(str(path))}")
    return lines


def findings(record: Record) -> list[str]:
    """Return sentences about the best trial, and its comparison with the defaults."""
    best = record.best
    if best is None:
        return ["no trial has come to its end"]
    if all(record.defaults.get(name) == value for name, value in best.options.items()):
        return [f"trial {best.number} has the best score: the defaults"]
    held = record.held_out
    if held is None:
        return [f"trial {best.number} has the best score; it has not been compared with the defaults"]
    ends = "" if held.low is None or held.high is None else f" [{_number(held.low)}, {_number(held.high)}]"
    return [
        f"trial {best.number} {verdict(record)} on {held.tasks} held-out train tasks, from {len(held.seeds)} new "
        f"seeds: {_number(held.best)} against {_number(held.default)}, difference {_number(held.difference)}{ends}"
    ]


def verdict(record: Record) -> str:
    """Return whether the best options differ from the defaults, in words."""
    held = record.held_out
    if held is None or held.low is None or held.high is None:
        return "against the defaults, without an interval below five seeds,"
    if held.low > 0:
        return "is better than the defaults"
    return "is worse than the defaults" if held.high < 0 else "is not distinguishable from the defaults"


def ranking(record: Record) -> list[TrialRecord]:
    """Return the complete trials, the best first, then the others."""
    return sorted(record.trials, key=lambda each: (each.score is None, -(each.score or 0.0), each.number))


def states(record: Record) -> str:
    """Return the numbers of trials in each state, in words."""
    counts: dict[str, int] = {}
    for each in record.trials:
        counts[each.state] = counts.get(each.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def trial_row(trial: TrialRecord) -> tuple[str, ...]:
    """Return the row of a trial; see TRIAL_HEAD."""
    score = "–" if trial.score is None else _number(trial.score)
    reason = f": {trial.reason}" if trial.reason else ""
    return str(trial.number), score, str(trial.scores[-1][0] if trial.scores else 0), f"{trial.state}{reason}"


def option_rows(record: Record) -> list[tuple[str, ...]]:
    """Return a row for each tuned option; see OPTION_HEAD."""
    best = {} if record.best is None else record.best.options
    rows: list[tuple[str, ...]] = []
    for each in record.ranges:
        found = value_text(best[each.name]) if each.name in best else "–"  # It has no effect beside the others.
        share = record.importance.get(each.name)
        default = value_text(record.defaults[each.name])
        rows.append((each.name, found, default, str(each), "–" if share is None else f"{share:.0%}"))
    return rows


def value_text(value: Value) -> str:
    """Return the value of an option in a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _number(value: float) -> str:
    return number_text(value, DIGITS)
