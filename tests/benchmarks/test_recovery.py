"""A sample of `benchmarks.recovery`: kills, stops before system calls, damaged files, a second process."""

import os
import shutil

import pytest
import torch

from agents.cli.main import main
from benchmarks.fault_injection import calls, damage, outside, runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted training in this process; killed runs use separate processes."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(runs.training(run, 12)) == 0
    return runs.Whole(run, 12, seconds=0.0, start_up=0.0, bytes=runs.outcome(run))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return runs.small_runs(tmp_path_factory.mktemp("small"))


@pytest.mark.slow
def test_run_killed_twice_and_resumed_equals_an_uninterrupted_one(whole, tmp_path):
    run = tmp_path / "run"
    for checkpoint in ("00000003", "00000006"):  # resuming uses the second
        command = runs.going_on(run, whole.iterations)
        assert outside.kill(command, after=0.02, since=run / "checkpoint" / checkpoint)
        assert outside.stage(run, whole).startswith("training") and runs.newest(run) >= int(checkpoint)
    assert runs.going_on(run, whole.iterations) == ["resume", str(run)]
    ended = runs.Ended(main(["resume", str(run)]), "")
    assert runs.failures(ended, run, whole) == []


@pytest.mark.slow
def test_second_process_is_rejected_and_the_first_unharmed(whole, tmp_path):
    trial = outside.second_process(whole, tmp_path, names=["resume"])
    assert not trial["failed"], trial


def test_stop_before_any_system_call_loses_nothing(small, tmp_path):
    trials = list(calls.stopped(small[0], tmp_path))
    assert {trial["struck"][0] for trial in trials} == calls.OPERATIONS.keys() and len(trials) > 80
    assert [trial for trial in trials if trial["failed"]] == []


def test_damaged_files_are_detected_and_named(small, tmp_path):
    trials = damage.mutated(*small, tmp_path, count=60, seed=0)
    assert {trial["struck"][0] for trial in trials} == damage.MUTATIONS.keys()
    assert [trial for trial in trials if trial["verdict"] != "recognised"] == []


def test_comparison_detects_changes(whole, tmp_path):
    """The comparison detects one changed byte in each file and ignores training times."""
    ended = runs.Ended(0, "")
    for name, change in {
        "checkpoint/00000012/state.safetensors": (b"\0", b"\1"),
        "checkpoint/00000012/state.json": (b'"env_steps": ', b'"env_steps": 1'),
        "metrics.jsonl": (b'"loss": ', b'"loss": 1'),
        "evaluation.json": (b'"mean"', b'"Mean"'),
        "adaptation.png": (b"IDAT", b"IDAX"),
    }.items():
        copy = tmp_path / "copy"
        shutil.copytree(whole.path, copy)
        data = (copy / name).read_bytes()
        assert change[0] in data
        (copy / name).write_bytes(data.replace(*change, 1))
        assert len(runs.failures(ended, copy, whole)) == 1
    shutil.copytree(whole.path, copy)
    state = copy / "checkpoint/00000012/state.json"
    state.write_bytes(state.read_bytes().replace(b'"seconds": ', b'"seconds": 1'))
    assert runs.failures(ended, copy, whole) == []


def test_stop_leaves_the_same_files_as_a_kill(tmp_path):
    with calls.stopping(1) as made:
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        for _ in range(2):  # nothing happens after it
            with pytest.raises(calls.Stop):
                os.write(descriptor, b"0123456789")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"01234" and made == ["open", "write", "write"]
    assert runs.equal({"a": torch.ones(2)}, {"a": torch.ones(2)})
    assert not runs.equal({"a": torch.ones(2)}, {"a": torch.zeros(2)})
