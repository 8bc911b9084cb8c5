"""Command `select`: a trained selector proposes algorithms for a user's dataset; each proposal is cross-validated."""

import hashlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from agents.core.agent import DeterministicInContextAgent, InContextAgent, Learner, OracleAgent
from agents.experiment.report import open_run
from agents.experiment.run import Run
from agents.runs.folder import RunFolder
from agents.runs.messages import printable, warn
from agents.runs.provenance import provenance
from agents.select import selector as shipped
from agents.select.options import SelectOptions
from agents.select.report import (
    AlgorithmResult,
    Measure,
    comparison,
    dataset_summary,
    difference,
    ranking_table,
    with_progress,
)
from agents.select.script import script
from envs.automl import scoring
from envs.automl.algorithms import algorithm_pipeline, supports_class_weights, weight_classes_equally
from envs.automl.frames import numeric
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.meta_features import meta_features
from envs.automl.reading import UserDataset, read_dataset
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, kind_of, read_regular, to_json, write_folder
from qrl.common.memory import largest_file
from qrl.common.trust import Trust

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FORMAT = "qrl-select-2"
LARGE_FILE = 300_000_000
"""Size of a file above which a message announces that reading takes long [bytes]."""
PACKAGES = ("scikit-learn", "pandas", "numpy", "scipy")


def run_select(options: SelectOptions, command: Sequence[str]) -> int:
    """Propose, fit and compare algorithms; print the ranking and write a new folder with best.json and best.py.

    Args:
        options: options of the command.
        command: command line, recorded in best.json.

    Returns: the exit code.

    Raises:
        UsageError: an option is invalid, or every algorithm failed.
    """
    path, evaluations = options.file, options.evaluations
    out = Path(f"select-{path.stem}") if options.out is None else options.out
    check_new_file(out)
    origin = provenance(command)
    dataset = _read(options)
    run = selector_of(options.selector, Trust(options.trust, remedy="add --trust"))
    assert isinstance(run.distribution, LookupTasks)  # selector_of refuses other families
    if evaluations > (most := len(run.distribution.table.candidates)):
        raise UsageError(f"--evaluations must be at most {most}, the number of algorithms, not {evaluations}")
    measure: Measure = "balanced_accuracy" if options.balance else "accuracy"
    print("\n".join(dataset_summary(dataset, measure)))
    single = best_single(run.distribution, measure)
    events = evaluate_candidates(run, dataset, evaluations, single if options.compare else None, measure)
    results = ranked(list(with_progress(events, evaluations)))
    best = results[0]
    if best.scores.failure:
        raise UsageError(f"{path}: all algorithms failed; {best.name}: {best.scores.failure}")
    proposed, compared = _compared(results, single)
    record = {
        "format": FORMAT,
        **origin,
        "packages": {name: _version(name) for name in PACKAGES},
        "selector": selector_json(run, options.selector),
        "data": data_json(dataset),
        "folds": {"n": scoring.N_FOLDS, "seed": scoring.FOLD_SEED, "stratified": True},
        **ranking_json(results, single, measure),
    }
    source = script(dataset, best.name, unfitted_pipeline(best.name, dataset, measure), measure)
    write_folder(out, {"best.json": (to_json(record, indent=2) + "\n").encode(), "best.py": source.encode()})
    # The results are written before anything is printed, because printing to a closed pipe fails.
    print(ranking_table(results))
    print("\n".join(comparison(proposed, single, compared)))
    refit = f"python {shlex.quote(str(out / 'best.py'))}"
    print(printable(f"wrote best.json and best.py to {out}; to fit {best.name} on all rows: {refit}"))
    return 0


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


def _compared(results: Sequence[AlgorithmResult], single: str) -> tuple[AlgorithmResult, AlgorithmResult | None]:
    """Return the results of the best proposed algorithm, and of the best single algorithm if it was evaluated."""
    proposed = next(each for each in results if each.evaluation is not None)
    return proposed, next((each for each in results if each.name == single), None)


