"""A sample of `benchmarks.misbehaving_environments`: a wrong result, a hang, and a kill in the middle of a step."""

import pytest

from benchmarks.fault_injection.misbehaviour import MIDDLE, Trial, misbehave
from benchmarks.fault_injection.stopped_steps import stop_in_a_step
from benchmarks.misbehaving_environments import trials, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    ("kind", "moment", "since", "workers"),
    [("longer observation", "step", MIDDLE, 0), ("loop in C", "step", MIDDLE, 2), ("SystemExit", "constructor", 0, 0)],
)
def test_misbehaviour_is_as_documented(kind, moment, since, workers, reference, tmp_path):
    trial = Trial(kind, moment, since, workers)
    assert trial in list(trials())
    row = misbehave(trial, tmp_path, reference)
    assert not row["failed"], row


def test_run_killed_in_a_step_is_resumed_at_once(reference, tmp_path):
    row = stop_in_a_step("SIGKILL of the main process", 2, tmp_path, reference)
    assert not row["failed"], row
