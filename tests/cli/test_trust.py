"""Code that a file names is executed only if the user vouches for it: on the command line and in Python."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import agents
import envs
from agents.cli.main import main
from agents.cli.parse import HelpShown
from agents.cli.train import parse_train
from agents.runs.folder import RunFolder
from agents.runs.seal import sealed
from qrl.common.errors import UsageError
from qrl.common.trust import state_folder
from qrl.models import MODELS

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = (
    *("--env.horizon", "3", "--iterations", "1", "--agent.meta-batch", "2", "--agent.episodes", "2", "--threads", "1"),
    *("--model", "mlp", "--eval-tasks", "2", "--eval-steps", "1", "--eval-episodes", "2"),
)

STRANGER = """
open({mark!r}, "a").close()
from {original} import *
from {original} import Config, build
"""
"""Plug-in that behaves as one of this library, and leaves a mark when it is imported."""

Stranger = Callable[[str], Path]


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("own") / "run"
    assert main(["--env", "navigation", *SMALL, "--out", str(run)]) == 0
    return run


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Path of the file that exists once a stranger's code has been executed."""
    return tmp_path / "EXECUTED"


def stranger(folder: Path, mark: Path, original: str = "envs.navigation") -> Path:
    file = folder / f"stranger_{original.replace('.', '_')}.py"
    file.write_text(STRANGER.format(mark=str(mark), original=original))
    return file


def change_spec(run: Path, copy: Path, **changes: object) -> Path:
    """Copy a run, and change its configuration; seal it again, with its checkpoints, as a stranger may do."""
    copy.mkdir()
    config = json.loads((run / "config.json").read_text())
    config["spec"] |= changes
    forged = sealed(config)
    (copy / "config.json").write_text(json.dumps(forged))
    copy_checkpoint(run, copy, forged)
    return copy


def copy_checkpoint(run: Path, copy: Path, forged: dict[str, object]) -> None:
    folder = RunFolder(copy, forged)
    checkpoint = RunFolder.open(run).checkpoints.load()
    folder.checkpoints.save(checkpoint.iteration, checkpoint.tensors, checkpoint.meta)


def commands(run: Path, folder: Path, table: Path) -> dict[str, list[str]]:
    few = ["--tasks", "2", "--episodes", "2"]
    return {
        "evaluate": ["evaluate", str(run), *few],
        "resume": ["resume", str(run)],
        "robustness": ["robustness", str(run), *few],
        "export": ["export", str(run), "--out", str(folder / "circuits")],
        "draw": ["draw", str(run), "--out", str(folder / "circuit.png")],
        "plot": ["plot", str(run), "--out", str(folder / "picture.png")],
        "compare": ["compare", str(run), "--out", str(folder / "page.html"), "--video"],
        "report": ["report", str(run), "--video"],
        "select": ["select", str(table), "--target", "y", "--selector", str(run), "--out", str(folder / "select")],
        "--config": ["--config", str(run), "--out", str(folder / "again")],
        "--help": ["--config", str(run), "--help"],
        "--compare": ["evaluate", str(run), *few, "--video", "--compare", str(run)],
    }


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("role", ["env", "agent", "model", "budget", "module", "id"])
def test_no_command_executes_code_of_a_strangers_run(
    role: str,
    own_run: Path,
    tmp_path: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = {"agent": "agents.maml", "model": "qrl.models.mlp", "budget": "qrl.models.mlp"}.get(
        role, "envs.navigation"
    )
    file = stranger(tmp_path, mark, original)
    monkeypatch.syspath_prepend(tmp_path)
    changes: dict[str, object] = {
        "budget": {"model_config": {"budget": f"like:{file}"}},
        "module": {"env": f"{file.stem}:Config"},
        "id": {"env": f"{file.stem}:Nowhere-v0", "env_config": None},
    }.get(role, {role: str(file)})
    run = change_spec(own_run, tmp_path / "run", **changes)
    (table := tmp_path / "table.csv").write_text("x,y\n" + "1,a\n2,b\n" * 60)
    before = read_all(tmp_path)
    attempts = commands(run, tmp_path, table)
    if role == "budget":
        assert main(attempts.pop("--help")) == 0  # It describes the options, and builds no model.
        capsys.readouterr()
    for name, command in attempts.items():
        assert main(command) == 2, name
        error = capsys.readouterr().err
        assert error.startswith("run.py: error: ") and error.count("\n") == 1
        remedy = "add --trust" if role == "budget" else "name it with --"
        refused = f"is code outside this library; to run it, {remedy}" in error
        # The others need an evaluation, or a selector, first.
        assert refused or name in ("plot", "compare", "report", "select"), (name, error)
    for action in (agents.load, agents.resume, agents.evaluate):
        with pytest.raises(UsageError, match="code outside this library"):
            action(run)
    assert read_all(tmp_path) == {**before, run / ".lock": b""} and not mark.exists()


def test_naming_the_same_code_or_trust_executes_it(own_run: Path, tmp_path: Path, mark: Path) -> None:
    file = stranger(tmp_path, mark)
    evaluate = [
        "evaluate",
        str(change_spec(own_run, tmp_path / "run", env=str(file))),
        "--tasks",
        "2",
        "--episodes",
        "2",
    ]
    assert main([*evaluate, "--trust"]) == 0
    assert main([*evaluate, "--env", str(file)]) == 0
    assert mark.exists()
    assert agents.load(tmp_path / "run", env=str(file)).iteration == 1
    assert main(evaluate) == 2  # Consent holds for a single command.


def test_naming_other_code_is_refused(own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(own_run), "--env", "cartpole"]) == 2
    assert f"{own_run}: the run was trained with env 'navigation', not 'cartpole'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="was trained with model 'mlp', not 'reuploading'"):
        agents.load(own_run, model="reuploading")


