"""The wheel works outside the checkout, in a separate environment with its dependencies."""

import os
import platform
import random
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support import user_code

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Wheel built as by `make wheel`."""
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A fresh environment with the wheel, followed by the packages of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


@pytest.fixture
def call(environment, tmp_path):
    """Run a program of that environment in an empty folder; return its output."""

    def run(*command):
        settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [environment / command[0], *command[1:]], cwd=tmp_path, env=settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_wheel_contains_only_the_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"qrl", "envs", "agents", "qrl_meta.py", "qrl_meta-0.1.0.dist-info"}
    data = {
        "qrl/py.typed",
        "envs/py.typed",
        "agents/py.typed",
        "envs/automl/table.safetensors",
        "envs/automl/rows.safetensors",
        "agents/select/selector/config.json",
    }
    assert data <= set(names)
    listed = subprocess.run(["git", "ls-files", "qrl", "envs", "agents"], cwd=ROOT, capture_output=True, text=True)
    sources = (".cpp", ".h", "CMakeLists.txt")
    tracked = {name for name in listed.stdout.split() if not name.endswith(sources)}
    built = {"qrl/simulator/native/qrl_native.so"}
    assert {name for name in names if name.startswith(("qrl/", "envs/", "agents/"))} == tracked | built


def test_wheel_fits_every_python_and_loads_without_a_compiler(wheel, environment, tmp_path):
    """The compilers are not on the PATH of the program, and torch, which has libraries of its own, is not imported."""
    assert wheel.name == f"qrl_meta-0.1.0-py3-none-linux_{platform.machine()}.whl"
    program = "from qrl.simulator.native.library import status; print(status())"
    done = subprocess.run(
        [environment / "python", "-c", program],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"native kernel: (avx2|avx512|generic) \((GCC|Clang) .*\)\n", done.stdout)


def test_installed_library_trains(call, tmp_path):
    program = """
import agents, envs
from envs import navigation
run = agents.train(
    "runs/one", env="navigation", env_config=navigation.Config(horizon=3), iterations=1, eval_tasks=2, eval_episodes=2,
    progress=False,
)
print(agents.__file__)
print(run.iteration, run.folder.config["commit"])
"""
    file, done = call("python", "-c", program).splitlines()[-2:]
    assert "site-packages" in file and str(ROOT) not in file
    assert done == "1 None"
    assert (tmp_path / "runs" / "one" / "evaluation.json").exists()


def test_both_forms_of_the_command_line(call):
    listed = call("qrl-meta", "list")
    assert "environments (--env)" in listed and "  maml " in listed
    assert call("python", "-m", "agents", "list") == listed
    assert call("qrl-meta", "--help").startswith("usage: qrl-meta [train]")


def test_shipped_selector_runs(call, tmp_path):
    draw = random.Random(0)
    rows = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(60)]
    text = "".join(f"{x:.3f},{y:.3f},{'high' if x > y else 'low'}\n" for x, y in rows)
    (tmp_path / "mine.csv").write_text("x,y,size\n" + text)
    call("qrl-meta", "select", "mine.csv", "--target", "size", "--evaluations", "1", "--no-compare")
    assert "cross-validation: " in call("python", "select-mine/best.py")


def test_user_code_type_checks_against_the_wheel(environment, tmp_path):
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(Path(user_code.__file__).read_text())
    # This would pass if mypy saw the name as Any.
    wrong.write_text("import agents\n\nn: str = agents.load('runs/one').evaluate(tasks=2).n_tasks\n")
    command = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={environment / 'python'}"]
    settings = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    done = subprocess.run([*command, "."], cwd=tmp_path, env=settings, capture_output=True, text=True)
    error, summary = done.stdout.splitlines()
    assert error.startswith('wrong.py:3: error: Incompatible types in assignment (expression has type "int", variable')
    assert summary == "Found 1 error in 1 file (checked 2 source files)"
