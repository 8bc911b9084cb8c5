"""The command line with plug-in files, and its error messages."""

from pathlib import Path

from agents.cli.main import main
from agents.core.spec import Spec

ROOT = Path(__file__).parents[2]

PLUGIN = '''"""A plug-in of mine."""
from dataclasses import dataclass, field
from typing import Literal

@dataclass(frozen=True)
class Steps:
    """How steps are taken."""

    rate: float = 0.1
    """Learning rate [1/step]; Finn et al. 2017."""

@dataclass(frozen=True)
class Config:
    """Options."""

    inner_steps: int = 1
    """Adaptation [gradient steps]."""
    goal: tuple[float, float] = (-0.5, 0.5)
    """Range [m]."""
    learned: bool = True
    """Learn them."""
    estimator: Literal["dice", "first-order"] = "dice"
    """Estimator."""
    limit: float | None = None
    """Limit [m]."""
    steps: Steps = field(default_factory=Steps)

    def __post_init__(self):
        if self.inner_steps < 1:
            raise ValueError(f"inner_steps must be at least 1, not {self.inner_steps}")

def defaults(env_name):
    return Config(inner_steps=len(env_name))

def build(config):
    return config
'''
OURS = ["--env", "place.py", "--agent", "learner.py", "--model", "net.py"]


def training_call(recorded) -> tuple[Spec, Path, dict]:
    ((name, (spec, out), keywords),) = recorded
    assert name == "run_training"
    recorded.clear()
    return spec, out, keywords


def refused(capsys, arguments, code=2) -> str:
    """Return the only line on stderr of a command that fails without other output or files."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("run.py: error: ")
    assert captured.err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return captured.err.removeprefix("run.py: error: ").removesuffix("\n")
