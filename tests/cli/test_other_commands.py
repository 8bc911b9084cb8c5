"""`run.py evaluate`, `resume`, `plot` and `list`: options, help and one-line errors."""

import ast
import re
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.cli.options import EvaluateOptions
from agents.runs.folder import RunFolder
from qrl.common.trust import Trust
from tests.support.command_line import ROOT, refused


def test_evaluate_and_resume_forward_their_options(calls):
    folder = RunFolder.create(Path("one"), {"spec": {}}).path
    assert main(["evaluate", "one"]) == 0
    options = ["--steps=2", "--episodes", "5", "--split", "ood", "--seed", "1", "--out", "e.json", "--video"]
    options += ["--noise", "readout=0.1", "--shots", "20", "--noise=bit_flip=0.2"]
    assert main(["evaluate", "--tasks", "7", "one", *options]) == 0
    assert main(["resume", "one"]) == 0
    assert (
        main(["resume", "one", "--iterations", "300", "--trust", "--env", "navigation", "--track", "tensorboard"]) == 0
    )
    given = EvaluateOptions(
        run=folder,
        tasks=7,
        steps=2,
        episodes=5,
        split="ood",
        seed=1,
        out=Path("e.json"),
        video=True,
        shots=20,
        noise=("readout=0.1", "bit_flip=0.2"),
    )
    assert calls == [
        ("run_evaluation", (EvaluateOptions(run=folder),), {}),
        ("run_evaluation", (given,), {}),
        ("run_resume", (folder, None), {"changes": {}, "trust": Trust(), "track": None}),
        (
            "run_resume",
            (folder, 300),
            {"changes": {}, "trust": Trust(everything=True, names={"env": "navigation"}), "track": ("tensorboard",)},
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "evaluate needs RUN: usage is run.py evaluate RUN"),
        (["resume"], "resume needs RUN: usage is run.py resume RUN"),
        (["evaluate", "nowhere"], "nowhere: no such run folder"),
        (["resume", "nowhere"], "nowhere: no such run folder"),
        (["evaluate", "."], ". is not a run folder: it has no config.json"),
        (["evaluate", "net.py"], "net.py is not a folder: a run folder is expected"),
        (["evaluate", "one", "--steps", "0"], "--steps must be at least 1, not 0"),
        (["evaluate", "one", "--tasks", "1"], "--tasks must be at least 2, not 1"),
        (["evaluate", "one", "--tasks", "-4"], "--tasks must be at least 2, not -4"),
        (["evaluate", "one", "--seed", str(2**63)], f"--seed must be at most {2**63 - 1}, not {2**63}"),
        (["evaluate", "one", "--out", ""], "--out: expected a path, found ''"),
        (["evaluate", "x" * 300], f"{'x' * 300}: File name too long"),
        (["evaluate", "one", "--episodes", "0"], "--episodes must be at least 1, not 0"),
        (["evaluate", "one", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["evaluate", "one", "--taks", "4"], "unknown option --taks; did you mean --tasks?"),
        (["evaluate", "one", "two"], "unexpected argument 'two'; `run.py evaluate --help` shows what is accepted"),
        (
            ["evaluate", "one", "--split", "tset"],
            "--split: expected one of 'train', 'validation', 'test', 'ood', found 'tset'; did you mean 'test'?",
        ),
        (["resume", "one", "--iterations", "0"], "--iterations must be at least 1, not 0"),
        (["list", "envs"], "list takes no arguments, found 'envs'"),
        (["plot"], "plot needs RUN: usage is run.py plot RUN ..."),
        (["plot", "one", "nowhere"], "nowhere: no such run folder"),
        (
            ["plot", "one", "--against", "step"],
            "--against: expected one of 'x', 'episodes', 'env-steps', found 'step'; did you mean 'env-steps'?",
        ),
        (
            ["trian"],
            "unknown command 'trian'; did you mean 'train'? (choices: compare, draw, evaluate, export, list, plot, "
            "report, resume, ",
        ),
    ],
)
def test_invalid_arguments_of_other_commands(calls, capsys, arguments, message):
    RunFolder.create(Path("one"), {"spec": {}})
    assert refused(capsys, arguments).startswith(message)
    assert calls == []


@pytest.mark.parametrize("command", ["evaluate", "resume", "compare", "report", "plot", "draw", "list"])
def test_help_of_the_other_commands(calls, capsys, command):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: run.py {command}")
    assert calls == []


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["list"]])
def test_help_and_list_name_every_plug_in_with_its_first_line(capsys, arguments):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    for folder, kind in (("envs", "env"), ("agents", "agent"), ("qrl/models", "model")):
        assert f"(--{kind})" in text
        for path in ROOT.joinpath(folder).glob("[!_]*.py"):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            assert re.search(rf"^ +{path.stem} +{re.escape(first)}", text, re.MULTILINE), path


def test_list_marks_plug_ins_with_missing_extras(capsys, monkeypatch):
    from qrl.common.registry import Registry
    from qrl.common.summaries import Summary

    summary = Summary("cheetah", "It runs.", missing=("mujoco",), extra="mujoco")
    broken = Summary("torn", "", broken="invalid syntax (line 1)")
    monkeypatch.setattr(Registry, "available", lambda self: {"cheetah": summary, "torn": broken})
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  cheetah +It runs\.  \[needs: pip install 'qrl-meta\[mujoco\]'\]$", text, re.MULTILINE)
    assert re.search(r"^  torn +\[unreadable: invalid syntax \(line 1\)\]$", text, re.MULTILINE)
