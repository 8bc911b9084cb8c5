"""Table of results of docs/quantum-data.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agents.experiment.certificate_text import DIGITS, p_value_text
from benchmarks.certificates.rows import certificate_of, task_of

COHERENT_PARTS = ("pairs", "larger", "one_shot", "purity")
"""Parts without a hidden frame, in the order of the page."""
CONTROL_PARTS = ("pairs", "larger-controls")
"""Parts with the measured memories."""
NONE = "–"


def page_rows(results: Mapping[str, Any]) -> list[str]:
    """Return the rows of the table in Markdown, for the parts that have results."""
    coherent = [row for row in _rows(results, COHERENT_PARTS) if row["memory"] == "coherent"]
    measured = {task_of(row): row for row in _rows(results, CONTROL_PARTS) if row["memory"] == "measured"}
    lines = [_line(row, measured.get(task_of(row))) for row in coherent]
    for row in _rows(results, ["frame"]):
        lines += _frame_lines(row)
    return lines + [_updates_line(row) for row in _rows(results, ["maml"])]


def _rows(results: Mapping[str, Any], parts: Iterable[str]) -> list[Mapping[str, Any]]:
    return [row for part in parts if part in results for row in results[part]["rows"].values()]


def _line(row: Mapping[str, Any], control: Mapping[str, Any] | None) -> str:
    found = certificate_of(row)
    mode, _, rest = task_of(row).partition(", ")
    kind = "bound " if found.ceiling_kind == "bound" else ""
    assert found.optimum is not None
    optimum = _digits(found.optimum) if found.optimum < 1 else "1"
    return _markdown(
        f"`{mode}`, {rest}",
        f"{kind}{_digits(found.ceiling)}; {optimum}",
        _spread(found.rates),
        f"{found.n_above} of {len(found.rates)}",
        p_value_text(found.pooled.log10_p_value),
        NONE if control is None else _digits(certificate_of(control).median_rate),
    )


def _frame_lines(row: Mapping[str, Any]) -> list[str]:
    """Return the rows of all episodes of a trial, of its second half and of the last one."""
    found, by_seed = certificate_of(row), np.array(row["rates_by_x"])
    p_value = p_value_text(found.pooled.log10_p_value)
    parts = [
        ("all ten episodes", by_seed.mean(1), p_value),
        ("episodes 6 to 10", by_seed[:, 5:].mean(1), NONE),
        ("tenth episode", by_seed[:, 9], NONE),
    ]
    return [_hidden(name, found.ceiling, rates, text) for name, rates, text in parts]


def _updates_line(row: Mapping[str, Any]) -> str:
    found = certificate_of(row)
    p_value = p_value_text(found.pooled.log10_p_value)
    return _hidden(f"MAML after {row['x'][-1]} updates", found.ceiling, found.rates, p_value)


def _hidden(name: str, ceiling: float, rates: Sequence[float] | np.ndarray, p_value: str) -> str:
    n_above = f"{sum(rate > ceiling for rate in rates)} of {len(rates)}"
    return _markdown(f"hidden frame, {name}", f"{_digits(ceiling)}; not known", _spread(rates), n_above, p_value, NONE)


def _spread(rates: Sequence[float] | np.ndarray) -> str:
    return ", ".join(_digits(float(value)) for value in (np.median(rates), min(rates), max(rates)))


def _digits(rate: float) -> str:
    return f"{rate:.{DIGITS}f}".removeprefix("0")


def _markdown(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
