"""Printed output of `run.py select`: a summary of the dataset, each evaluated algorithm, the ranking."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agents.runs.messages import printable
from envs.automl import scoring
from envs.automl.frames import numeric
from envs.automl.reading import UserDataset

Measure = Literal["accuracy", "balanced_accuracy"]
"""Measure by which algorithms are ranked: accuracy, or balanced accuracy, the mean of the classes' accuracies."""
IMBALANCED = 0.8
"""Fraction of rows in the largest class above which a note recommends balanced accuracy; ours."""


@dataclass(frozen=True)
class AlgorithmResult:
    """Cross-validated result of an algorithm."""

    name: str
    evaluation: int | None
    """Number of the evaluation in which the algorithm was proposed, from 1; None: evaluated for comparison only."""
    scores: scoring.PipelineScores
    measure: Measure
    """Measure of the ranking."""
    constant: float
    """Measure of a constant prediction: of the most frequent class for accuracy, of any class for balanced accuracy."""

    @property
    def by_fold(self) -> NDArray[np.float64]:
        """Measure of each fold [fold]."""
        return self.scores.accuracy if self.measure == "accuracy" else self.scores.balanced

    @property
    def mean(self) -> float:
        """Mean of the measure over folds."""
        return float(self.by_fold.mean())

    @property
    def gain(self) -> float:
        """Improvement over a constant prediction."""
        return self.mean - self.constant

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over folds, computed as if the folds were independent."""
        return standard_error(self.by_fold)

    def to_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return {
            "algorithm": self.name,
            "evaluation": self.evaluation,
            "accuracy": float(self.scores.accuracy.mean()),
            "balanced_accuracy": float(self.scores.balanced.mean()),
            "standard_error": self.standard_error,
            "gain": self.gain,
            "seconds": self.scores.seconds,
            "accuracy_by_fold": self.scores.accuracy.tolist(),
            "balanced_accuracy_by_fold": self.scores.balanced.tolist(),
            "failure": self.scores.failure or None,
        }


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean over folds."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def difference(one: AlgorithmResult, other: AlgorithmResult) -> dict[str, float]:
    """Return the mean difference of the measure between two algorithms, paired by folds, with its standard error."""
    by_fold = one.by_fold - other.by_fold
    return {"mean": float(by_fold.mean()), "standard_error": standard_error(by_fold)}


def with_progress(events: Iterator[AlgorithmResult | str], evaluations: int) -> Iterator[AlgorithmResult]:
    """Yield the results, with a progress bar on a terminal and one line per algorithm elsewhere."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    with tqdm(total=evaluations, unit="eval", file=sys.stderr, disable=not terminal, dynamic_ncols=True) as bar:
        for event in events:
            if isinstance(event, str):
                bar.set_description(event)
                continue
            if event.evaluation is None:
                label = "for comparison"
            else:
                bar.update(event.evaluation - bar.n)
                label = f"evaluation {event.evaluation}/{evaluations}"
            line = f"{label}: {event.name} {event.mean:.4f} in {event.scores.seconds:.1f} s"
            if not terminal:
                print(line, file=sys.stderr, flush=True)
            yield event


def dataset_summary(dataset: UserDataset, measure: Measure) -> Iterator[str]:
    """Yield lines of a summary of the dataset, with excluded columns and notes."""
    n_numbers, n_columns = len(numeric(dataset.frame)), dataset.frame.shape[1]
    largest = np.bincount(dataset.classes).max() / len(dataset.classes)
    yield (
        f"{printable(str(dataset.path))}: {dataset.n_rows} rows, {n_columns} input columns ({n_numbers} numeric, "
        f"{n_columns - n_numbers} text), {len(dataset.names)} classes of {dataset.target!r}, the largest {largest:.1%}"
    )
    yield from (f"excluded: {name}: {reason}" for name, reason in dataset.dropped.items())
    yield from (f"note: {note}" for note in dataset.notes)
    if measure == "accuracy" and largest > IMBALANCED:
        yield (
            "note: the classes are imbalanced, so that accuracy mostly reflects the largest class; --balance selects "
            "by balanced accuracy"
        )


def ranking_table(results: Sequence[AlgorithmResult]) -> str:
    """Format the ranking as a table; the measure of the ranking comes first."""
    names = ("accuracy", "balanced") if results[0].measure == "accuracy" else ("balanced", "accuracy")
    lines = [f"{'algorithm':20}{names[0]:>10}{'± s.e.':>8}{names[1]:>10}{'gain':>8}{'seconds':>9}{'evaluation':>12}"]
    for each in results:
        other = each.scores.balanced if each.measure == "accuracy" else each.scores.accuracy
        numbers = f"{each.mean:10.4f}{each.standard_error:8.4f}{other.mean():10.4f}{each.gain:+8.4f}"
        failure = f"  failed: {each.scores.failure}" if each.scores.failure else ""
        lines.append(f"{each.name:20}{numbers}{each.scores.seconds:9.1f}{each.evaluation or '-':>12}{failure}")
    return "\n".join(lines)


def comparison(proposed: AlgorithmResult, single: str, compared: AlgorithmResult | None) -> Iterator[str]:
    """Yield lines that compare the best proposed algorithm with the best single algorithm."""
    measure = proposed.measure.replace("_", " ")
    yield f"best proposed algorithm: {proposed.name}, {measure} {proposed.mean:.4f}"
    if proposed.gain <= 0:
        yield "no proposed algorithm is better than predicting the most frequent class"
    line = f"best single algorithm on the training datasets: {single}"
    if compared is None:
        yield f"{line}, not evaluated"
    elif compared is proposed:
        yield f"{line}, also the best proposed one"
    else:
        paired = difference(proposed, compared)
        yield (
            f"{line}, {measure} {compared.mean:.4f}; difference {paired['mean']:+.4f} ± {paired['standard_error']:.4f}"
        )
