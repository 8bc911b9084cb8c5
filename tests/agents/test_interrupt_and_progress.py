"""Signals between iterations, and the progress output."""

import io
import os
import signal
import threading

import pytest

from agents.runs.interrupt import Interrupted, Interrupts, stopping_at_once
from agents.runs.progress import Progress


def row(iteration, env_steps, seconds):
    return {
        "iteration": iteration,
        "env_steps": env_steps,
        "seconds": seconds,
        "return_by_step": [-40.4, -20.0, -11.7],
    }


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_recorded_and_the_old_handler_restored(number):
    def mine(*_):
        raise AssertionError("the old handler ran")

    before = signal.signal(number, mine)
    try:
        with Interrupts() as stop:
            assert not stop
            os.kill(os.getpid(), number)
            assert stop
            assert stop.signal == number
            os.kill(os.getpid(), signal.SIGTERM)  # The first one counts.
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)


@pytest.fixture
def default():
    """Python's own SIGINT handler: under nohup, or in the background of make, the tests inherit an ignored signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_handlers_are_restored_after_an_error(default):
    inside = None

    def work():
        nonlocal inside
        with Interrupts():
            inside = signal.getsignal(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert inside is not None
    assert inside is not default
    assert signal.getsignal(signal.SIGINT) is default


def test_first_signal_is_acknowledged_and_second_ctrl_c_stops_immediately(default, capfd):
    with Interrupts() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        expected = "finishing this iteration, then saving; press Ctrl-C again to stop now"
        assert capfd.readouterr().err.strip() == expected
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.value.exit_code == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL, "one more ends the process"
    assert signal.getsignal(signal.SIGINT) is default


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_immediate_stop(default, number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, stopping_at_once():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_install_no_handlers():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interrupts() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.signal))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


def test_one_line_per_iteration_without_a_terminal():
    stream = io.StringIO()
    with Progress(total=3, stream=stream) as progress:
        progress.update(row(1, 80_000, 2.0))
        progress.note("saved")
        progress.update(row(2, 200_000, 4.0))
    assert stream.getvalue() == (
        "iteration 1/3  return -40.40 -> -11.70  80,000 env steps  40,000 steps/s  00:04 left\n"
        "saved\n"
        "iteration 2/3  return -40.40 -> -11.70  200,000 env steps  60,000 steps/s  00:02 left\n"
    )


def test_remaining_time_in_hours_and_zero_elapsed_time():
    stream = io.StringIO()
    Progress(total=101, start=99, stream=stream).update(row(100, 0, 0.0))
    Progress(total=3, stream=stream).update(row(1, 1, 3725.0))
    assert stream.getvalue().splitlines()[0].endswith("0 steps/s  00:00 left")
    assert stream.getvalue().splitlines()[1].endswith("2:04:10 left")


def test_progress_bar_on_a_terminal():
    stream = Terminal()
    progress = Progress(total=20, start=10, stream=stream)
    for iteration in range(11, 21):
        progress.update(row(iteration, iteration * 1000, iteration / 2))
    progress.note("a note")
    progress.close()
    progress.close()
    text = stream.getvalue()
    assert "20/20" in text
    assert "10/20" in text
    assert "return -40.40 → -11.70, 2,000 steps/s" in text
    assert "a note\n" in text
