"""Family of search tasks from the shipped table."""

from functools import cache
from typing import Literal, get_args

import numpy as np

from envs.automl.algorithms import PORTFOLIOS
from envs.automl.lookup_tasks import LookupTasks, ScoreTable
from envs.automl.table import SPLITS, Table, TableSplit, read_table

HeldOut = Literal["test", "validation", "both"]
HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""Datasets that may be held out: those for reports, those for choosing options, or both, each as its own split."""


def family(name: str, horizon: int, held_out: HeldOut, jitter: float, portfolio: str | None = None) -> LookupTasks:
    """Return the family with datasets as tasks; candidates are the algorithms, or the configurations of a portfolio.

    With `validation` or `both` held out, training has neither the validation datasets nor the test datasets.
    """
    table = shipped_table()
    scores = table.algorithms if portfolio is None else table.portfolios[portfolio]
    of_split = {split: np.flatnonzero(np.isin(scores.rows, table.split(split))) for split in SPLITS}
    train, validation, test = (
        np.sort(np.concatenate([np.zeros(0, np.int64), *(of_split[split] for split in splits)]))
        for splits in splits_of(held_out)
    )
    order = np.concatenate([train, validation, test])
    rows = scores.rows[order]
    score_table = ScoreTable(
        names=tuple(table.datasets[row] for row in rows),
        candidates=scores.choices,
        improvement=table.improvement(portfolio)[order],
        features=table.meta[rows],
        n_train=len(train),
        n_validation=len(validation),
        configurations=() if portfolio is None else PORTFOLIOS[portfolio],
    )
    return LookupTasks(name, "dataset", horizon, score_table, jitter)


def splits_of(held_out: HeldOut) -> tuple[tuple[TableSplit, ...], tuple[TableSplit, ...], tuple[TableSplit, ...]]:
    """Return the table's splits from which the family's train, validation and test tasks are."""
    match held_out:
        case "test":
            return ("train", "validation"), (), ("test",)
        case "validation":
            return ("train",), (), ("validation",)
        case "both":
            return ("train",), ("validation",), ("test",)


@cache
def shipped_table() -> Table:
    """Return the shipped table, read once per process."""
    return read_table()
