"""No command damages a finished run: checks come before any write, and every message names the way back."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.runs.folder import RunFolder
from agents.runs.seal import sealed

FEW = ("--tasks", "2", "--episodes", "2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    sizes = ("--env.horizon", "3", "--agent.meta-batch", "2", "--agent.episodes", "2", "--iterations", "2")
    few = ("--eval-tasks", "2", "--eval-steps", "1", "--eval-episodes", "2", "--checkpoint-every", "1")
    assert main(["--env", "navigation", "--model", "mlp", "--threads", "1", *sizes, *few, "--out", str(run)]) == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def folder_instead_of(name: str) -> Callable[[Path], None]:
    def replace(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return replace


def damage_checkpoints(run: Path) -> None:
    for file in run.glob("checkpoint/*/state.json"):
        file.write_text("{}")


def link_elsewhere(name: str) -> Callable[[Path], None]:
    """Return a function that moves a file of a run elsewhere, and links to it: the run must not write there."""

    def replace(run: Path) -> None:
        (run / name).rename(run.parent / "elsewhere")
        (run / name).symlink_to(run.parent / "elsewhere")

    return replace


def nothing(run: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (nothing, ["--iterations", "99999999999"], "--iterations must be at most 10000000"),
        (nothing, ["--iterations", "1"], "--iterations 1 is less than the 2 already done"),
        (nothing, ["--iterations", "3", "--env", "cartpole"], "was trained with env 'navigation'"),
        (damage_checkpoints, ["--iterations", "3"], "no usable checkpoint"),
        (
            folder_instead_of("evaluation.json"),
            ["--iterations", "3"],
            "evaluation.json exists and is not a regular file",
        ),
        (link_elsewhere("metrics.jsonl"), ["--iterations", "3"], "metrics.jsonl is a link: training writes only into"),
        (link_elsewhere("checkpoint"), ["--iterations", "3"], "checkpoint is a link: training writes only into"),
        (link_elsewhere("evaluation.json"), ["--iterations", "3"], "evaluation.json is a link: training writes only"),
        (folder_instead_of("adaptation.png"), ["--iterations", "3"], "adaptation.png exists and is not a regular file"),
    ],
)
def test_refused_resume_changes_nothing(
    prepare: Callable[[Path], None],
    arguments: list[str],
    message: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(run)
    before = contents(run.parent)
    assert main(["resume", str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert contents(run.parent) == before


@pytest.mark.parametrize("command", ["evaluate", "robustness"])
def test_refused_evaluation_changes_nothing(command: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = {"evaluate": "adaptation.png", "robustness": "robustness.png"}[command]
    (run / picture).unlink(missing_ok=True)
    for obstruct in (Path.mkdir, lambda path: path.symlink_to(run.parent / "elsewhere")):
        obstruct(run / picture)
        before = contents(run.parent)
        assert main([command, str(run), *FEW]) == 2
        assert f"{picture} exists and is not a regular file" in capsys.readouterr().err
        assert contents(run.parent) == before
        (run / picture).rmdir() if (run / picture).is_dir() else (run / picture).unlink()


def test_run_with_an_invalid_number_of_iterations_is_repaired_by_resume(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((run / "config.json").read_text())
    config["spec"]["iterations"] = 99999999999
    (run / "config.json").write_text(json.dumps(sealed(config)))
    for command in (["evaluate", str(run), *FEW], ["resume", str(run)]):
        assert main(command) == 2
        assert f"to set a valid number: run.py resume {shlex.quote(str(run))} --iterations N" in capsys.readouterr().err
    assert main(["resume", str(run), "--iterations", "2"]) == 0
    assert main(["evaluate", str(run), *FEW]) == 0


@pytest.mark.parametrize("damage", ["", "{", '{"format": "qrl-run"}', "pipe", None])
def test_damaged_configuration_is_restored_from_its_copy(
    damage: str | None, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resume", str(run), "--iterations", "3"]) == 0
    intact = (run / "config.json").read_bytes()
    (run / "config.json").unlink()
    if damage == "pipe":
        os.mkfifo(run / "config.json")
    elif damage is not None:
        (run / "config.json").write_text(damage)
    capsys.readouterr()
    assert main(["evaluate", str(run), *FEW]) == 2
    error = capsys.readouterr().err
    before, _, command = error.strip().partition("; an intact copy exists: ")
    assert before.startswith("run.py: error: ") and error.count("\n") == 1
    subprocess.run(command, shell=True, check=True)
    assert (run / "config.json").read_bytes() == intact
    assert RunFolder.open(run).checkpoints.load().iteration == 3


def test_overwriting_replaces_links(run: Path) -> None:
    precious = run.parent / "precious"
    precious.write_text("precious")
    for name in (".config-copy.json", "metrics.jsonl", "evaluation.json"):
        (run / name).unlink()
        (run / name).symlink_to(precious)
    config = json.loads((run / "config.json").read_text())
    RunFolder.create(run, {"spec": config["spec"]}, overwrite=True)
    assert precious.read_text() == "precious" and not (run / ".config-copy.json").is_symlink()


def test_finished_run_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert main(["resume", str(run)]) == 0
    assert "is trained to its end, iteration 2; --iterations N continues, beyond 2" in capsys.readouterr().err
    assert contents(run) == before  # The evaluation is repeated, with the same result.
