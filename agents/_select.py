"""`run.py select`: a trained selector proposes algorithms for a dataset of one's own, each of them fitted for real."""

import hashlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents import _selector as shipped
from agents._provenance import provenance
from agents._report import warn
from agents._rollout import MemoryAdapter, Privileged
from agents._run import RunFolder
from agents._select_files import script
from agents._trained import Run, learns
from envs._selection import scoring
from envs._selection.algorithms import pipeline
from envs._selection.frames import numeric
from envs._selection.meta_features import meta_features
from envs._selection.reading import Own, read
from envs._tries import Tries
from qrl._files import check_new_file, to_json, write_folder
from qrl.errors import UsageError

FORMAT = "qrl-select-1"
LARGE = 300_000_000
"""Of a file, from which on reading takes so long that it has to be said [bytes]."""
PACKAGES = ("scikit-learn", "pandas", "numpy", "scipy")


@dataclass(frozen=True)
class Fitted:
    """An algorithm and what it came to."""

    name: str
    proposed: int
    """At which try, from 1; 0: fitted for comparison alone."""
    scored: scoring.Scored
    gain: float
    """Mean accuracy above that of the majority class."""

    @property
    def accuracy(self) -> float:
        """Mean over folds."""
        return float(self.scored.accuracy.mean())

    @property
    def standard_error(self) -> float:
        """Of that mean, from the folds, as if they were independent."""
        return standard_error(self.scored.accuracy)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "algorithm": self.name,
            "try": self.proposed or None,
            "accuracy": self.accuracy,
            "standard_error": self.standard_error,
            "balanced_accuracy": float(self.scored.balanced.mean()),
            "gain": self.gain,
            "seconds": self.scored.seconds,
            "accuracy_by_fold": self.scored.accuracy.tolist(),
            "failure": self.scored.failure or None,
        }


def run_select(
    path: Path,
    target: str,
    *,
    tries: int,
    rows: int,
    bins: int,
    ignore: Sequence[str],
    selector: Path | None,
    compare: bool,
    out: Path | None,
    command: Sequence[str],
) -> int:
    """Propose, fit and compare; then print the ranking and write a new folder with best.json and best.py.

    Args:
        path: a CSV file.
        target: column to be predicted.
        tries: algorithms to propose.
        rows, bins, ignore: see `reading.read`.
        selector: run folder of another selector than the one that ships.
        compare: fit the best single algorithm as well, if it is not proposed.
        out: the folder; by default select-<name of the file>.
        command: how this was called.
    """
    out = Path(f"select-{path.stem}") if out is None else out
    check_new_file(out)
    made_by = provenance(command)
    if path.is_file() and (size := path.stat().st_size) > LARGE:
        print(f"reading {path}, {size / 1e9:.1f} GB, in pieces: a minute or more", file=sys.stderr, flush=True)
    own = read(path, target, rows=rows, bins=bins, ignore=ignore)
    run = selector_of(selector)
    if tries > (most := len(run.distribution.known.candidates)):
        raise UsageError(f"--tries must be at most {most}, all the algorithms there are, not {tries}")
    print("\n".join(described(own)))
    single = best_single(run.distribution)
    fitted = ranked(list(shown(fits(run, own, tries, single if compare else None), tries)))
    best = fitted[0]
    if best.scored.failure:
        raise UsageError(f"{path}: every algorithm failed, {best.name} with {best.scored.failure}")
    print(table(fitted))
    proposed = next(each for each in fitted if each.proposed)
    compared = next((each for each in fitted if each.name == single), None)
    print("\n".join(verdict(proposed, single, compared)))
    about = {
        "format": FORMAT,
        **made_by,
        "packages": {name: _version(name) for name in PACKAGES},
        "selector": selector_json(run, selector),
        "data": data_json(own),
        "folds": {"n": scoring.N_FOLDS, "seed": scoring.FOLD_SEED, "stratified": True},
        "best": best.to_json(),
        "best_proposed": {"algorithm": proposed.name, "accuracy": proposed.accuracy},
        "best_single": {
            "algorithm": single,
            "accuracy": None if compared is None else compared.accuracy,
            "best_proposed_minus_this": None if compared is None else difference(proposed, compared),
        },
        "ranking": [each.to_json() for each in fitted],
    }
    text = script(own, best.name, pipeline(best.name, own.frame))
    write_folder(out, {"best.json": (to_json(about, indent=2) + "\n").encode(), "best.py": text.encode()})
    again = f"python {shlex.quote(str(out / 'best.py'))}"
    print(f"wrote best.json and best.py to {out}; to fit {best.name} on all rows: {again}")
    return 0


# --- the selector -----------------------------------------------------------------------------------------------------


def selector_of(path: Path | None) -> Run:
    """The selector that ships, or that of a run folder.

    Raises:
        UsageError: it is no run of `algorithm_selection`, or its agent needs more than one dataset to choose for.
    """
    run = Run(RunFolder.open(shipped.FOLDER if path is None else path))
    for problem in (*run.problems, *run.changes):
        warn(problem)
    if path is None and not shipped.trained_on_this_table():
        warn("the selector was trained on another table of scores than the one that is installed")
    if run.spec.env != "algorithm_selection":
        raise UsageError(f"--selector {path}: a run of algorithm_selection is needed, not of {run.spec.env}")
    if isinstance(run.agent, Privileged):
        raise UsageError(f"--selector {path}: agent {run.spec.agent} has to be told the scores beforehand")
    if not isinstance(run.agent, MemoryAdapter):
        raise UsageError(
            f"--selector {path}: agent {run.spec.agent} does not learn from try to try; rl2 and players of tries do"
        )
    return run


