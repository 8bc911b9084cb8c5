"""Printed output of `run.py select`: a summary of the dataset, each evaluated algorithm, the ranking."""

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from agents.runs.messages import printable
from agents.select.selection import CONTROL, Selection
from envs.automl.evaluation import Event, Started
from envs.automl.frames import numeric
from envs.automl.metrics import CONSTANT, Metric, one_vs_rest_classes
from envs.automl.reading import UserDataset
from envs.automl.results import AlgorithmResult, difference, named

IMBALANCED = 0.8
"""Fraction of rows in the largest class above which a note recommends balanced accuracy; ours."""


def with_progress(events: Iterator[Event], evaluations: int) -> Iterator[AlgorithmResult]:
    """Yield the results, with a progress bar on a terminal and one line per algorithm elsewhere."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    with tqdm(unit="eval", file=sys.stderr, disable=not terminal, dynamic_ncols=True) as bar:
        for event in events:
            if isinstance(event, Started):
                about = f", about {event.seconds:.0f} s" if event.seconds >= 1 else ""
                bar.set_description(f"{event.name} on {event.n_rows} rows{about}")
                continue
            bar.update()
            label = "for comparison" if event.evaluation is None else f"evaluation {event.evaluation}/{evaluations}"
            if not terminal:
                line = f"{label}: {event.name} {event.mean:.4f} on {event.n_rows} rows in {event.scores.seconds:.1f} s"
                print(line, file=sys.stderr, flush=True)
            yield event


def dataset_summary(dataset: UserDataset, metric: Metric) -> Iterator[str]:
    """Yield lines of a summary of the dataset, with excluded columns and notes."""
    n_numbers, n_columns = len(numeric(dataset.frame)), dataset.frame.shape[1]
    counts = np.bincount(dataset.classes)
    largest = counts.max() / len(dataset.classes)
    yield (
        f"{printable(str(dataset.path))}: {dataset.n_rows} rows, {n_columns} input columns ({n_numbers} numeric, "
        f"{n_columns - n_numbers} text), {len(dataset.names)} classes of {dataset.target!r}, the largest {largest:.1%}"
    )
    yield from (f"excluded: {name}: {reason}" for name, reason in dataset.dropped.items())
    yield from (f"note: {note}" for note in dataset.notes)
    if metric == "accuracy" and largest > IMBALANCED:
        yield (
            "note: the classes are imbalanced, so that accuracy mostly reflects the largest class; see --metric "
            "balanced_accuracy, roc_auc and average_precision"
        )
    if metric == "average_precision" and len(counts) == 2:
        (rare,) = one_vs_rest_classes(metric, counts)
        yield f"note: average precision is that of the rarer class, {dataset.names[rare]!r}"


def ranking_table(results: Sequence[AlgorithmResult]) -> str:
    """Format a ranking as a table; the metric of the ranking comes first."""
    metric = results[0].metric
    other: Metric = "balanced_accuracy" if metric == "accuracy" else "accuracy"
    width, other_width = max(10, len(metric) + 2), len(other) + 2
    names = f"{'algorithm':20}{metric:>{width}}{'± s.e.':>8}{other:>{other_width}}"
    lines = [f"{names}{'gain':>8}{'seconds':>9}{'evaluation':>12}"]
    for each in results:
        second = (each.scores.balanced if metric == "accuracy" else each.scores.accuracy).mean()
        numbers = f"{each.mean:{width}.4f}{each.standard_error:8.4f}{second:{other_width}.4f}{each.gain:+8.4f}"
        remark = "  only predicts the most frequent class" if each.is_majority else ""
        remark = f"  failed: {each.scores.failure}" if each.scores.failure else remark
        lines.append(f"{each.name:20}{numbers}{each.scores.seconds:9.1f}{each.evaluation or '-':>12}{remark}")
    return "\n".join(lines)


def rankings(found: Selection) -> Iterator[str]:
    """Yield the ranking, after that of the sample if the final one is on more rows, and what the columns mean."""
    if found.screening is not found.ranking:
        yield f"screening, on a sample of {found.screening[0].n_rows} rows:"
        yield ranking_table(found.screening)
        yield f"the best of the screening, on all {found.best.n_rows} rows:"
    yield ranking_table(found.ranking)
    metric, constant = found.best.metric, np.nanmean(found.best.constant_by_fold)
    yield f"gain: improvement of {_words(metric)} over {CONSTANT[metric]}, {constant:.4f}"
    balanced = "balanced_accuracy: mean of the classes' recalls; " if "accuracy" in metric else ""
    yield f"{balanced}evaluation: number of the proposal, - for comparison"


def conclusion(found: Selection) -> Iterator[str]:
    """Yield lines that compare the best algorithms, and the recommendation."""
    proposed, best, expected = found.best_proposed, found.best, found.expected
    single, words = named(found.screening, found.best_single), _words(found.best.metric)
    where = "" if found.screening is found.ranking else f"on the sample of {proposed.n_rows} rows: "
    yield f"{where}best proposed algorithm: {proposed.name}, {words} {proposed.mean:.4f}"
    compared = _compared(proposed, single)
    yield f"{where}best single algorithm on the training datasets: {found.best_single}, {compared}"
    if best.name != CONTROL and (control := named(found.ranking, CONTROL)) is not None:
        yield f"{CONTROL} alone: {_compared(best, control, 'the recommended one minus it')}"
    yield from (f"left out by --time-budget: {each}" for each in found.left_out)
    if best.is_majority and best.gain <= 0:
        yield f"{best.name} only predicts the most frequent class: nothing was learned from these columns"
    elif best.gain <= 0:
        yield "no algorithm is better than a constant prediction"
    yield f"recommended: {best.name}, {words} {best.mean:.4f} in cross-validation on {best.n_rows} rows"
    choice = f", corrected for the choice among {expected.n_candidates}" if expected.n_candidates > 1 else ""
    yield f"expected on new rows: {expected.mean:.4f} [{expected.low:.4f}, {expected.high:.4f}]{choice}"


def _compared(one: AlgorithmResult, other: AlgorithmResult | None, what: str = "difference") -> str:
    if other is None:
        return "not evaluated"
    if other is one:
        return "also the best proposed one"
    paired = difference(one, other)
    mean, error = paired["mean"], paired["standard_error"]
    return f"{_words(other.metric)} {other.mean:.4f}; {what} {mean:+.4f} ± {error:.4f}"


def _words(metric: Metric) -> str:
    return metric.replace("_", " ")
