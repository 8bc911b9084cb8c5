"""Command `select`: a trained selector proposes algorithms for a user's dataset; each proposal is cross-validated."""

import hashlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from agents.core.agent import DeterministicInContextAgent, InContextAgent, Learner, OracleAgent
from agents.experiment.report import open_run, warn
from agents.experiment.run import Run
from agents.runs.provenance import provenance
from agents.select import selector as shipped
from agents.select.options import SelectOptions
from agents.select.report import Fitted, Measure, described, difference, shown, table, verdict
from agents.select.script import script
from envs.automl import scoring
from envs.automl.algorithms import build_pipeline, supports_class_weights, weight_classes_equally
from envs.automl.frames import numeric
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.meta_features import meta_features
from envs.automl.reading import UserDataset, read_dataset
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, to_json, write_folder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FORMAT = "qrl-select-1"
LARGE = 300_000_000
"""Size of a file above which reading takes long and is announced [bytes]."""
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
    path, tries = options.file, options.tries
    out = Path(f"select-{path.stem}") if options.out is None else options.out
    check_new_file(out)
    made_by = provenance(command)
    own = _read(options)
    run = selector_of(options.selector)
    assert isinstance(run.distribution, LookupTasks)  # selector_of refuses other families
    if tries > (most := len(run.distribution.table.candidates)):
        raise UsageError(f"--tries must be at most {most}, all the algorithms there are, not {tries}")
    measure: Measure = "balanced_accuracy" if options.balance else "accuracy"
    print("\n".join(described(own, measure)))
    single = best_single(run.distribution, measure)
    fitted = ranked(list(shown(fits(run, own, tries, single if options.compare else None, measure), tries)))
    best = fitted[0]
    if best.scored.failure:
        raise UsageError(f"{path}: every algorithm failed, {best.name} with {best.scored.failure}")
    proposed, compared = _chosen(fitted, single)
    about = {
        "format": FORMAT,
        **made_by,
        "packages": {name: _version(name) for name in PACKAGES},
        "selector": selector_json(run, options.selector),
        "data": data_json(own),
        "folds": {"n": scoring.N_FOLDS, "seed": scoring.FOLD_SEED, "stratified": True},
        **ranking_json(fitted, single, measure),
    }
    text = script(own, best.name, made(best.name, own, measure), measure)
    write_folder(out, {"best.json": (to_json(about, indent=2) + "\n").encode(), "best.py": text.encode()})
    # The results are written before anything is printed, because printing to a closed pipe fails.
    print(table(fitted))
    print("\n".join(verdict(proposed, single, compared)))
    again = f"python {shlex.quote(str(out / 'best.py'))}"
    print(f"wrote best.json and best.py to {out}; to fit {best.name} on all rows: {again}")
    return 0


def _read(options: SelectOptions) -> UserDataset:
    """Read the user's dataset; print a message first if the file is large."""
    path = options.file
    if path.is_file() and (size := path.stat().st_size) > LARGE:
        print(f"reading {path}, {size / 1e9:.1f} GB, in pieces: a minute or more", file=sys.stderr, flush=True)
    return read_dataset(path, options.target, rows=options.rows, bins=options.bins, ignore=options.ignore)


def _chosen(fitted: Sequence[Fitted], single: str) -> tuple[Fitted, Fitted | None]:
    """Return the best proposed algorithm, and the best single algorithm if it was fitted."""
    proposed = next(each for each in fitted if each.proposed)
    return proposed, next((each for each in fitted if each.name == single), None)


def made(name: str, own: UserDataset, measure: Measure) -> "Pipeline":
    """Build the unfitted pipeline of an algorithm, with class weights if balanced accuracy is the measure."""
    chosen = build_pipeline(name, own.frame)
    return weight_classes_equally(chosen, len(own.names)) if measure == "balanced_accuracy" else chosen


# --- the selector -----------------------------------------------------------------------------------------------------


def selector_of(path: Path | None) -> Run:
    """Load the selector of a run folder; by default, the one shipped with this library.

    Raises:
        UsageError: the run is not one of `algorithm_selection`, or its agent needs the scores beforehand or does not
            adapt from one evaluation to the next.
    """
    run = open_run(shipped.FOLDER if path is None else path)
    if path is None and not shipped.trained_on_this_table():
        warn("the selector was trained on another table of scores than the one that is installed")
    if run.spec.env != "algorithm_selection":
        raise UsageError(f"--selector {path}: a run of algorithm_selection is needed, not of {run.spec.env}")
    if isinstance(run.agent, OracleAgent):
        raise UsageError(f"--selector {path}: agent {run.spec.agent} has to be told the scores beforehand")
    if not isinstance(run.agent, InContextAgent):
        raise UsageError(
            f"--selector {path}: agent {run.spec.agent} does not learn from try to try; rl2 and players of tries do"
        )
    return run


