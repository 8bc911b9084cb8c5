"""The three ways to start the command line, in subprocesses."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.command_line import ROOT


def test_closed_pipe_is_not_an_error():
    command = f"{sys.executable} run.py --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


STARTS = {
    "run.py": [str(ROOT / "run.py")],
    "python -m agents": ["-m", "agents"],
    "qrl-meta": ["-c", "import sys, qrl_meta; sys.argv[0] = 'qrl-meta'; sys.exit(qrl_meta.main())"],
}


def started(name, arguments, folder, *path):
    """Run the command line in a subprocess, started in one of its three ways from another folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, *STARTS[name], *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", STARTS)
def test_usage_shows_how_it_was_started(tmp_path, name):
    done = started(name, ["trian"], tmp_path, ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: error: unknown command 'trian'; did you mean 'train'?")
    done = started(name, ["plot", "--help"], tmp_path, ROOT)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {name} plot")


@pytest.mark.parametrize("package", ["agents", "envs", "qrl"])
def test_conflicting_package_of_another_project_is_detected_at_startup(tmp_path, package):
    """For example openai-agents, which installs `agents`."""
    init = tmp_path / "site" / package / "__init__.py"
    init.parent.mkdir(parents=True)
    init.write_text("raise ImportError('never imported')")
    done = started("qrl-meta", ["list"], tmp_path, init.parents[1], ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"qrl-meta: error: the package '{package}' found at {init} is another project's")
    assert done.stderr.count("\n") == 1
    # Next to its own packages, run.py finds these first.
    assert started("run.py", ["list"], tmp_path, init.parents[1]).returncode == 0


def test_package_overwritten_by_another_project_is_detected(tmp_path):
    """Installed into the same folder later, it replaces __init__.py."""
    shutil.copy(ROOT / "qrl_meta.py", tmp_path)
    for package in ("qrl", "envs", "agents"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert started("qrl-meta", ["list"], tmp_path, tmp_path).returncode == 0
    (tmp_path / "agents" / "__init__.py").write_text("")
    done = started("qrl-meta", ["list"], tmp_path, tmp_path)
    assert done.returncode == 2 and "the package 'agents' found at" in done.stderr


def test_freed_memory_is_retained():
    program = """
import ctypes
from agents.cli.malloc import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usm fsm uord ford keep".split()]
libc.mallinfo2.restype = Info
def kept():
    before = libc.mallinfo2().arena
    libc.free(libc.malloc(64 << 20))
    return libc.mallinfo2().arena - before > 32 << 20
print(kept(), end=" ")
keep_freed_memory()
print(kept())
"""
    if not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"):
        pytest.skip("this C library cannot tell")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False True\n", done.stderr


def test_a_missing_dependency_is_one_line(tmp_path):
    """As with a Python in whose environment the program is not installed."""
    missing = "raise ModuleNotFoundError(\"No module named 'lazy_loader'\", name='lazy_loader')"
    (tmp_path / "lazy_loader.py").write_text(missing)
    done = started("run.py", ["list"], tmp_path, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("run.py: error: No module named 'lazy_loader': qrl-meta is not installed for ")
    assert done.stderr.count("\n") == 1
