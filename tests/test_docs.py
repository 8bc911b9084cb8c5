"""The examples in README and CONTRIBUTING are run, as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import agents
from agents import maml

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "progress": False}


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)


def test_readme_example_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, evaluate = agents.train, agents._api.Run.evaluate
    config = maml.Config(meta_batch=2, episodes=3, epochs=1)
    # The same calls with less work.
    monkeypatch.setattr(
        agents, "train", lambda out, **o: train(out, **{**o, **SMALL, "agent_config": config}), raising=False
    )
    monkeypatch.setattr(
        agents._api.Run, "evaluate", lambda self, **o: evaluate(self, **{**o, "tasks": 3, "episodes": 2})
    )
    (example,) = (block for block in blocks("README.md") if "agents.train" in block)
    names: dict = {}
    exec(example, names)
    assert names["env"].action_space.contains(names["action"]) and (tmp_path / "curve.png").exists()
    assert isinstance(names["env"], gymnasium.Env) and names["curve"].x == [0, 1, 2, 3]


def test_readme_example_of_a_circuit(capsys):
    (example,) = (block for block in blocks("README.md") if "Circuit(" in block)
    exec(example, {})
    assert capsys.readouterr().out.splitlines()[-1] == "True"


@pytest.mark.parametrize(("option", "title"), [("--env", "unknown drift"), ("--model", "pairs of inputs")])
def test_contributing_examples_are_one_file_each(tmp_path, option, title):
    (example,) = (block for block in blocks("CONTRIBUTING.md") if block.startswith('"""') and title in block[:80])
    file = tmp_path / "mine.py"
    file.write_text(example)
    arguments = ["--iterations", "1", "--threads", "1", "--agent.meta-batch", "2", "--agent.episodes", "3"]
    arguments += ["--env.horizon", "5", "--eval-tasks", "2", "--eval-episodes", "2", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "run.py", option, str(file), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/evaluation.json").exists()


def test_names_in_the_readme_exist():
    """Every plug-in is in the README's tables."""
    from qrl.plugins import available

    text = (ROOT / "README.md").read_text()
    for kind in ("envs", "models"):
        for name in available(kind):
            assert f"`{name}`" in text, name