def best_single(family: LookupTasks, measure: Measure) -> str:
    """Return the algorithm with the largest mean improvement in accuracy over the training datasets.

    If balanced accuracy is the measure, only algorithms that support class weights are considered.
    """
    table = family.table
    gained = dict(zip(table.candidates, table.improvement[: table.n_train].mean(0), strict=True))
    candidates = (name for name in gained if measure == "accuracy" or supports_class_weights(name))
    return max(candidates, key=gained.__getitem__)


@torch.no_grad()
def fits(run: Run, own: UserDataset, tries: int, single: str | None, measure: Measure) -> Iterator[Fitted | str]:
    """Yield the name of each proposed algorithm before its fit, then its cross-validated result.

    A policy proposes its most probable algorithm; its observation marks the algorithms already tried. An algorithm that
    an agent proposes again is not fitted again. The algorithm `single` is fitted last, for comparison, unless it was
    proposed.
    """
    features = meta_features(own.frame, own.classes)
    assert isinstance(run.distribution, LookupTasks) and isinstance(run.agent, InContextAgent)  # see selector_of
    table = run.distribution.table
    family = run.distribution.with_new_task(f"{own.layout.path}, your own", features, tries)
    row, done = len(table.names), set()
    constant = scoring.majority if measure == "accuracy" else scoring.any_class
    named = float(constant(own.classes).mean())

    def fit(index: int, proposed: int) -> Fitted:
        name = table.candidates[index]
        scored = scoring.score(lambda: made(name, own, measure), own.frame, own.classes)
        done.add(index)
        return Fitted(name, proposed, scored, measure, named)

    agent, generator = run.agent, torch.Generator().manual_seed(0)
    lanes, state = family.vectorise(1, 1), agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for number in range(1, tries + 1):
        seen = observation[None]
        if isinstance(agent, DeterministicInContextAgent):
            action, state = agent.act_deterministically(state, seen)
        else:
            action, state = agent.act(state, seen, generator)
        if (index := int(action)) not in done:
            yield table.candidates[index]
            one = fit(index, number)
            family.record_score(row, index, one.gain)
            yield one
        observation, reward, terminated, truncated, _ = lanes.step(agent.to_environment(action)[0])
        ended = (terminated | truncated)[None]
        state = agent.observe(state, action, reward[None], ended, observation[None])
    if single is not None and (index := table.candidates.index(single)) not in done:
        yield single
        yield fit(index, 0)


def ranked(fitted: Sequence[Fitted]) -> list[Fitted]:
    """Sort results from best to worst; algorithms that failed in a fold come last."""
    return sorted(fitted, key=lambda each: (bool(each.scored.failure), -each.mean))


# --- results as JSON --------------------------------------------------------------------------------------------------


def ranking_json(fitted: Sequence[Fitted], single: str, measure: Measure) -> dict[str, object]:
    """Return the JSON of the ranking, and of the best proposed algorithm compared with the best single algorithm."""
    proposed, compared = _chosen(fitted, single)
    return {
        "decides": measure,
        "best": fitted[0].to_json(),
        "best_proposed": {"algorithm": proposed.name, measure: proposed.mean},
        "best_single": {
            "algorithm": single,
            measure: None if compared is None else compared.mean,
            "best_proposed_minus_this": None if compared is None else difference(proposed, compared),
        },
        "ranking": [each.to_json() for each in fitted],
    }


def selector_json(run: Run, path: Path | None) -> dict[str, object]:
    """Return the JSON that identifies the selector."""
    name = "the one that ships" if path is None else str(path)
    about = {"run": name, "agent": run.spec.agent, "config": run.folder.config["digest"]}
    if not isinstance(run.agent, Learner):
        return about
    weights = run.folder.path / "checkpoint" / f"{run.iteration:08d}" / "state.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {**about, "model": run.spec.model, "iterations": run.iteration, "sha256": digest}


def data_json(own: UserDataset) -> dict[str, object]:
    """Return the JSON of the dataset and of the options with which it was read."""
    numbers = numeric(own.frame)
    return {
        "file": str(own.layout.path.resolve()),
        "encoding": own.layout.encoding,
        "separator": own.layout.separator,
        "target": own.target,
        "classes": list(own.names),
        "edges": list(own.edges) or None,
        "rows": own.n_rows,
        "rows_usable": own.n_usable,
        "rows_compared_on": len(own.classes),
        "numbers": numbers,
        "text": [name for name in own.frame.columns if name not in numbers],
        "left_out": dict(own.dropped),
        "notes": list(own.notes),
    }


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
