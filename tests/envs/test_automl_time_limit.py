"""Wall-clock budgets."""

import threading
import time

import numpy as np
import pytest

from envs.automl.time_limit import OutOfTime, TimeBudget, relative_durations


def test_code_is_ended_at_the_budget():
    """Also if the code ignores exceptions, as an algorithm that fails is ignored."""
    budget, started = TimeBudget(0.2), time.monotonic()

    def work():
        with budget.enforced():
            try:
                time.sleep(5)
            except Exception:
                pytest.fail("the end of the budget counts as a failure of the algorithm")

    with pytest.raises(OutOfTime):
        work()
    assert 0.15 < time.monotonic() - started < 2
    time.sleep(1.2)  # the timer was stopped: no second signal
    with pytest.raises(OutOfTime), budget.enforced():
        time.sleep(5)


def test_unlimited_budget_and_other_threads():
    with TimeBudget(None).enforced():
        pass
    assert TimeBudget(None).allows(1e9)
    finished = []

    def work():
        with TimeBudget(0.01).enforced():
            time.sleep(0.1)
            finished.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [True], "signals are received by the main thread only"


def test_what_the_budget_allows():
    budget = TimeBudget(100.0)
    assert budget.allows(90.0) and not budget.allows(101.0)
    assert budget.allows(40.0, share=0.5) and not budget.allows(60.0, share=0.5)


def test_relative_durations():
    """The second choice takes four times as long as the first, on each dataset: factors 1/2 and 2 of the mean."""
    seconds = np.array([[1.0, 4.0], [10.0, 40.0], [0.5, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(relative_durations(seconds), [0.5, 2.0])
