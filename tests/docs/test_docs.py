"""The examples in README, CONTRIBUTING and docs/ are run, as a reader would run them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
import torch

import agents
from agents.cli.main import main
from agents.study import executor as executors
from envs.core.registry import ENVS
from tests.docs.documents import DOCUMENTS, ROOT, blocks
from tests.support.studies import InProcess

SMALL = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "progress": False}
SMALL_AGENT = {
    "maml": {"meta_batch": 2, "episodes": 3, "epochs": 1},
    "rl2": {"meta_batch": 4, "minibatches": 1, "episodes": 10, "restarts": 1},
}


@pytest.fixture
def less_work(tmp_path, monkeypatch):
    """In an empty folder, the same calls with less work."""
    monkeypatch.chdir(tmp_path)
    train, resume, evaluate = agents.train, agents.resume, agents.experiment.run.Run.evaluate

    def small_train(out, *, agent="maml", agent_config=None, **options):
        config = {**(agent_config or {}), **SMALL_AGENT[agent]}
        return train(out, agent=agent, agent_config=config, **{**options, **SMALL})

    def small_resume(path, *, iterations, **options):
        return resume(path, iterations=2, progress=False, **options)

    monkeypatch.setattr(agents, "train", small_train, raising=False)
    monkeypatch.setattr(agents, "resume", small_resume, raising=False)
    monkeypatch.setattr(
        agents.experiment.run.Run, "evaluate", lambda self, **o: evaluate(self, **{**o, "tasks": 3, "episodes": 2})
    )


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 600


@pytest.mark.usefixtures("less_work")
@pytest.mark.parametrize("document", ["README.md", "docs/python.md", "docs/quantum-data.md"])
def test_python_examples(document, tmp_path, capsys):
    """All of a document, in order, with the names of the earlier ones."""
    names: dict = {}
    for example in blocks(document):
        exec(example, names)
        if "run.evaluate" in example:
            assert names["env"].action_space.contains(names["action"]) and (tmp_path / "curve.png").exists()
            assert isinstance(names["env"], gymnasium.Env) and names["curve"].x == [0, 1, 2, 3]
        if "policy.observe(" in example:
            assert names["terminated"] or names["truncated"]
        if "agents.resume(" in example:
            assert names["run"].iteration == 2 and names["run"].spec.env == "CartPole-v1 (given in Python)"
        if "print(bell" in example:
            assert capsys.readouterr().out.splitlines()[-1] == "True"
        if "family.case_states" in example:
            assert capsys.readouterr().out.startswith("0.75 0.75 Ceiling(value=0.6666666666666666, kind='exact')")
        if "curve.certificate" in example:
            assert names["certificate"].ceiling == pytest.approx(5 / 6) and names["certificate"].optimum == 1
        if "QuantumLayer(circuit)" in example:
            assert names["sampled"].backend["shots"] == 1000


def test_examples_of_studies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executors, "LocalProcesses", InProcess)
    sweep = agents.sweep

    def small_sweep(out, *, seeds, jobs, agent_config, iterations, **options):
        options |= {**SMALL, "env_config": {"horizon": 5}, "agent_config": {**agent_config, **SMALL_AGENT["maml"]}}
        return sweep(out, seeds=1, jobs=1, **options)

    monkeypatch.setattr(agents, "sweep", small_sweep, raising=False)
    sweeping, comparing = blocks("docs/studies.md")
    names: dict = {}
    exec(sweeping, names)
    study = names["study"]
    assert len(study.paths) == 4
    assert [run.iteration for run in study.runs()] == [1] * 4
    for path, own in zip((study.paths[0], study.paths[-1]), ("runs/a", "runs/b"), strict=True):
        shutil.copytree(path, own)
    exec(comparing, names)
    assert [group.label for group in names["section"].groups] == ["reuploading, inner-steps 1", "mlp, inner-steps 2"]
    assert Path("page.html").read_text().startswith("<!doctype html>")


def test_examples_of_tuning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tune = agents.tune

    def small_tune(out, *, trials, iterations, **options):
        small = {"env_config": {"horizon": 3}, "agent_config": SMALL_AGENT["maml"], "eval_tasks": 2, "tune_tasks": 2}
        return tune(out, trials=3, iterations=1, held_out_seeds=1, eval_episodes=2, **options, **small)

    monkeypatch.setattr(agents, "tune", small_tune, raising=False)
    (example,) = blocks("docs/tuning.md")
    names: dict = {}
    exec(example, names)
    assert set(names["tuning"].best) == {"agent.lr-heads", "agent.inner-step-size"}
    assert names["tuning"].config.exists()


def test_the_page_on_python_has_every_kind_of_example():
    text = "".join(blocks("docs/python.md"))
    assert all(call in text for call in ("run.evaluate", "policy.observe(", "agents.resume(", "Circuit("))


@pytest.mark.slow
@pytest.mark.usefixtures("less_work")
def test_examples_of_stable_baselines3(tmp_path):
    agents.train(tmp_path / "runs" / "cartpole", env="cartpole")
    names: dict = {}
    for example in blocks("docs/sb3.md"):
        for whole, quick in (
            ("10_000", "64"),
            ("4096", "64"),
            ("2048", "32"),
            ("rates}, seed=0", "rates}, n_steps=64"),
        ):
            example = example.replace(whole, quick)
        exec(example, names)
    assert names["ppo"].num_timesteps == 64 and names["mean"] > 0


@pytest.mark.slow
def test_examples_of_the_classifier():
    names: dict = {}
    for example in blocks("docs/classifier.md"):
        exec(example, names)
    assert names["pipeline"].score(names["X_test"], names["y_test"]) > 0.8
    assert names["search"].best_score_ > 0.8 and names["in_pennylane"].weights is names["network"].features.weights


OWN = "docs/custom-environments.md"
QUICK = ["--iterations", "1", "--threads", "1", "--eval-tasks", "2", "--eval-episodes", "2", "--agent.meta-batch", "2",
         "--agent.episodes", "3"]  # fmt: skip


@pytest.mark.usefixtures("less_work")
def test_example_of_an_environment_in_python(tmp_path):
    (example,) = (block for block in blocks(OWN) if "agents.train" in block)
    try:
        exec(example, names := {})
    finally:
        ENVS.unregister("tilted")
    assert names["run"].spec.env == "tilted" and (tmp_path / "runs/tilted/evaluation.json").exists()


def test_example_of_an_environment_in_a_file(tmp_path, monkeypatch):
    """The same class in a file, named by its path and as a module."""
    (whole,) = (block for block in blocks(OWN) if "agents.train" in block)
    (line,) = (block for block in blocks(OWN) if block.startswith("distribution ="))
    (tmp_path / "my_env.py").write_text(whole[: whole.index("tilted = ")] + line)
    monkeypatch.syspath_prepend(tmp_path)
    for index, name in enumerate((str(tmp_path / "my_env.py"), "my_env:distribution")):
        assert main(["--env", name, *QUICK, "--out", str(tmp_path / f"run{index}")]) == 0
    monkeypatch.delitem(sys.modules, "my_env")
    origins = [json.loads((tmp_path / f"run{i}/config.json").read_text())["origins"]["env"] for i in range(2)]
    assert [each["from"] for each in origins] == ["file", "module"] and origins[0]["sha256"] == origins[1]["sha256"]


def test_example_of_a_table_in_a_file(tmp_path, capsys):
    (example,) = (block for block in blocks(OWN) if "distribution = LookupTasks(" in block)
    (tmp_path / "mytable.py").write_text(example)
    name = str(tmp_path / "mytable.py")
    assert main(["--env", name, "--agent", "nearest_tasks", "--out", str(tmp_path / "run")]) == 0
    curve = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert curve["axis"] == "evaluations" and curve["n_tasks"] == 20
    assert main(["--env", name, "--agent", "tpe", "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_examples_of_gymnasium_ids(tmp_path):
    text = (ROOT / OWN).read_text()
    lines = re.findall(r"^python run.py (--env (?:CartPole|LunarLander).*?)(?:  +#.*)?$", text, flags=re.MULTILINE)
    cartpole, lander = (
        [*line.split(), *QUICK, "--agent.meta-batch", "8", "--env.horizon", "9", "--out", str(tmp_path / str(index))]
        for index, line in enumerate(lines)
    )
    assert main(cartpole) == 0
    done = subprocess.run(  # Box2D warns as it is imported, which as an error would end this process
        [sys.executable, "run.py", *lander], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_example_of_gymnasium_make():
    (example,) = (block for block in blocks(OWN) if "make_vec" in block)
    exec(example, names := {})
    assert names["observations"].shape == (64, 4)


FILES = {
    "envs/drift.py": "class Drift",
    "qrl/models/quadratic.py": "class Quadratic",
    "agents/first_order.py": "class FirstOrderMAML",
    "qrl/models/elman.py": "class Elman",
}


def example_of(file: str) -> str:
    (example,) = (block for block in blocks("CONTRIBUTING.md") if FILES[file] in block)
    return example


def test_every_example_of_contributing_is_tested():
    assert len(blocks("CONTRIBUTING.md")) == len(FILES)


@pytest.mark.parametrize(("option", "file"), list(zip(("--env", "--model", "--agent", "--model"), FILES, strict=True)))
def test_contributing_examples_are_one_file_each(tmp_path, option, file):
    mine, out = tmp_path / "mine.py", tmp_path / "run"
    mine.write_text(example_of(file))
    arguments = ["--iterations", "2", "--threads", "1", "--env.horizon", "5", "--agent.meta-batch", "2"]
    arguments += ["--agent.episodes", "3", "--eval-tasks", "2", "--eval-episodes", "2", "--out", str(out)]
    if "elman" in file:
        arguments += ["--agent", "rl2", "--agent.minibatches", "1"]
    assert main([option, str(mine), *arguments]) == 0
    assert (out / "evaluation.json").exists() and agents.load(out).iteration == 2


def test_contributing_example_of_an_agent_learns_and_resumes(tmp_path):
    """Training moves its parameters, and a resumed run ends in the bits of an uninterrupted one."""
    mine, whole, cut = tmp_path / "mine.py", tmp_path / "whole", tmp_path / "cut"
    mine.write_text(example_of("agents/first_order.py"))
    options = {**SMALL, "iterations": 2, "checkpoint_every": 1, "env_config": {"horizon": 5}}
    agents.train(whole, agent=str(mine), agent_config={"meta_batch": 2, "episodes": 3}, **options)
    shutil.copytree(whole, cut)
    for newest in (cut / "checkpoint").glob("00000002*"):
        newest.unlink() if newest.is_file() else shutil.rmtree(newest)
    with pytest.warns(UserWarning, match="a checkpoint of iteration 2 or later is missing"):
        first = agents.load(cut)
    last, resumed = agents.load(whole).agent.state_dict(), agents.resume(cut, progress=False).agent.state_dict()
    assert first.iteration == 1 and last.keys() == resumed.keys()
    assert all(torch.equal(last[name], resumed[name]) for name in last)
    assert any(not torch.equal(last[name], value) for name, value in first.agent.state_dict().items())


@pytest.mark.slow
def test_contributing_examples_saved_in_the_folders_pass_every_check(tmp_path):
    """In a copy of the checkout: what CONTRIBUTING promises of a new file, with nothing else edited."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("qrl", "envs", "agents", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if (ROOT / ".mypy_cache").exists():  # a copy saves mypy half a minute
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    for file in FILES:
        (tmp_path / file).write_text(example_of(file))
    rooms = {"envs": "envs", "models": "qrl", "agents": "agents"}
    conformance = [f"tests/{room}/test_{kind}_conformance.py" for kind, room in rooms.items()]
    conformance.append("tests/qrl/test_recurrent_models.py")
    for command in (
        ["ruff", "check", "--no-cache", *FILES],
        ["ruff", "format", "--no-cache", "--check", *FILES],
        ["mypy", *FILES],
        ["pytest", "-v", "-p", "no:cacheprovider", *conformance, "-k", "drift or quadratic or first_order or elman"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for path, name in zip(conformance, ("drift", "quadratic", "first_order", "elman"), strict=True):
        assert re.search(rf"{re.escape(path)}::\S+\[.*{name}.*\] PASSED", done.stdout), f"{name} was not met"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_no_private_name(document):
    private = re.findall(r"\b(?:qrl|envs|agents)[./](?:\w+[./])*_[a-z]\w*", document.read_text(encoding="utf-8"))
    assert not private
