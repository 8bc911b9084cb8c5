"""Progress of a study: the table, its lines, and the time that is left."""

import io
from pathlib import Path

import pytest

from agents.core.spec import Spec
from agents.study.display import Display
from agents.study.plan import PlannedRun
from agents.study.progress import RunProgress, clock, line, summary, table, time_left

SPEC = Spec.default(iterations=9)


def progress(name, state, iteration=0, seconds=0.0, *, trains=True, **more) -> RunProgress:
    """Progress of the run `group-seedN`."""
    run = PlannedRun(name, name.partition("-")[0], (), SPEC, trains)
    return RunProgress(run, Path(name), state, iteration, seconds=seconds, **more)


def test_time_left_by_hand():
    # Nine iterations and one unit for start and evaluation.
    done, waiting = progress("a-seed0", "done", 9, 20.0), progress("a-seed1", "waiting")  # 2 s per unit
    assert time_left([done, waiting], 1) == 20.0
    running = progress("b-seed0", "running", 4, 12.0)  # 3 s per iteration; 6 units left
    assert time_left([running], 1) == 18.0
    # Two jobs: 18 s and 20 s in parallel; the longest run alone takes 20 s.
    assert time_left([done, waiting, running], 2) == 20.0
    assert time_left([done, waiting, running], 1) == 38.0
    # A combination without any run has the mean pace of the others, 2.5 s.
    other = progress("c-seed0", "waiting")
    assert time_left([done, waiting, running, other], 2) == (20 + 18 + 25) / 2
    # A resumed run counts from where this sweep began: two iterations in 4 s; four units left.
    resumed = progress("d-seed0", "running", 6, 4.0, started_at=4)
    assert time_left([resumed], 1) == 8.0
    # An agent that does not learn is one unit.
    assert (
        time_left([progress("e-s", "done", 0, 3.0, trains=False), progress("e-t", "waiting", trains=False)], 1) == 3.0
    )
    assert time_left([waiting], 1) is None
    assert time_left([done], 1) == 0.0


RUNS = [
    progress("a-seed0", "done", 9, 20.0, returns=(-12.5, -3.25)),
    progress("a-seed1", "running", 4, 8.0, returns=(-20.0, -10.0)),
    progress("a-seed2", "failed", 1, 2.0),
    progress("a-seed3", "waiting"),
]


def test_table_by_hand():
    assert table(RUNS, jobs=1, columns=100, lines=24) == [
        "run      state     iteration  return            time",
        "a-seed0  done            9/9  -12.50 -> -3.25   0:20",
        "a-seed1  running         4/9  -20.00 -> -10.00  0:08",
        "a-seed2  failed          1/9                    0:02",
        "a-seed3  waiting         0/9",
        "1 of 4 done, 1 running, 1 waiting, 1 failed, about 0:32 left",
    ]


def test_table_fits_into_the_terminal():
    rows = table(RUNS, jobs=1, columns=30, lines=6)
    assert rows == [
        "run      state     iteration",
        "a-seed1  running         4/9",
        "a-seed2  failed          1/9",
        "and 2 more",
        "1 of 4 done, 1 running, 1 wai",
    ]
    assert len(table(RUNS, jobs=1, columns=30, lines=7)) == 6


def test_line_of_a_finished_run():
    assert line(RUNS[0], RUNS[:1], 1) == "a-seed0 done: return -12.50 -> -3.25 in 0:20 (1 of 1 done)"
    assert summary(RUNS[3:], 1) == "0 of 1 done, 1 waiting"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (60.0, "1:00"), (3600.0, "1:00:00"), (36061.0, "10:01:01")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_is_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    stream = Terminal()
    display = Display(RUNS[2:], 1, stream=stream)
    display.update()
    display.update()  # too early for a second drawing
    first = stream.getvalue()
    assert first.count("a-seed2") == 1 and "\x1b" not in first
    display.finished(RUNS[2], "failed: a-seed2: no space\x1b left")
    display.close()
    rest = stream.getvalue().removeprefix(first)
    assert rest.startswith("\x1b[4A\x1b[Jfailed: a-seed2: no space\\x1b left\nrun ")
    assert rest.count("a-seed3") == 1


def test_other_streams_get_a_line_for_each_finished_run():
    stream = io.StringIO()
    display = Display(RUNS, 1, stream=stream)
    display.update()
    display.finished(RUNS[2], "failed: a-seed2: why")
    display.close()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("a-seed2 failed in 0:02 (1 of 4 done, 1 running, 1 waiting, 1 failed")
    assert second == "failed: a-seed2: why"
    quiet = io.StringIO()
    Display(RUNS, 1, quiet=True, stream=quiet).finished(RUNS[2], "failed")
    assert quiet.getvalue() == ""