def unfitted_pipeline(name: str, dataset: UserDataset, measure: Measure) -> "Pipeline":
    """Build the unfitted pipeline of an algorithm, with class weights if balanced accuracy is the measure."""
    unfitted = algorithm_pipeline(name, dataset.frame)
    return weight_classes_equally(unfitted, len(dataset.names)) if measure == "balanced_accuracy" else unfitted


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


def best_single(family: LookupTasks, measure: Measure) -> str:
    """Return the algorithm with the largest mean improvement in accuracy over the training datasets.

    If balanced accuracy is the measure, only algorithms that support class weights are considered.
    """
    table = family.table
    improvement = dict(zip(table.candidates, table.improvement[: table.n_train].mean(0), strict=True))
    candidates = (name for name in improvement if measure == "accuracy" or supports_class_weights(name))
    return max(candidates, key=improvement.__getitem__)


@torch.no_grad()
def evaluate_candidates(
    run: Run, dataset: UserDataset, evaluations: int, single: str | None, measure: Measure
) -> Iterator[AlgorithmResult | str]:
    """Yield the name of each proposed algorithm before its evaluation, then its cross-validated result.

    A policy proposes its most probable algorithm; its observation marks the evaluated algorithms. An algorithm that is
    proposed again is not evaluated again. The algorithm `single` is evaluated last, for comparison, unless it was
    proposed.
    """
    frame, classes = dataset.frame.iloc[dataset.sample], dataset.classes[dataset.sample]
    features = meta_features(frame, classes)
    assert isinstance(run.distribution, LookupTasks) and isinstance(run.agent, InContextAgent)  # see selector_of
    table = run.distribution.table
    family = run.distribution.with_new_task(f"{dataset.path} (user's dataset)", features, evaluations)
    row, evaluated = len(table.names), set()
    constant_prediction = scoring.majority if measure == "accuracy" else scoring.any_class
    constant = float(constant_prediction(classes).mean())

    def evaluate(index: int, evaluation: int | None) -> AlgorithmResult:
        name = table.candidates[index]
        scores = scoring.score(lambda: unfitted_pipeline(name, dataset, measure), frame, classes)
        evaluated.add(index)
        return AlgorithmResult(name, evaluation, scores, measure, constant)

    agent, generator = run.agent, torch.Generator().manual_seed(0)
    lanes, state = family.vectorise(1, 1), agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for evaluation in range(1, evaluations + 1):
        if isinstance(agent, DeterministicInContextAgent):
            action, state = agent.act_deterministically(state, observation[None])
        else:
            action, state = agent.act(state, observation[None], generator)
        if (index := int(action)) not in evaluated:
            yield table.candidates[index]
            result = evaluate(index, evaluation)
            family.record_score(row, index, result.gain)
            yield result
        observation, reward, terminated, truncated, _ = lanes.step(agent.to_environment(action)[0])
        ended = (terminated | truncated)[None]
        state = agent.observe(state, action, reward[None], ended, observation[None])
    if single is not None and (index := table.candidates.index(single)) not in evaluated:
        yield single
        yield evaluate(index, None)


def ranked(results: Sequence[AlgorithmResult]) -> list[AlgorithmResult]:
    """Sort results from best to worst; algorithms that failed in a fold come last."""
    return sorted(results, key=lambda each: (bool(each.scores.failure), -each.mean))


# --- results as JSON --------------------------------------------------------------------------------------------------


def ranking_json(results: Sequence[AlgorithmResult], single: str, measure: Measure) -> dict[str, object]:
    """Return the JSON of the ranking, and of the best proposed algorithm compared with the best single algorithm."""
    proposed, compared = _compared(results, single)
    return {
        "ranked_by": measure,
        "best": results[0].to_json(),
        "best_proposed": {"algorithm": proposed.name, measure: proposed.mean},
        "best_single": {
            "algorithm": single,
            measure: None if compared is None else compared.mean,
            "best_proposed_minus_this": None if compared is None else difference(proposed, compared),
        },
        "ranking": [each.to_json() for each in results],
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
        "rows_compared_on": len(dataset.sample),
        "reading": asdict(dataset.reading),
        "numbers": numbers,
        "text": [name for name in dataset.frame.columns if name not in numbers],
        "excluded_columns": dict(dataset.dropped),
        "notes": list(dataset.notes),
    }


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
