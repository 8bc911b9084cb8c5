"""Files of a stranger about studies and searches: each names code that is not to be executed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from agents.runs.folder import RunFolder
from agents.runs.seal import SEARCH, STUDY, sealed
from benchmarks.fault_injection.strangers import Place
from qrl.common.files import to_json

TINY = (
    *("--iterations", "1", "--threads", "1", "--agent.meta-batch", "2", "--agent.episodes", "3"),
    *("--eval-tasks", "2", "--eval-episodes", "2"),
)
TUNE = ("tune", *TINY, "--trials", "1", "--tune-tasks", "2", "--held-out-seeds", "0", "--tune", "agent.clip=0.1:0.4")

Words = tuple[object, ...]
Files = Callable[[Place, Path, str, str], Words]
"""Function of a place, a run, a role and a name of code; writes files and returns a command that reads them."""


def _study_file(place: Place, original: Path, role: str, code: str) -> Words:
    (place.folder / "study.toml").write_text(f"seeds = 1\n{role}s = [{json.dumps(code)}]\n")
    return "sweep", "study.toml", "--out", "study", *TINY


def _variant(place: Place, original: Path, role: str, code: str) -> Words:
    (place.folder / "study.toml").write_text(f'[[variants]]\nname = "a"\n{role} = {json.dumps(code)}\n')
    return "sweep", "study.toml", "--out", "study", *TINY


def _budget(place: Place, original: Path, role: str, code: str) -> Words:
    (place.folder / "study.toml").write_text(
        f"models = [\"mlp\"]\n[options]\n'model.budget' = {json.dumps('like:' + code)}\n"
    )
    return "sweep", "study.toml", "--out", "study", *TINY


def _best(place: Place, original: Path, role: str, code: str) -> Path:
    spec = dict(RunFolder.open(original).spec) | {role: code}
    file = place.folder / "best.json"
    file.write_text(to_json({"spec": spec, "tuning": {"trial": 0, "score": 0.0, "options": {}, "storage": ""}}))
    return file


def _train_best(place: Place, original: Path, role: str, code: str) -> Words:
    return "train", "--config", _best(place, original, role, code), "--out", "again", *TINY


def _tune_best(place: Place, original: Path, role: str, code: str) -> Words:
    return *TUNE, "--config", _best(place, original, role, code), "--out", "search"


def _search(place: Place, original: Path, role: str, code: str) -> Path:
    spec = dict(RunFolder.open(original).spec) | {role: code}
    path = place.folder / "search"
    path.mkdir()
    trial = {"number": 0, "state": "complete", "options": {"agent.clip": 0.2}, "score": 1.0, "scores": [[1, 1.0]]}
    record = {
        "name": "navigation-maml-mlp",
        "storage": "journal:search/trials.log",
        "spec": spec,
        "ranges": [{"name": "agent.clip", "low": 0.1, "high": 0.4}],
        "protocol": {"seeds": [10_000], "tasks": 2, "score_every": 1},
        "defaults": {"agent.clip": 0.2},
        "wanted": 1,
        "trials": [trial],
    }
    (path / SEARCH.file).write_text(to_json(sealed({"search": record}, SEARCH)))
    return path


def _report(place: Place, original: Path, role: str, code: str) -> Words:
    return "report", _search(place, original, role, code)


def _continue(place: Place, original: Path, role: str, code: str) -> Words:
    _search(place, original, role, code)
    entries: list[dict[str, object]] = [
        {"op_code": 0, "study_name": "navigation-maml-mlp", "directions": [2]},
        {"op_code": 2, "study_id": 0, "user_attr": {"qrl:search": {"spec": {role: code}}}},
    ]
    lines = (to_json({**each, "worker_id": code}) for each in entries)
    (place.folder / "search" / "trials.log").write_text("".join(f"{line}\n" for line in lines))
    return *TUNE, "--model", "mlp", "--out", "search"


def _pickled_journal(place: Place, original: Path, role: str, code: str) -> Words:
    from benchmarks.fault_injection.strangers import write_pickle

    write_pickle(place.folder / "trials.log", place.mark, "pickle")
    return *TUNE, "--model", "mlp", "--storage", "journal:trials.log", "--out", "search"


def _study(place: Place, original: Path, role: str, code: str) -> Path:
    run = place.forge(original, {role: code})
    path = place.folder / "study"
    path.mkdir()
    run.rename(path / "one")
    runs = {"one": ["train", f"--{role}={code}", "--trust"]}
    (path / STUDY.file).write_text(to_json(sealed({"runs": runs}, STUDY)))
    return path


def _compare(place: Place, original: Path, role: str, code: str) -> Words:
    return "compare", _study(place, original, role, code), "--out", "page.html"


def _animate(place: Place, original: Path, role: str, code: str) -> Words:
    return "compare", _study(place, original, role, code), "--video", "--out", "page.html"


def _sweep(place: Place, original: Path, role: str, code: str) -> Words:
    _study(place, original, role, code)
    return "sweep", "--models", "mlp", *TINY, "--out", "study"


def _draw(place: Place, original: Path, role: str, code: str) -> Words:
    return "draw", place.forge(original, {role: code})


def _report_run(place: Place, original: Path, role: str, code: str) -> Words:
    return "report", place.forge(original, {role: code})


FILES: Mapping[str, Files] = {
    "study file": _study_file,
    "variant of a study file": _variant,
    "budget in a study file": _budget,
    "train --config best.json": _train_best,
    "tune --config best.json": _tune_best,
    "report of a search": _report,
    "tune, search.json and journal": _continue,
    "tune, journal is a pickle": _pickled_journal,
    "compare a study": _compare,
    "compare a study, --video": _animate,
    "sweep into a study": _sweep,
    "draw": _draw,
    "report of a run": _report_run,
}
"""Files about studies and searches, by what reads them."""
