"""The waiting policy of OpenMP is set before torch is loaded, by the commands alone."""

import ast
import os
import subprocess
import sys

import pytest

from agents.cli.waiting import PASSIVE
from tests.support.command_line import ROOT
from tests.support.run_folders import CONFIG

WATCH = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print({{key: os.environ.get(key) for key in {list(PASSIVE)}}}, flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
"""
"""Start of a program that prints the variables when torch is first imported, and ends there."""

COMMAND = "import qrl_meta; sys.argv = ['run.py', *sys.argv[1:]]; sys.exit(qrl_meta.main())"


def at_import_of_torch(program, *arguments, **variables):
    """Return the variables when torch is first imported, as Python shows them."""
    environment = {name: value for name, value in os.environ.items() if name not in PASSIVE} | variables
    command = [sys.executable, "-c", WATCH + program, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


@pytest.fixture
def run_folder(tmp_path):
    from agents.runs.folder import RunFolder

    return str(RunFolder.create(tmp_path / "run", CONFIG).path)


@pytest.mark.parametrize(
    "command", ["train", "resume", "evaluate", "robustness", "export", "draw", "plot", "compare", "report", "select"]
)
def test_commands_set_it_before_torch_is_imported(command, run_folder):
    arguments = {"train": [], "select": ["table.csv", "--target", "y"]}.get(command, [run_folder])
    assert at_import_of_torch(COMMAND, command, *arguments) == PASSIVE


@pytest.mark.parametrize("start", [["run.py"], ["-m", "agents"]])
def test_torch_reads_it_in_each_way_to_start(start, tmp_path):
    """libgomp shows what it has read; the run is refused only after torch has been imported."""
    environment = {name: value for name, value in os.environ.items() if name not in PASSIVE}
    command = [sys.executable, *start, "train", "--agent.episodes", "0", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"}, capture_output=True, text=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch has another OpenMP library")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr and "GOMP_SPINCOUNT = '0'" in done.stderr


@pytest.mark.parametrize("name", PASSIVE)
def test_a_setting_of_the_user_stays_and_nothing_is_added(name):
    assert at_import_of_torch(COMMAND, "train", **{name: "1"}) == dict.fromkeys(PASSIVE) | {name: "1"}


@pytest.mark.parametrize("package", ["agents", "envs", "qrl", "agents.cli.commands"])
def test_an_import_sets_nothing(package):
    assert at_import_of_torch(f"import {package}, torch") == dict.fromkeys(PASSIVE)


def test_nothing_is_set_in_a_process_with_torch():
    from agents.cli.main import main

    before = dict(os.environ)
    assert main(["list", "of", "nothing"]) == 2
    assert dict(os.environ) == before
