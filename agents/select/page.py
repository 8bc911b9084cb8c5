"""Page about a selection, from its best.json."""

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from agents.compare.outputs import MARK
from agents.compare.page.figures import WIDE, PageFigure
from agents.compare.page.page import Cell, PageTable
from agents.compare.page.svg import inline_svg
from agents.compare.page.template import template
from agents.core.plain import from_plain, init_names
from agents.runs.program import program
from agents.select.options import FORMAT
from envs.automl.choice_bias import Estimate
from envs.automl.metrics import CONSTANT, Metric
from qrl.common.checks import abbreviated, shown
from qrl.common.errors import UsageError
from qrl.common.files import from_json
from qrl.common.pictures import PALETTE, panels

T = TypeVar("T")

STUDENT = 2.776
"""0.975 quantile of Student's t distribution with one degree of freedom less than there are folds."""


@dataclass(frozen=True)
class Row:
    """Row of a ranking in best.json."""

    algorithm: str
    rows: int
    score: float
    standard_error: float
    gain: float
    observed_gain: float
    seconds: float
    evaluation: int | None = None
    only_predicts_majority: bool = False
    failure: str | None = None

    def interval(self, metric: Metric) -> tuple[float, float]:
        """95 % interval of the score, as if folds were independent, within the range of the metric."""
        half, largest = STUDENT * self.standard_error, math.inf if metric == "log_loss" else 1.0
        return max(self.score - half, 0.0), min(self.score + half, largest)


@dataclass(frozen=True)
class Data:
    """Data of a selection in best.json."""

    file: str
    target: str
    classes: tuple[str, ...]
    rows: int
    rows_usable: int
    rows_sampled: int
    numbers: tuple[str, ...]
    text: tuple[str, ...]
    excluded_columns: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """Parts of best.json that a page shows."""

    ranked_by: Metric
    ranking: tuple[Row, ...]
    screening: tuple[Row, ...]
    data: Data
    expected: Estimate
    confusion: tuple[tuple[int, ...], ...]
    meta_features: dict[str, float]
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """The recommendation in one line."""
        best, where = self.ranking[0], f"{self.data.target} of {Path(self.data.file).name}"
        return f"{best.algorithm} predicts {where}: {self.metric} {best.score:.4f} in cross-validation"

    @property
    def metric(self) -> str:
        """Metric in words."""
        return self.ranked_by.replace("_", " ")

    @property
    def expectation(self) -> str:
        """Expected score on new rows."""
        return f"{self.expected.mean:.4f} [{self.expected.low:.4f}, {self.expected.high:.4f}]"


