"""Training by several processes that `torchrun` starts: equal files, also after a process was killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.cli.main import PATIENCE, main
from agents.shards import launch, team
from qrl.common.errors import UsageError
from tests.support.command_line import ROOT

SMALL = ("--env", "navigation", "--env.horizon", "4", "--model", "mlp", "--agent.meta-batch", "4", "--agent.episodes")
ARGUMENTS = (*SMALL, "3", "--eval-tasks", "3", "--eval-episodes", "2", "--eval-steps", "1", "--threads", "1")


def start(world_size: int, *words: str, restarts: int = 0, program: Path = ROOT / "run.py") -> "subprocess.Popen[str]":
    """Start processes with torchrun; with one, without it."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world_size)]
    launcher += ["--max-restarts", str(restarts)]
    command = [sys.executable, *(launcher if world_size > 1 else []), str(program), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, text=True, env=environ, **pipes)


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=200)
    return process.returncode, out, errors


def content(run: Path) -> dict[str, bytes]:
    """Return what does not depend on the time or on the name of a run."""
    paths = [run / "metrics.jsonl", run / "evaluation.json", *sorted(run.glob("checkpoint/*/state.safetensors"))]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


TRAIN = ("train", *ARGUMENTS, "--iterations", "2", "--shards", "2", "--out")


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """Return the run of a training by one process."""
    out = tmp_path_factory.mktemp("one") / "run"
    assert main([*TRAIN, str(out)]) == 0
    return out


def test_two_processes_write_what_one_writes(one, tmp_path):
    out = tmp_path / "two"
    code, shown, errors = finished(start(2, *TRAIN, str(out)))
    assert code == 0, errors
    assert shown.count("navigation, maml, mlp: 3 test tasks") == 1  # the leading process alone prints
    assert len(re.findall(r"iteration \d/2 ", errors)) == 2
    assert content(out) == content(one)


THREADS = """
from pathlib import Path

import torch

from agents.shards.world import processes


def of_gloo():
    return [name for path in Path("/proc/self/task").glob("*/comm") if "gloo" in (name := path.read_text())]


with processes("cpu") as world:
    import torch.distributed.nn.functional  # as the first optimiser does

    world.gather(torch.ones(3))
    assert of_gloo()
assert not of_gloo()
"""


def test_threads_of_the_exchange_end_with_it(tmp_path):
    """One that outlives it may abort the process while Python exits, with everything written."""
    program = tmp_path / "threads.py"
    program.write_text(THREADS)
    code, _, errors = finished(start(2, program=program))
    assert code == 0, errors


MESSAGE = (
    "run.py: error: 2 processes cannot share 3 shards equally: start so many processes that they divide the shards"
)


@pytest.mark.parametrize("rank", [0, 1])
def test_usage_errors_are_said_by_the_first_process_at_once(rank, tmp_path, monkeypatch, capsys):
    """The other one leaves it the time to end both."""
    waited: list[float] = []
    monkeypatch.setattr("agents.cli.main.time.sleep", waited.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    assert main(["train", *ARGUMENTS, "--shards", "3", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith(MESSAGE)
    assert waited == [PATIENCE] * rank
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_usage_errors_are_said_once(tmp_path):
    words = ("train", *ARGUMENTS, "--shards", "3", "--out", str(tmp_path / "run"))
    code, _, errors = finished(start(2, *words))
    assert code != 0 and errors.count("run.py: error: ") == 1
    assert MESSAGE in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_killed_and_restarted_training_ends_with_the_same_bits(tmp_path):
    words = ("train", *ARGUMENTS, "--iterations", "60", "--checkpoint-every", "3", "--shards", "2", "--out")
    assert finished(start(1, *words, str(tmp_path / "whole")))[0] == 0
    out = tmp_path / "killed"
    process = start(2, *words, str(out), restarts=1)
    deadline = time.monotonic() + 60
    while not list(out.glob("checkpoint/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    code, _, errors = finished(process)
    assert code == 0, errors
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: expected a whole number, as torchrun sets it, found 'two'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE: expected a whole number, as torchrun sets it, found '0'"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE: expected a whole number, as torchrun sets it, found '999"),
        ({"WORLD_SIZE": "\u0663"}, "WORLD_SIZE: expected a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK: expected a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK: 2 must be less than WORLD_SIZE, 2"),
    ],
)
def test_variables_of_a_launcher_that_make_no_sense(environ, message):
    with pytest.raises(UsageError, match=message):
        launch.leads(environ)


@pytest.mark.parametrize("words", [["evaluate", "run"], ["sweep"], ["tune"], ["--seeds", "2"], ["list"]])
def test_commands_that_processes_cannot_share(words, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = "train --seeds" if words[0] == "--seeds" else words[0]
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(
        f"error: 2 processes were started: {command} is for one; `train --shards` and `resume` divide\n"
    )


def test_shards_are_divided_before_the_processes_connect(monkeypatch):
    """A process that ends while others connect would leave them with an error of their own."""
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setattr(team, "processes", None)
    with (
        pytest.raises(UsageError, match=r"^3 processes cannot share 4 shards equally: start so many"),
        team.team(4, "cpu"),
    ):
        pass


def test_variables_of_a_launcher():
    assert launch.leads({}) and launch.is_first({}) and launch.n_restarts({}) == 0
    second = {"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1", "TORCHELASTIC_RESTART_COUNT": "1"}
    assert not launch.leads(second) and not launch.is_first(second) and launch.n_restarts(second) == 1
    assert (launch.world_size(second), launch.local_rank(second)) == (4, 1)


def test_checkpoints_of_shards_hold_no_streams(one):
    """The streams of shards are seeded in each iteration, so that any number of processes can continue."""
    (state,) = one.glob("checkpoint/*/state.json")
    assert json.loads(state.read_text())["meta"]["rngs"] == {}
