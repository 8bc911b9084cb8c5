"""Output of commands that fail while running."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.experiment import api, start
from qrl.common.errors import TrainingError, UsageError
from tests.support.command_line import OURS, ROOT, refused


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("more wires than memory\nallows"), 2, "more wires than memory allows"),
        (TrainingError("iteration 3: the loss is nan"), 1, "iteration 3: the loss is nan"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"), 2, "/some/file: No space left on device"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), 2, "writing: Permission denied"),
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "link"), 2, f"link: {os.strerror(errno.ELOOP)}"),
        (MemoryError(), 2, "not enough memory; use fewer tasks, episodes or wires"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)"
            ),
            2,
            "not enough memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. "
            "Error code 12 (Cannot allocate memory); use fewer tasks, episodes or wires",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            f"No module named 'torch'; use .venv/bin/python, or install qrl-meta: pip install -e {ROOT}",
        ),
    ],
)
def test_errors_of_a_running_command(calls, capsys, monkeypatch, error, code, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(start, "run_training", fail)
    assert refused(capsys, OURS, code) == message


def test_ctrl_c_and_sigterm_end_a_command_at_once(calls, capsys, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM):
            monkeypatch.setattr(start, "run_training", lambda *_, n=number, **__: os.kill(os.getpid(), n))
            assert main(OURS) == 128 + number
            assert capsys.readouterr().err == "run.py: interrupted\n"
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_exit_code_is_right_if_stderr_is_closed(calls, monkeypatch):
    def fail(*_, **__):
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(start, "run_training", fail)
    reading, writing = os.pipe()
    closed = os.fdopen(writing, "w", closefd=False)
    os.close(writing)
    monkeypatch.setattr(sys, "stderr", closed)
    assert main(OURS) == 1
    monkeypatch.undo()
    os.close(reading)


def test_interrupts_and_bugs(calls, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    def bug(*_, **__):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(start, "run_training", interrupt)
    assert main(OURS) == 130
    monkeypatch.setattr(start, "run_training", bug)
    with pytest.raises(OSError, match="broken disk"):
        main(OURS)


@pytest.mark.parametrize("word", ["a\0b", "\udcff.py", "runs/\ud800"])
def test_words_that_are_no_text(calls, capsys, word):
    for arguments in (["--env", word], ["--out", word], ["evaluate", word], [word]):
        assert refused(capsys, arguments).startswith(
            f"argument: {word!r} is not text: it has a NUL character, or bytes"
        )
    assert calls == []


@pytest.mark.parametrize("env", ["a\\u0000b", "\\ud800"])
def test_configuration_with_names_that_are_no_text(calls, capsys, env):
    Path("config.json").write_text(f'{{"env": "{env}"}}')
    assert "is not text" in refused(capsys, ["--config", "config.json"])
    name = env.encode().decode("unicode_escape")
    with pytest.raises(UsageError, match=r"env: .* is not text"):
        api.train("run", env=name)
    with pytest.raises(UsageError, match="is not text"):
        api.load(name)
    with pytest.raises(UsageError, match=r"noise\[0\]: expected text"):
        api.train("run", noise=[name])
