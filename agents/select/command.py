"""Command `select`: a trained selector proposes algorithms for a user's dataset; each proposal is cross-validated."""

import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from agents.core.agent import InContextAgent, Learner, OracleAgent
from agents.experiment.report import open_run
from agents.experiment.run import Run
from agents.runs.folder import RunFolder
from agents.runs.messages import printable, warn
from agents.runs.provenance import provenance
from agents.select import selector as shipped
from agents.select.options import SelectOptions
from agents.select.report import conclusion, dataset_summary, rankings, with_progress
from agents.select.script import script
from agents.select.search import CONTROL, finish, screen
from envs.automl import scoring
from envs.automl.algorithms import supports_class_weights
from envs.automl.choice_bias import Estimate, corrected
from envs.automl.evaluation import Evaluator
from envs.automl.frames import numeric
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.metrics import Metric
from envs.automl.reading import UserDataset, read_dataset
from envs.automl.results import AlgorithmResult, difference, named, ranked
from envs.automl.time_limit import TimeBudget
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, kind_of, read_regular, to_json, write_folder
from qrl.common.memory import largest_file
from qrl.common.trust import Trust

FORMAT = "qrl-select-3"
LARGE_FILE = 300_000_000
"""Size of a file above which a message announces that reading takes long [bytes]."""
OWN_FILES = frozenset({"best.json", "best.py", "__pycache__"})
"""Files of a selection, and the cache of Python when best.py is imported; a folder with others is not replaced."""
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
    budget = TimeBudget(options.time_budget)
    path, evaluations, metric = options.file, options.evaluations, options.metric
    out = Path(f"select-{path.stem}") if options.out is None else options.out
    _check_out(out, overwrite=options.overwrite)
    origin = provenance(command)
    dataset = _read(options)
    run = selector_of(options.selector, Trust(options.trust, remedy="add --trust"))
    assert isinstance(run.distribution, LookupTasks)  # selector_of refuses other families
    if evaluations > (most := len(run.distribution.table.candidates)):
        raise UsageError(f"--evaluations must be at most {most}, the number of algorithms, not {evaluations}")
    print("\n".join(dataset_summary(dataset, metric)))
    single, evaluator = best_single(run.distribution, metric), Evaluator(dataset, metric, budget)
    comparisons = dict.fromkeys((single, CONTROL)) if options.compare else ()
    screened = ranked(with_progress(screen(evaluator, run, evaluations, list(comparisons)), evaluations))
    if screened[0].scores.failure:
        raise UsageError(f"{path}: all algorithms failed; {screened[0].name}: {screened[0].scores.failure}")
    final = ranked(with_progress(finish(evaluator, screened, compare=options.compare), evaluations))
    if not final or final[0].scores.failure:
        final = screened
    best = final[0]
    on_rows = dataset.classes[dataset.sample] if final is screened else dataset.classes
    expected = corrected(metric, on_rows, [each.scores for each in final if not each.scores.failure])
    record = {
        "format": FORMAT,
        **origin,
        "packages": {name: _version(name) for name in PACKAGES},
        "selector": selector_json(run, options.selector),
        "data": data_json(dataset),
        "folds": {"n": scoring.N_FOLDS, "seed": scoring.FOLD_SEED, "stratified": True},
        "time_budget": options.time_budget,
        "left_out": evaluator.left_out,
        **ranking_json(screened, final, single, expected),
    }
    source = script(dataset, best.name, evaluator.pipeline(best.name), metric, best.n_rows)
    files = {"best.json": (to_json(record, indent=2) + "\n").encode(), "best.py": source.encode()}
    write_folder(out, files, overwrite=options.overwrite)
    # The results are written before anything is printed, because printing to a closed pipe fails.
    print("\n".join(rankings(screened, final)))
    print("\n".join(conclusion(screened, final, single, expected, evaluator.left_out)))
    refit = f"python {shlex.quote(str(out / 'best.py'))}"
    print(printable(f"wrote best.json and best.py to {out}; to fit {best.name} on all rows: {refit}"))
    return 0


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError unless the folder can be created, or may be replaced: only one with nothing but a selection."""
    if (kind := kind_of(out, follow_links=False)) == "missing":
        check_new_file(out)
        return
    if not overwrite:
        raise UsageError(f"{out} already exists; choose another --out, or --overwrite to replace that selection")
    names = {each.name for each in out.iterdir()} if kind == "folder" else set()
    if "best.json" not in names:
        raise UsageError(f"{out} is not the folder of a selection, with a best.json: --overwrite replaces nothing else")
    if foreign := sorted(names - OWN_FILES):
        raise UsageError(
            f"{out} holds {foreign[0]!r}, not part of a selection: move it away, --overwrite would delete it"
        )


def _read(options: SelectOptions) -> UserDataset:
    """Read the user's dataset; print a message first if the file is large."""
    path = options.file
    if kind_of(path) == "file" and (size := path.stat().st_size) > LARGE_FILE:
        print(f"reading {path} ({size / 1e9:.1f} GB) takes a minute or more", file=sys.stderr, flush=True)
    return read_dataset(
        path,
        options.target,
        rows=options.rows,
        bins=options.bins,
        ignore=options.ignore,
        decimal=options.decimal,
        dates=options.dates,
    )


