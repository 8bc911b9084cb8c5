"""Report of an evaluation: a printed table, a JSON file and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.core.plain import check_value
from agents.experiment.certificate_text import certificate_lines
from agents.experiment.evaluation import Curve, paired_gain
from agents.experiment.plot import draw
from agents.experiment.run import Run, Which
from agents.runs.folder import RunFolder
from agents.runs.messages import printable, warn
from qrl.common.errors import UsageError
from qrl.common.files import to_json, write_atomically
from qrl.common.trust import Trust


def table_name(split: str, label: str = "", checkpoint: Which = "last") -> str:
    """Return the name of the evaluation file of a split, with the label of a backend if given."""
    parts = ("evaluation", "" if checkpoint == "last" else checkpoint, "" if split == "test" else split, label)
    return "-".join(filter(None, parts)) + ".json"


def training_rows(run: Run) -> list[dict[str, Any]]:
    """Return the rows of metrics for the plot; empty, with a warning, if the metrics are damaged.

    Also warn if rows are missing at the end.
    """
    try:
        rows = [row for row in run.folder.metrics.rows() if "return_by_step" in row]
        for row in rows:
            check_value(list[float], row["return_by_step"], f"{run.folder.metrics.path}: return_by_step")
        if len({len(row["return_by_step"]) for row in rows}) > 1:
            raise UsageError(f"{run.folder.metrics.path}: rows have different numbers of returns")
    except UsageError as error:
        warn(f"{error}; the picture has no panel of training")
        return []
    last = rows[-1]["iteration"] if rows else 0
    if rows and last < run.iteration:
        warn(f"{run.folder.metrics.path} ends at iteration {last}; the run was trained for {run.iteration}")
    return rows


def open_run(path: Path, trust: Trust, checkpoint: Which = "last") -> Run:
    """Load a run from its folder; print a warning for each damaged or missing checkpoint and each changed plug-in file.

    Raises UsageError if `path` is not a run folder, has no usable checkpoint, or names code that is not trusted.
    """
    run = Run(RunFolder.open(path), trust=trust, checkpoint=checkpoint)
    for problem in run.warnings:
        warn(problem)
    return run


def finite_family_note(run: Run, curve: Curve) -> str:
    """Return a note on the number of tasks of a finite family; empty for other families."""
    count = run.distribution.n_distinct(curve.split)
    if count is None:
        return ""
    if count == 1:
        return f"note: {curve.env} has a single task; its episodes differ, and those of the evaluation are fresh"
    held_out = {"validation": run.distribution.validation, "test": run.distribution.test}
    if curve.split in held_out and not held_out[curve.split]:
        return train_tasks_note(curve.env, curve.split, count)
    return f"note: the {curve.split} split of {curve.env} has {count} different tasks in all"


def train_tasks_note(env: str, split: str, count: int) -> str:
    """Return the note that a finite family has no tasks of its own for a held-out split."""
    return f"note: {env} has {count} different tasks in all: {split} tasks are train tasks"


def report(
    curve: Curve,
    metrics: Sequence[Mapping[str, Any]],
    table: Path,
    picture: Path,
    *,
    quiet: bool = False,
    note: str = "",
) -> None:
    """Write the JSON file `table` and the plot `picture` of an evaluation, and print the curve unless `quiet`."""
    write_atomically(table, (to_json(curve.to_json(), indent=2) + "\n").encode())
    write_atomically(picture, draw([curve], metrics))
    if quiet:
        return
    print(printable(f"{curve.env}, {curve.label}: {curve.n_tasks} {curve.split} tasks"))
    if note:
        print(printable(note))
    print(curve.table())
    for x in sorted({curve.x[1], curve.x[-1]} if len(curve.x) > 1 else ()):
        gain, low, high = paired_gain(curve, x)
        n = f"+.{curve.digits}f"
        print(f"gain from {curve.x[0]} to {x}: {gain:{n}}, 95 % interval [{low:{n}}, {high:{n}}]")
    if curve.axis == "episodes":
        print(f"return of a trial: {sum(curve.mean):.3f}")
    for name, values in curve.exact.items():
        print(f"{name}, exactly, over all tasks: {sum(values):.3f}")
    summed = (
        " (improvement of the best candidate so far, summed over evaluations)" if curve.axis == "evaluations" else ""
    )
    for name, (fraction, low, high) in curve.fractions.items():
        theirs = sum(curve.references[name])
        remark = " (the same agent, its memory cleared after every episode)" if name == "memory_reset" else summed
        print(f"of {name}'s {theirs:.3f}{remark}: {fraction:.2%}, 95 % interval [{low:.2%}, {high:.2%}]")
    if curve.certificate is not None:
        print("\n".join(certificate_lines(curve.certificate, curve.axis, curve.x, curve.n_tasks)))
    print(printable(f"wrote {table} and {picture}"))
