"""The engine of a run: printed, recorded, and compared at a resume."""

import json

import pytest

import agents
from agents.experiment import start
from agents.runs.provenance import provenance
from qrl.simulator import engine as engines
from qrl.simulator.native import library as native
from qrl.simulator.native.requested import VARIABLE

TINY = {
    "env": "navigation",
    "env_config": {"horizon": 3},
    "agent_config": {"meta_batch": 2, "episodes": 2},
    "iterations": 1,
    "threads": 1,
    "eval_tasks": 2,
    "eval_steps": 1,
    "eval_episodes": 2,
}


@pytest.fixture(autouse=True)
def fused(monkeypatch):
    """The fused executor, which runs everywhere."""
    monkeypatch.setenv(VARIABLE, "fused")
    forget()
    yield
    forget()


def forget() -> None:
    engines.engine.cache_clear()
    native.find.cache_clear()


def pretend(monkeypatch, name: str) -> None:
    """Let other modules see another engine."""
    monkeypatch.setattr("agents.experiment.engine_notes.engine_name", lambda: name)


def test_engine_is_printed_and_recorded(tmp_path, capsys):
    agents.train(tmp_path / "run", **TINY)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("policy: ") and lines[1] == "engine: fused"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["engine"] == "fused"


@pytest.mark.parametrize(
    "options",
    [{"model": "mlp"}, {"shots": 10, "agent_config": {**TINY["agent_config"], "estimator": "first-order"}}],
)
def test_no_line_without_exact_circuits_of_the_simulator(tmp_path, capsys, monkeypatch, options):
    agents.train(tmp_path / "run", **TINY | options)
    pretend(monkeypatch, "native-avx2")
    agents.resume(tmp_path / "run", iterations=2)
    assert "engine" not in "".join(capsys.readouterr())


def test_resume_on_another_engine_is_noted_once(tmp_path, capsys, monkeypatch):
    agents.train(tmp_path / "run", **TINY, progress=False)
    agents.resume(tmp_path / "run", iterations=2)
    printed = capsys.readouterr()
    assert printed.out.startswith("engine: fused\n") and "was started on" not in printed.err
    pretend(monkeypatch, "native-avx2")
    agents.resume(tmp_path / "run", iterations=3)
    printed = capsys.readouterr()
    assert printed.out.startswith("engine: native-avx2\n")
    note = "was started on engine fused, now native-avx2: results may differ in the last bits"
    assert [line for line in printed.err.splitlines() if "engine" in line] == [f"note: {tmp_path / 'run'} {note}"]


def test_runs_of_before_engines_were_recorded(tmp_path, capsys, monkeypatch):
    def without_engine(command):
        return {name: value for name, value in provenance(command).items() if name != "engine"}

    monkeypatch.setattr(start, "provenance", without_engine)
    agents.train(tmp_path / "run", **TINY, progress=False)
    run = agents.load(tmp_path / "run")
    assert "engine" not in run.folder.config and run.warnings == ()
    assert agents.resume(tmp_path / "run", iterations=2).iteration == 2
    assert capsys.readouterr().err.count("note: ") == 0