def test_own_code_needs_no_consent_until_it_changes(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = stranger(tmp_path, mark), tmp_path / "run"
    assert main(["--env", str(file), *SMALL, "--out", str(run)]) == 0
    assert main(["resume", str(run), "--iterations", "2"]) == 0
    spec, *_ = parse_train(["--config", str(run)])
    assert spec.env == str(file)
    file.write_text(file.read_text() + "\n# edited\n")
    capsys.readouterr()
    assert main(["resume", str(run)]) == 2
    assert "has changed since you last trained with it" in capsys.readouterr().err
    assert main(["resume", str(run), "--trust"]) == 0  # It trains with the changed code, which is own code from now on.
    assert main(["evaluate", str(run), "--tasks", "2", "--episodes", "2"]) == 0


def test_remembered_code_is_trusted_under_its_own_name_only(own_run: Path, tmp_path: Path, mark: Path) -> None:
    file = stranger(tmp_path, mark)
    assert main(["--env", str(file), *SMALL, "--out", str(tmp_path / "own")]) == 0
    (moved := tmp_path / "elsewhere").mkdir()
    copied = moved / file.name
    copied.write_text(file.read_text())
    with pytest.raises(UsageError, match="code outside this library; to run it"):
        agents.load(change_spec(own_run, tmp_path / "run", env=str(copied)))


def test_config_may_be_overridden_by_a_trusted_plugin(own_run: Path, tmp_path: Path, mark: Path) -> None:
    run = change_spec(own_run, tmp_path / "run", env=str(stranger(tmp_path, mark)))
    spec, _, _, trust = parse_train(["--config", str(run), "--env", "navigation"])
    assert spec.env == "navigation" and not mark.exists() and not trust.everything
    with pytest.raises(UsageError, match="code outside this library"):
        parse_train(["--config", str(run), "--agent", "reptile"])
    with pytest.raises(HelpShown):
        parse_train(["--config", str(run), "--trust", "--help"])
    assert mark.exists()


def test_module_is_remembered_with_its_packages(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package := tmp_path / "plugins_of_mine").mkdir()
    (package / "__init__.py").touch()
    stranger(package, mark, "qrl.models.mlp").rename(package / "net.py")
    monkeypatch.syspath_prepend(tmp_path)
    code = MODELS.code("plugins_of_mine.net")
    assert code is not None and [Path(path).name for path, _ in code.files] == ["__init__.py", "net.py"]
    assert not mark.exists() and "plugins_of_mine" not in sys.modules  # Finding the files imports nothing.
    agents.train(tmp_path / "run", model="plugins_of_mine.net", progress=False, **TINY)
    agents.load(tmp_path / "run")
    (package / "__init__.py").write_text("changed = True\n")
    with pytest.raises(UsageError, match="has changed since you last trained with it"):
        agents.load(tmp_path / "run")


TINY = {
    "iterations": 1,
    "env_config": {"horizon": 3},
    "agent_config": {"meta_batch": 2, "episodes": 2},
    "threads": 1,
    "eval_tasks": 2,
    "eval_steps": 1,
    "eval_episodes": 2,
}


def test_training_without_a_state_folder_goes_on(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    file, run = stranger(tmp_path, mark), tmp_path / "run"
    assert main(["--env", str(file), *SMALL, "--out", str(run)]) == 0
    assert "Not a directory: later commands on the run will ask for --trust" in capsys.readouterr().err
    assert main(["evaluate", str(run)]) == 2


def test_state_folder_follows_the_xdg_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_folder() == tmp_path / ".local" / "state" / "qrl-meta"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state" / "qrl-meta"


def test_file_that_has_moved_is_named_where_it_is(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = stranger(tmp_path, mark), tmp_path / "run"
    assert main(["--env", str(file), *SMALL, "--out", str(run)]) == 0
    moved = file.rename(tmp_path / "moved.py")
    evaluate = ["evaluate", str(run), "--tasks", "2", "--episodes", "2"]
    capsys.readouterr()
    assert main(evaluate) == 2
    assert (
        "does not exist here; put it back, or evaluate or resume with its present path: --env FILE"
        in capsys.readouterr().err
    )
    assert main([*evaluate, "--env", str(moved)]) == 0 and capsys.readouterr().err == ""
    assert agents.load(run, env=str(moved)).spec.env == str(moved)
    moved.write_text(moved.read_text() + "\n# edited\n")
    assert main([*evaluate, "--env", str(moved)]) == 0
    assert f"the file of env, {moved}, has changed since training" in capsys.readouterr().err
    assert main(["resume", str(run), "--iterations", "2", "--env", str(moved)]) == 0
    moved.unlink()
    assert agents.load(run, env=envs.make("navigation", horizon=3)).iteration == 2  # an object in place of the file


def test_module_in_a_folder_without_init(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger_file = stranger(tmp_path, mark, "qrl.models.mlp")
    (folder := tmp_path / "namespace" / "inner").mkdir(parents=True)
    stranger_file.rename(folder / "net.py")
    monkeypatch.syspath_prepend(tmp_path)
    code = MODELS.code("namespace.inner.net")
    assert code is not None and [Path(path).name for path, _ in code.files] == ["net.py"]
    assert not mark.exists() and MODELS.load("namespace.inner.net").Config().depth == 2


def test_mistyped_option_is_not_taken_for_consent(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(own_run), "--threads", "1"]) == 2
    assert "--trust" not in capsys.readouterr().err


def test_model_of_a_budget_is_saved_with_its_path(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = stranger(tmp_path, mark, "qrl.models.mlp"), tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    budget = ("--model.budget", f"like:{file.name},budget=300")
    assert main(["--env", "navigation", *SMALL, *budget, "--out", str(run)]) == 0
    assert json.loads((run / "config.json").read_text())["spec"]["model_config"]["budget"] == f"like:{file},budget=300"
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    evaluate = ["evaluate", str(run), "--tasks", "2", "--episodes", "2"]
    assert main(evaluate) == 0
    file.write_text(file.read_text() + "\n# edited\n")
    capsys.readouterr()
    assert main(evaluate) == 2
    assert "to run it, add --trust (in Python: trust=True)" in capsys.readouterr().err
    assert main([*evaluate, "--trust"]) == 0