# --- the selector -----------------------------------------------------------------------------------------------------


def selector_of(path: Path | None, trust: Trust | None = None) -> Run:
    """Load the selector of a run folder; by default, the one shipped with this library.

    Raises:
        UsageError: the run is not one of `algorithm_selection`, or its agent needs to know the scores or does not adapt
            between evaluations, or it names code that is not trusted.
    """
    folder = shipped.FOLDER if path is None else path
    if (env := RunFolder.open(folder).spec.get("env")) != "algorithm_selection":
        raise UsageError(f"--selector {path}: must be a run of algorithm_selection, not of {env}")
    run = open_run(folder, trust or Trust())
    if path is None and not shipped.trained_on_this_table():
        warn("the shipped selector was trained on another table of scores than the installed one")
    if isinstance(run.agent, OracleAgent):
        raise UsageError(f"--selector {path}: agent {run.spec.agent} needs to know the scores of all algorithms")
    if not isinstance(run.agent, InContextAgent):
        raise UsageError(
            f"--selector {path}: agent {run.spec.agent} does not adapt between evaluations; use a run of rl2 or of a "
            "search policy, such as nearest_tasks"
        )
    return run


def best_single(family: LookupTasks, metric: Metric) -> str:
    """Return the algorithm with the largest mean improvement in accuracy over the training datasets.

    If balanced accuracy is the metric, only algorithms that support class weights are considered.
    """
    table = family.table
    improvement = dict(zip(table.candidates, table.improvement[: table.n_train].mean(0), strict=True))
    candidates = (name for name in improvement if metric != "balanced_accuracy" or supports_class_weights(name))
    return max(candidates, key=improvement.__getitem__)


# --- results as JSON --------------------------------------------------------------------------------------------------


def ranking_json(
    screened: Sequence[AlgorithmResult], final: Sequence[AlgorithmResult], single: str, expected: Estimate
) -> dict[str, object]:
    """Return the JSON of the rankings, and of the best proposed algorithm compared with the best single algorithm.

    The ranking is that on all rows where there is one; that on the sample is then `screening`.
    """
    metric, compared = screened[0].metric, named(screened, single)
    proposed = next(each for each in screened if each.evaluation is not None)
    return {
        "ranked_by": metric,
        "best": final[0].to_json(),
        "expected_on_new_rows": {**asdict(expected), "interval": "95 %", "method": "BBC-CV"},
        "best_proposed": {"algorithm": proposed.name, metric: proposed.mean},
        "best_single": {
            "algorithm": single,
            metric: None if compared is None else compared.mean,
            "best_proposed_minus_this": None if compared is None else difference(proposed, compared),
        },
        "ranking": [each.to_json() for each in final],
        "screening": None if final is screened else [each.to_json() for each in screened],
    }


def selector_json(run: Run, path: Path | None) -> dict[str, object]:
    """Return the JSON that identifies the selector."""
    name = "shipped" if path is None else str(path)
    identity = {"run": name, "agent": run.spec.agent, "config": run.folder.config["digest"]}
    if not isinstance(run.agent, Learner):
        return identity
    weights = run.folder.path / "checkpoint" / f"{run.iteration:08d}" / "state.safetensors"
    digest = hashlib.sha256(read_regular(weights, largest_file())).hexdigest()
    return {**identity, "model": run.spec.model, "iterations": run.iteration, "sha256": digest}


def data_json(dataset: UserDataset) -> dict[str, object]:
    """Return the JSON of the dataset and of the options with which it was read."""
    numbers = numeric(dataset.frame)
    return {
        "file": str(dataset.path.resolve()),
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


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
