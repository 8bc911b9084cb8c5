"""Printed output of `run.py select`: a summary of the dataset, each fitted algorithm, the ranking."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from envs.automl import scoring
from envs.automl.frames import numeric
from envs.automl.reading import UserDataset

Measure = Literal["accuracy", "balanced_accuracy"]
"""Measure by which algorithms are ranked: accuracy, or balanced accuracy, the mean of the classes' accuracies."""
UNEQUAL = 0.8
"""Fraction of rows in the largest class above which a note recommends balanced accuracy; ours."""


@dataclass(frozen=True)
class Fitted:
    """Cross-validated result of an algorithm."""

    name: str
    proposed: int
    """Number of the try that proposed the algorithm, from 1; 0: fitted for comparison only."""
    scored: scoring.PipelineScores
    measure: Measure
    """Measure of the ranking."""
    constant: float
    """Measure of a constant prediction: of the most frequent class for accuracy, of any class for balanced accuracy."""

    @property
    def by_fold(self) -> NDArray[np.float64]:
        """Measure of each fold [fold]."""
        return self.scored.accuracy if self.measure == "accuracy" else self.scored.balanced

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
            "try": self.proposed or None,
            "accuracy": float(self.scored.accuracy.mean()),
            "balanced_accuracy": float(self.scored.balanced.mean()),
            "standard_error": self.standard_error,
            "gain": self.gain,
            "seconds": self.scored.seconds,
            "accuracy_by_fold": self.scored.accuracy.tolist(),
            "balanced_accuracy_by_fold": self.scored.balanced.tolist(),
            "failure": self.scored.failure or None,
        }


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean over folds."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def difference(one: Fitted, other: Fitted) -> dict[str, float]:
    """Return the mean difference of the measure between two algorithms, paired by folds, with its standard error."""
    by_fold = one.by_fold - other.by_fold
    return {"mean": float(by_fold.mean()), "standard_error": standard_error(by_fold)}


def shown(events: Iterator[Fitted | str], tries: int) -> Iterator[Fitted]:
    """Yield the fitted algorithms, with a progress bar on a terminal and one line per algorithm elsewhere."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    with tqdm(total=tries, unit="try", file=sys.stderr, disable=not terminal, dynamic_ncols=True) as bar:
        for event in events:
            if isinstance(event, str):
                bar.set_description(event)
                continue
            if event.proposed:
                bar.update(event.proposed - bar.n)
            what = f"try {event.proposed}/{tries}" if event.proposed else "to compare"
            line = f"{what}: {event.name} {event.mean:.4f} in {event.scored.seconds:.1f} s"
            if not terminal:
                print(line, file=sys.stderr, flush=True)
            yield event


def described(own: UserDataset, measure: Measure) -> Iterator[str]:
    """Yield lines of a summary of the dataset, with excluded columns and notes."""
    n_numbers, n_columns = len(numeric(own.frame)), own.frame.shape[1]
    largest = np.bincount(own.classes).max() / len(own.classes)
    yield (
        f"{own.layout.path}: {own.n_rows} rows, {n_columns} columns to learn from ({n_numbers} of numbers, "
        f"{n_columns - n_numbers} of text), {len(own.names)} classes of {own.target!r}, the largest {largest:.1%}"
    )
    yield from (f"left out: {name}: {reason}" for name, reason in own.dropped.items())
    yield from (f"note: {note}" for note in own.notes)
    if measure == "accuracy" and largest > UNEQUAL:
        yield "note: accuracy says little of any but the largest class; with --balance every class is worth the same"


def table(fitted: Sequence[Fitted]) -> str:
    """Format the ranking as a table; the measure of the ranking comes first."""
    names = ("accuracy", "balanced") if fitted[0].measure == "accuracy" else ("balanced", "accuracy")
    lines = [f"{'algorithm':20}{names[0]:>10}{'± s.e.':>8}{names[1]:>10}{'gain':>8}{'seconds':>9}{'try':>6}"]
    for each in fitted:
        other = each.scored.balanced if each.measure == "accuracy" else each.scored.accuracy
        numbers = f"{each.mean:10.4f}{each.standard_error:8.4f}{other.mean():10.4f}{each.gain:+8.4f}"
        failed = f"  failed: {each.scored.failure}" if each.scored.failure else ""
        lines.append(f"{each.name:20}{numbers}{each.scored.seconds:9.1f}{each.proposed or '-':>6}{failed}")
    return "\n".join(lines)


def verdict(proposed: Fitted, single: str, compared: Fitted | None) -> Iterator[str]:
    """Yield lines that compare the best proposed algorithm with the best single algorithm."""
    measure = proposed.measure.replace("_", " ")
    yield f"best of those proposed: {proposed.name}, {measure} {proposed.mean:.4f}"
    if proposed.gain <= 0:
        yield "none of those proposed is better than naming the most frequent class"
    called = f"best single algorithm in the datasets trained on: {single}"
    if compared is None:
        yield f"{called}, not fitted"
    elif compared is proposed:
        yield f"{called}, the same"
    else:
        apart = difference(proposed, compared)
        beside = f"difference {apart['mean']:+.4f} ± {apart['standard_error']:.4f}"
        yield f"{called}, {measure} {compared.mean:.4f}; {beside}"
