"""Selection of an algorithm from Python: `agents.select`."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from sklearn.pipeline import Pipeline

from agents.core.plain import from_plain
from agents.select.options import SelectOptions
from agents.select.report import with_progress
from agents.select.search import check_evaluations, choose, read
from agents.select.selection import Selection
from agents.select.selectors import selector_of
from envs.automl.evaluation import Evaluator, Event
from envs.automl.read_columns import ReadColumns
from envs.automl.results import AlgorithmResult
from envs.automl.time_limit import TimeBudget
from qrl.common.checks import shown
from qrl.common.errors import UsageError
from qrl.common.trust import Trust


class SelectedPipeline(Pipeline):  # type: ignore[misc]  # scikit-learn has no types
    """Pipeline of scikit-learn for frames with the raw columns: reading of columns, preprocessing, classifier."""

    selection_: Selection
    """The selection; a clone has none."""


def select(
    data: pd.DataFrame | Path | str,
    *,
    target: str,
    metric: str = "accuracy",
    evaluations: int = 5,
    time_budget: float | None = None,
    rows: int = 5000,
    bins: int = 0,
    ignore: Sequence[str] = (),
    decimal: str = "auto",
    dates: str = "auto",
    selector: Path | str | None = None,
    trust: bool = False,
    compare: bool = True,
    progress: bool = True,
) -> SelectedPipeline:
    """Choose a learning algorithm as `run.py select` does, and fit it on all rows with a target; write nothing.

    Args:
        data: frame, of which only text is interpreted; or a CSV file with a header, a Parquet file or a workbook.
        target: column to predict.
        metric: metric of the ranking: accuracy, balanced_accuracy, roc_auc, average_precision or log_loss.
        evaluations: algorithms to propose and cross-validate [evaluations].
        time_budget: wall-clock time after which no evaluation starts or continues, except the first [s].
        rows: maximum size of the sample on which algorithms are screened [rows].
        bins: discretise a numeric target at its quantiles into this number of classes [classes]; 0: do not.
        ignore: columns excluded from the inputs.
        decimal: decimal mark of text such as "1.571" where its column leaves it open: auto, comma or point.
        dates: order of day and month in text where its column leaves it open: auto, day-first or month-first.
        selector: run folder of a selector; by default the shipped one.
        trust: trust all code outside this library that the selector names.
        compare: also evaluate the best single algorithm, and gradient_boosting.
        progress: report on the evaluations on standard error.

    Returns: a fitted pipeline. It predicts frames with the same columns, whose order does not matter; others are
        ignored. Labels are those of the frame if they are text, whole numbers or booleans; else they are text. Its
        attribute `selection_` has the ranking (`to_frame()`), the expected score on new rows, and the notes.

    Raises:
        UsageError: an argument is invalid, the data is unusable, or every algorithm failed.
    """
    given = {name: value for name, value in locals().items() if name not in ("data", "progress")}
    if not isinstance(data, pd.DataFrame | Path | str):
        raise UsageError(f"data: expected a DataFrame or a path, found {shown(data)}")
    with _named_as_arguments():
        source = data if isinstance(data, pd.DataFrame) else Path(data)
        options = from_plain(SelectOptions, {**given, "file": "frame"}, "")
        budget = TimeBudget(options.time_budget)
        dataset = read(source, options)
        dataset = replace(dataset, notes=tuple(map(_as_arguments, dataset.notes)))
        run = selector_of(options.selector, Trust(options.trust, remedy="give trust=True"))
        check_evaluations(run, options.evaluations)
        evaluator = Evaluator(dataset, options.metric, budget)
        found = choose(evaluator, run, options, with_progress if progress else _results)
    before, classifier = evaluator.pipeline(found.best.name).steps
    pipeline = SelectedPipeline([("columns", ReadColumns(dataset.reading.columns)), before, classifier])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the limit on the number of iterations is part of the algorithm
        pipeline[1:].fit(dataset.frame, dataset.labels[dataset.classes])
    pipeline.selection_ = found
    return pipeline


def _results(events: Iterator[Event], evaluations: int) -> Iterator[AlgorithmResult]:
    return (event for event in events if isinstance(event, AlgorithmResult))


@contextmanager
def _named_as_arguments() -> Iterator[None]:
    """Let errors name arguments instead of options."""
    try:
        yield
    except UsageError as error:
        raise UsageError(_as_arguments(str(error))) from error


def _as_arguments(text: str) -> str:
    """Return a message about options, `--bins 4`, as one about arguments, `bins=4`."""
    text = re.sub(r"--(bins|decimal|dates|ignore) (?=[\w-]+)", r"\1=", text)
    return re.sub(r"--([a-z]+)(?:-([a-z]+))?", lambda found: "_".join(filter(None, found.groups())), text)
