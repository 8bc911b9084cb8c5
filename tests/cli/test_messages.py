"""Lines on standard error: no warning of a library beside an error, and each message is one printable line."""

import io
import logging
import sys
import threading
import warnings

import pytest

from agents.cli.main import main
from agents.experiment import start
from agents.runs.interrupt import Interrupted
from agents.runs.messages import MOST_HELD, held_warnings, tell, warn
from agents.runs.progress import Progress
from qrl.common.errors import TrainingError, UsageError
from tests.support.command_line import OURS, refused


class Broken:
    def __del__(self):
        raise ValueError("in a destructor")


def complain_in_every_way():
    warnings.simplefilter("always")
    for _ in range(2):
        warnings.warn("two\nlines", RuntimeWarning, stacklevel=1)
    assert logging.lastResort is not None  # takes what no handler takes; pytest has handlers
    logging.lastResort.handle(logging.makeLogRecord({"name": "some.library", "msg": "a record", "levelno": 30}))
    Broken()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("error", "code"), [(UsageError("wrong"), 2), (TrainingError("wrong"), 1), (MemoryError(), 2)])
def test_no_line_stands_beside_an_error(calls, capsys, monkeypatch, error, code):
    def fail(*_, **__):
        complain_in_every_way()
        raise error

    monkeypatch.setattr(start, "run_training", fail)
    with warnings.catch_warnings():
        assert refused(capsys, OURS, code) in ("wrong", "not enough memory; use fewer tasks, episodes or wires")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("interrupted", [False, True])
def test_warnings_are_lines_at_the_end(capsys, interrupted):
    shown, last, ignored = warnings.showwarning, logging.lastResort, sys.unraisablehook
    try:
        with warnings.catch_warnings(), held_warnings():
            complain_in_every_way()
            assert capsys.readouterr().err == ""
            if interrupted:
                raise Interrupted(2)
    except Interrupted:
        assert interrupted
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: RuntimeWarning: two lines (test_messages.py, line ")
    assert lines[1] == "warning: some.library: a record"
    assert "in a destructor" in lines[2]
    assert lines[3] == "warning: exception in a thread: ZeroDivisionError('division by zero')"
    assert len(lines) == 4
    assert (warnings.showwarning, logging.lastResort, sys.unraisablehook) == (shown, last, ignored)


def test_number_of_held_warnings_is_bounded(capsys):
    with warnings.catch_warnings(), held_warnings():
        warnings.simplefilter("always")
        for index in range(MOST_HELD + 7):
            warnings.warn(f"warning {index}", stacklevel=1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MOST_HELD + 1
    assert lines[-1] == "warning: 7 more warnings"


def test_messages_are_one_printable_line(capsys, monkeypatch):
    warn("a\nname \x1b[31m with \x00 and \udcff, ünïcode")
    assert capsys.readouterr().err == "warning: a name \\x1b[31m with \\x00 and \\udcff, ünïcode\n"
    assert main(["\x1b[2J\nx"]) == 2
    assert capsys.readouterr().err.startswith("run.py: error: unknown command '\\x1b[2J\\nx'")


def test_stderr_that_takes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    tell("text")
    Progress(3).note("text")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    tell("text")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_streams_escape_what_their_encoding_lacks(monkeypatch, name):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, name, stream)
    assert main(["nonsénse"] if name == "stderr" else ["--help"]) in (0, 2)
    stream.flush()
    assert stream.buffer.getvalue().decode("ascii")


def test_options_of_other_plugins_name_their_owners(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, ["--model", "mlp", "--model.n-circuits", "3"])
    assert message == "unknown option --model.n-circuits; model mlp has no such option; qgru, qlstm have it"
    assert refused(capsys, ["--env", "navigation", "--env.hrizon", "3"]).endswith("did you mean --env.horizon?")


def test_notes_do_not_stand_beside_errors(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--ood gravity: the parameter needs a train range" in refused(
        capsys, ["--env", "CartPole-v1", "--ood", "gravity=1:2"]
    )
