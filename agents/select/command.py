"""Command `select`: a trained selector proposes algorithms for a user's dataset; each proposal is cross-validated."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from agents.runs.messages import printable
from agents.runs.provenance import provenance
from agents.select.options import FORMAT, RESULT, SelectOptions
from agents.select.report import conclusion, dataset_summary, rankings, with_progress
from agents.select.script import script
from agents.select.search import check_evaluations, choose, read
from agents.select.selectors import selector_json, selector_of
from envs.automl import scoring
from envs.automl.evaluation import Evaluator
from envs.automl.frames import numeric
from envs.automl.reading import UserDataset
from envs.automl.time_limit import TimeBudget
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, kind_of, to_json, write_folder
from qrl.common.trust import Trust

LARGE_FILE = 300_000_000
"""Size of a file above which a message announces that reading takes long [bytes]."""
OWN_FILES = frozenset({RESULT, "best.py", "best.skops", "report.html", "__pycache__"})
"""Files of a selection, what best.py and `report` add, and Python's cache; a folder with others is not replaced."""
PACKAGES = ("scikit-learn", "pandas", "numpy", "scipy")


def run_select(options: SelectOptions, command: Sequence[str]) -> int:
    """Propose, fit and compare algorithms; print the ranking and write a folder with best.json and best.py.

    Args:
        options: options of the command.
        command: command line, recorded in best.json.

    Returns: the exit code.

    Raises:
        UsageError: an option is invalid, or every algorithm failed.
    """
    budget, path, metric = TimeBudget(options.time_budget), options.file, options.metric
    out = Path(f"select-{path.stem}") if options.out is None else options.out
    _check_out(out, overwrite=options.overwrite)
    origin = provenance(command)
    if kind_of(path) == "file" and (size := path.stat().st_size) > LARGE_FILE:
        print(f"reading {path} ({size / 1e9:.1f} GB) takes a minute or more", file=sys.stderr, flush=True)
    dataset = read(path, options)
    run = selector_of(options.selector, Trust(options.trust, remedy="add --trust"))
    check_evaluations(run, options.evaluations)
    print("\n".join(dataset_summary(dataset, metric)))
    evaluator = Evaluator(dataset, metric, budget)
    found = choose(evaluator, run, options, with_progress)
    record = {
        "format": FORMAT,
        **origin,
        "packages": {name: version(name) for name in PACKAGES},
        "selector": selector_json(run, options.selector),
        "data": data_json(dataset),
        "folds": {"n": scoring.N_FOLDS, "seed": scoring.FOLD_SEED, "stratified": True},
        "time_budget": options.time_budget,
        **found.to_json(),
    }
    best = found.best
    source = script(dataset, best.name, evaluator.pipeline(best.name), metric, best.n_rows)
    files = {RESULT: (to_json(record, indent=2) + "\n").encode(), "best.py": source.encode()}
    write_folder(out, files, overwrite=options.overwrite)
    # The results are written before anything is printed, because printing to a closed pipe fails.
    print("\n".join([*rankings(found), *conclusion(found)]))
    refit = f"python {shlex.quote(str(out / 'best.py'))}"
    print(printable(f"wrote best.json and best.py to {out}; to fit {best.name} on all rows: {refit}"))
    return 0


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError unless the folder can be created, or may be replaced: only one with nothing but a selection."""
    if (kind := kind_of(out, follow_links=False)) == "missing":
        check_new_file(out)
        return
    if not overwrite:
        remedy = ", or --overwrite to replace that selection" if kind == "folder" else ""
        raise UsageError(f"{out} already exists; choose another --out{remedy}")
    names = {each.name for each in out.iterdir()} if kind == "folder" else set()
    if RESULT not in names:
        raise UsageError(f"{out} is not the folder of a selection, with a best.json: --overwrite replaces nothing else")
    if foreign := sorted(names - OWN_FILES):
        raise UsageError(
            f"{out} holds {foreign[0]!r}, not part of a selection: move it away, --overwrite would delete it"
        )


def data_json(dataset: UserDataset) -> dict[str, object]:
    """Return the JSON of the dataset and of the options with which it was read."""
    numbers = numeric(dataset.frame)
    return {
        "file": str(dataset.path and dataset.path.resolve()),
        "target": dataset.target,
        "classes": list(dataset.names),
        "rows": dataset.n_rows,
        "rows_usable": len(dataset.classes),
        "rows_sampled": len(dataset.sample),
        "reading": asdict(dataset.reading),
        "numbers": numbers,
        "text": [name for name in dataset.frame.columns if name not in numbers],
        "excluded_columns": dict(dataset.dropped),
        "notes": list(dataset.notes),
    }
