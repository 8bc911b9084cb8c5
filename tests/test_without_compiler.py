"""Without a compiler, the installation succeeds and the fused executor runs."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow

TRAIN = ["train", "--env", "navigation", "--env.horizon", "3", "--iterations", "1", "--eval-tasks", "2", "--out", "run"]
SMALL = ["--agent.meta-batch", "2", "--agent.episodes", "2", "--eval-episodes", "2", "--eval-steps", "1"]


@pytest.fixture
def tree(tmp_path):
    """A copy of the source tree with a library of an earlier build."""
    copy = tmp_path / "tree"
    for name in ("qrl", "envs", "agents"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "qrl_meta.py", "run.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "qrl/simulator/native/qrl_native.so").write_bytes(b"of other sources")
    return copy


@pytest.mark.parametrize(
    ("editable", "broken"), [(False, "no compiler"), (True, "no compiler"), (True, "compiler fails")]
)
def test_installation_without_a_library(tree, tmp_path, editable, broken):
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QRL_ENGINE")}
    if broken == "no compiler":  # nor cmake, which the build then takes from its requirements
        settings |= {"PATH": str(tmp_path), "CC": "/nowhere/cc", "CXX": "/nowhere/c++"}
    else:
        (tree / "qrl/simulator/native/kernel.cpp").write_text("#error\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "-q"]
    subprocess.run([*pip, "--no-deps", *(["-e"] if editable else []), str(tree)], env=settings, check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

    def call(*arguments: str) -> str:
        command = [folder / "bin" / "qrl-meta", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert call("list").splitlines()[-1].startswith("native kernel: not built, the fused executor runs: ")
    assert "engine: fused\n" in call(*TRAIN, *SMALL)
    where = subprocess.run([python, "-c", "import qrl; print(qrl.__file__)"], cwd=tmp_path, env=settings, stdout=-1)
    assert Path(where.stdout.decode().strip()).is_relative_to(tree if editable else own)