def read_record(path: Path) -> Record:
    """Read best.json. Raises UsageError if it is damaged, or of another version."""
    content, where = from_json(path), str(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{where}: not written by this version of `select` ({FORMAT}); select again")
    rankings = {name: content.get(name) or [] for name in ("ranking", "screening")}
    for name, rows in rankings.items():
        if isinstance(rows, list):
            score = str(content.get("ranked_by"))
            rankings[name] = [_part(Row, each, f"{where}: {name}", score=score) for each in rows]
    data = _part(Data, content.get("data"), f"{where}: data")
    expected = _part(Estimate, content.get("expected_on_new_rows"), f"{where}: expected_on_new_rows")
    record = from_plain(Record, {**_own(Record, content), **rankings, "data": data, "expected": expected}, where)
    if not record.ranking or {len(record.confusion), *map(len, record.confusion)} != {len(data.classes)}:
        raise UsageError(f"{where}: damaged: no ranking, or a confusion matrix that does not fit the classes")
    return record


def _part(cls: type[T], content: object, where: str, **renamed: str) -> T:
    """Build a dataclass from an object with further keys; `renamed` has the keys of fields with other names."""
    if not isinstance(content, dict):
        raise UsageError(f"{where}: expected an object, found {shown(content)}")
    return from_plain(cls, {**_own(cls, content), **{name: content.get(key) for name, key in renamed.items()}}, where)


def _own(cls: type[object], content: Mapping[str, object]) -> dict[str, object]:
    return {name: content[name] for name in init_names(cls) if name in content}


def page_of(record: Record, path: Path, versions: Mapping[str, str]) -> str:
    """Return the page as HTML. Texts from files are escaped.

    Args:
        record: content of best.json.
        path: folder of the selection.
        versions: names and versions of what the selection ran with.
    """
    data, best = record.data, record.ranking[0]
    proposed = sorted((each.evaluation, each) for each in record.screening or record.ranking if each.evaluation)
    classes = tuple(map(abbreviated, data.classes))
    matrix = [(name, *row) for name, row in zip(classes, record.confusion, strict=True)]
    read = {
        "file": data.file,
        "rows": f"{data.rows}; {data.rows_usable} with a usable target, {data.rows_sampled} of them for the screening",
        "numbers": ", ".join(data.numbers),
        "text": ", ".join(data.text),
        **{f"left out: {name}": reason for name, reason in data.excluded_columns.items()},
    }
    return template("selection.html").render(
        mark=MARK,
        title=record.title,
        record=record,
        name=Path(data.file).name,
        best=best,
        ranking=_ranking(record, record.ranking, "Ranking"),
        screening=_ranking(record, record.screening, "Screening") if record.screening else None,
        figure=[_figure(record)],
        constant=CONSTANT[record.ranked_by],
        confusion=_table("Confusion matrix", ("true class", *classes), matrix),
        classes=_table("Classes", ("class", "rows", "precision", "recall"), _classes(record)),
        proposals=_table(
            "Proposals",
            ("proposal", "algorithm", "observed gain"),
            [(number, each.algorithm, f"{each.observed_gain:+.4f}") for number, each in proposed],
        ),
        features=_table(
            "Meta-features", ("meta-feature", "value"), [(k, f"{v:.4g}") for k, v in record.meta_features.items()]
        ),
        read=read,
        command=f"{program()} {shlex.join(['report', str(path)])}",
        versions=_table("Versions", ("what", "version"), versions.items()),
    )


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> PageTable:
    return PageTable(title, tuple(head), tuple(tuple(Cell(str(cell)) for cell in row) for row in rows))


def _ranking(record: Record, rows: Sequence[Row], title: str) -> PageTable:
    head = ("algorithm", record.metric, "gain", "seconds", "proposal")
    cells = []
    for each in rows:
        low, high = each.interval(record.ranked_by)
        remark = "only predicts the most frequent class" * each.only_predicts_majority
        score, gain = Cell(f"{each.score:.4f}", f"[{low:.4f}, {high:.4f}]"), f"{each.gain:+.4f}"
        if each.failure:
            remark, score, gain = f"failed: {abbreviated(each.failure)}", Cell("–"), "–"
        others = map(Cell, (gain, f"{each.seconds:.1f}", str(each.evaluation or "–")))
        cells.append((Cell(each.algorithm, remark), score, *others))
    return PageTable(title, head, tuple(cells))


def _classes(record: Record) -> Iterator[tuple[str, int, str, str]]:
    """Yield the name of each class, its rows, and the precision and the recall of the best algorithm."""
    counts = np.array(record.confusion)
    for name, right, predicted, true in zip(
        record.data.classes, counts.diagonal(), counts.sum(0), counts.sum(1), strict=True
    ):
        yield abbreviated(name), true, *(f"{right / each:.4f}" if each else "–" for each in (predicted, true))


def _figure(record: Record) -> PageFigure:
    rows = [each for each in record.ranking[::-1] if not each.failure]
    with panels(size=(WIDE[0], 0.8 + 0.3 * len(rows))) as (figure, ((axes,),)):
        ends = np.array([each.interval(record.ranked_by) for each in rows]).T
        scores = np.array([each.score for each in rows])
        axes.errorbar(scores, range(len(rows)), xerr=np.abs(ends - scores), fmt="o", color=PALETTE[0])
        axes.set_yticks(range(len(rows)), [each.algorithm for each in rows], parse_math=False)
        axes.set(xlabel=record.metric, ylim=(-0.5, len(rows) - 0.5))
    alt = f"Points with intervals: {record.metric} of {len(rows)} algorithms, best {record.ranking[0].algorithm}."
    caption = f"Mean {record.metric} of the folds, with 95 % intervals."
    return PageFigure(f"Algorithms by {record.metric}", inline_svg(figure, "ranking", alt), caption)