def best_single(family: Tries) -> str:
    """The algorithm that gained most on average in the datasets of training."""
    known = family.known
    return known.candidates[int(known.gains[: known.n_train].mean(0).argmax())]


@torch.no_grad()
def fits(run: Run, own: Own, tries: int, single: str | None) -> Iterator[Fitted | str]:
    """What is tried, one after the other: the name of an algorithm before it is fitted, then what it came to.

    A policy's choice is the most probable algorithm; what was tried, its observation rules out. One that is proposed
    again all the same, by an agent that does not heed that, is not fitted again.
    """
    features = meta_features(own.frame, own.classes)
    known = run.distribution.known
    family = run.distribution.with_another(str(own.layout.path), features, tries)
    row, base, done = len(known.names), float(scoring.majority(own.classes).mean()), set()

    def fit(index: int, proposed: int) -> Fitted:
        name = known.candidates[index]
        scored = scoring.score(lambda: pipeline(name, own.frame), own.frame, own.classes)
        done.add(index)
        return Fitted(name, proposed, scored, float(scored.accuracy.mean()) - base)

    agent, generator = run.agent, torch.Generator().manual_seed(0)
    lanes, state = family.vectorise(1, 1), agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for number in range(1, tries + 1):
        seen = observation[None]
        action, state = agent.mode(state, seen) if hasattr(agent, "mode") else agent.act(state, seen, generator)
        if (index := int(action)) not in done:
            yield known.candidates[index]
            one = fit(index, number)
            family.measured(row, index, one.gain)
            yield one
        observation, reward, terminated, truncated, _ = lanes.step(agent.to_environment(action)[0])
        ended = (terminated | truncated)[None]
        state = agent.receive(state, action, reward[None], ended, observation[None])
    if single is not None and (index := known.candidates.index(single)) not in done:
        yield single
        yield fit(index, 0)


def ranked(fitted: Sequence[Fitted]) -> list[Fitted]:
    """Best first; those that failed in a fold last."""
    return sorted(fitted, key=lambda each: (bool(each.scored.failure), -each.accuracy))


def standard_error(values: NDArray[np.float64]) -> float:
    """Of a mean over folds."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def difference(one: Fitted, other: Fitted) -> dict[str, float]:
    """In accuracy, paired by folds."""
    by_fold = one.scored.accuracy - other.scored.accuracy
    return {"mean": float(by_fold.mean()), "standard_error": standard_error(by_fold)}


# --- what is said -----------------------------------------------------------------------------------------------------


def shown(events: Iterator[Fitted | str], tries: int) -> Iterator[Fitted]:
    """What was fitted, with a bar on a terminal, and a line for each anywhere else."""
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
            line = f"{what}: {event.name} {event.accuracy:.4f} in {event.scored.seconds:.1f} s"
            if not terminal:
                print(line, file=sys.stderr, flush=True)
            yield event


def described(own: Own) -> Iterator[str]:
    """What was read."""
    n_numbers, n_columns = len(numeric(own.frame)), own.frame.shape[1]
    largest = np.bincount(own.classes).max() / len(own.classes)
    yield (
        f"{own.layout.path}: {own.n_rows} rows, {n_columns} columns to learn from ({n_numbers} of numbers, "
        f"{n_columns - n_numbers} of text), {len(own.names)} classes of {own.target!r}, the largest {largest:.1%}"
    )
    yield from (f"left out: {name}: {reason}" for name, reason in own.dropped.items())
    yield from (f"note: {note}" for note in own.notes)


def table(fitted: Sequence[Fitted]) -> str:
    """The ranking."""
    lines = [f"{'algorithm':20}{'accuracy':>10}{'± s.e.':>8}{'balanced':>10}{'gain':>8}{'seconds':>9}{'try':>6}"]
    for each in fitted:
        numbers = f"{each.accuracy:10.4f}{each.standard_error:8.4f}{each.scored.balanced.mean():10.4f}{each.gain:+8.4f}"
        failed = f"  failed: {each.scored.failure}" if each.scored.failure else ""
        lines.append(f"{each.name:20}{numbers}{each.scored.seconds:9.1f}{each.proposed or '-':>6}{failed}")
    return "\n".join(lines)


def verdict(proposed: Fitted, single: str, compared: Fitted | None) -> Iterator[str]:
    """The best of what was proposed beside the best single algorithm."""
    yield f"best of those proposed: {proposed.name}, accuracy {proposed.accuracy:.4f}"
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
        yield f"{called}, accuracy {compared.accuracy:.4f}; {beside}"


def selector_json(run: Run, path: Path | None) -> dict[str, Any]:
    """Which selector it was."""
    name = "the one that ships" if path is None else str(path)
    about = {"run": name, "agent": run.spec.agent, "config": run.folder.config["digest"]}
    if not learns(run.agent):
        return about
    weights = run.folder.path / "checkpoint" / f"{run.iteration:08d}" / "state.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {**about, "model": run.spec.model, "iterations": run.iteration, "sha256": digest}


def data_json(own: Own) -> dict[str, Any]:
    """What was read, and how."""
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
