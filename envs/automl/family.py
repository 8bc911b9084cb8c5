"""Family of search tasks from the shipped table."""

from functools import cache
from typing import Literal, get_args

import numpy as np

from envs.automl.algorithms import PORTFOLIOS
from envs.automl.lookup_tasks import LookupTasks, ScoreTable
from envs.automl.table import Table, TableSplit, read_table

HeldOut = Literal["test", "validation"]
HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""Splits that may be held out: datasets for reports, or datasets for choosing options."""


def family(name: str, horizon: int, held_out: HeldOut, jitter: float, portfolio: str | None = None) -> LookupTasks:
    """Return the family with datasets as tasks; candidates are the algorithms, or the configurations of a portfolio.

    With `validation` held out, training has neither the validation datasets nor the test datasets.
    """
    table = shipped_table()
    scores = table.algorithms if portfolio is None else table.portfolios[portfolio]
    train, test = (
        np.flatnonzero(np.isin(scores.rows, np.concatenate([table.split(each) for each in splits])))
        for splits in (training_splits(held_out), (held_out,))
    )
    order = np.concatenate([train, test])
    rows = scores.rows[order]
    score_table = ScoreTable(
        names=tuple(table.datasets[row] for row in rows),
        candidates=scores.choices,
        improvement=table.improvement(portfolio)[order],
        features=table.meta[rows],
        n_train=len(train),
        configurations=() if portfolio is None else PORTFOLIOS[portfolio],
    )
    return LookupTasks(name, "dataset", horizon, score_table, jitter)


def training_splits(held_out: HeldOut) -> tuple[TableSplit, ...]:
    """Return the splits of the training datasets."""
    return ("train", "validation") if held_out == "test" else ("train",)


@cache
def shipped_table() -> Table:
    """Return the shipped table, read once per process."""
    return read_table()
