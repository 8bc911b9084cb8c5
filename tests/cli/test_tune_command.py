"""Command `tune`: its output and its errors, which leave nothing behind."""

import importlib.util
import json
import re

import optuna
import pytest

from agents.cli.main import main
from agents.cli.train import parse_train
from agents.tuning.storage import open_storage
from tests.agents.tuning.conftest import WORDS
from tests.support.command_line import refused


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_search_and_its_page(folder, capsys):
    words = [*WORDS, "--trials", "2", "--held-out-seeds", "2", "--seed", "3", "--storage", "journal:logs/x.log"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    path = "studies/tune-navigation-maml-mlp"
    assert re.search(r"^trial  score +iterations  state$", out, re.MULTILINE)
    assert re.search(rf"^2 complete: {path}/trials.csv$", out, re.MULTILINE)
    assert out.endswith(f"a page about the search: run.py report {path}\n")
    assert err.count("\n") == 2 + 4 or "the defaults" in out
    assert (folder / "logs/x.log").exists()
    spec, *_ = parse_train(["--config", f"{path}/best.json", "--iterations", "7"])
    assert (spec.iterations, spec.seed, spec.agent_config.meta_batch) == (7, 3, 2)
    content = json.loads((folder / path / "search.json").read_text())
    assert content["command"][:2] == ["run.py", "tune"]
    assert main(["report", path]) == 0


def test_help(capsys):
    assert main(["tune", "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("--trials", "--storage", "--tune", "--tune-seeds", "--score-every", "--held-out-seeds"):
        assert name in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tune", "agent.episodes"], "--tune agent.episodes: this option has no range of its own: give one"),
        (["--tune", "agent.clp"], "did you mean 'agent.clip'?"),
        (["--storage", "notes.txt"], "did you mean journal:notes.txt?"),
        (["--storage", "journal:notes.txt"], "notes.txt is no journal of a search, or a damaged one: line 1"),
        (["--storage", "sqlite:///notes.txt"], "file is not a database"),
        (["--trials", "0"], "--trials must be at least 1, not 0"),
        (["--trials", "many"], "--trials: expected a whole number, found 'many'"),
        (["--trails", "3"], "unknown option --trails; did you mean --trials?"),
        (["--seeds", "3"], "--seeds is no option of a search"),
        (
            ["--agent.meta-batch", "3", "--shards", "2"],
            "must be a multiple of the number of shards, 2, not 3",
        ),
        (["--overwrite"], "--overwrite is no option of a search"),
        (["--agent", "random"], "no option of agent random"),
        (["--model", "gru"], "gru"),
        (["--out", "notes.txt"], "notes.txt exists and is not a folder: give another --out"),
        (["--out", "other"], "other is no folder of a search and holds 'file': give another --out"),
    ],
)
def test_bad_input(folder, capsys, words, message):
    (folder / "notes.txt").write_text("notes\n")
    (folder / "other").mkdir()
    (folder / "other/file").touch()
    assert message in refused(capsys, ["tune", "--env", "navigation", "--model", "mlp", *words])


@pytest.mark.parametrize(("direction", "attribute"), [("minimize", None), ("maximize", 3), ("maximize", None)])
def test_a_study_of_somebody_else(folder, capsys, direction, attribute):
    """Of the same name, but not begun by a search."""
    study = optuna.create_study(
        storage=open_storage("journal:x.log"), study_name="navigation-maml-mlp", direction=direction
    )
    if attribute is not None:
        study.set_user_attr("qrl:search", attribute)
    study.tell(study.ask(), 1.0)
    error = refused(capsys, [*WORDS, "--storage", "journal:x.log"])
    assert error == "journal:x.log holds something else by the name of navigation-maml-mlp: give another --storage"


def test_without_the_extra(capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else found(name, *more)
    )
    assert refused(capsys, WORDS) == "tune needs Optuna, which is not installed: pip install 'qrl-meta[tuning]'"


def test_a_stray_word(capsys):
    assert "`run.py tune --help` shows what is accepted" in refused(capsys, ["tune", "cartpole"])
