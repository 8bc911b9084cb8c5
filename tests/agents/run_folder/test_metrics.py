"""Metrics files survive damaged lines, a full disk and non-finite numbers."""

import pytest

from qrl.common.errors import TrainingError, UsageError
from tests.support.run_folders import full_disk


def test_metrics_round_trip(run):
    rows = [{"iteration": i, "return_by_step": [-40.4, -11.7 / i], "env_steps": 10**12} for i in (1, 2, 3)]
    for row in rows:
        run.metrics.append(row)
    assert run.metrics.rows() == rows
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_number_stops_the_run_and_writes_nothing(run, bad):
    run.metrics.append({"iteration": 1})
    with pytest.raises(
        TrainingError, match=rf"^non-finite number: return_by_step\[1\] is {bad}, losses.policy is {bad}$"
    ):
        run.metrics.append({"iteration": 2, "return_by_step": [1.0, bad], "losses": {"policy": bad}})
    assert run.metrics.rows() == [{"iteration": 1}]


def test_incomplete_last_line_is_skipped_and_truncated(run):
    for i in (1, 2, 3):
        run.metrics.append({"iteration": i})
    path = run.path / "metrics.jsonl"
    with path.open("ab") as file:
        file.write(b'{"iteration": 4, "ret')
    assert [row["iteration"] for row in run.metrics.rows()] == [1, 2, 3]
    run.metrics.trim(2)
    assert path.read_bytes() == b'{"iteration": 1}\n{"iteration": 2}\n'
    run.metrics.append({"iteration": 3})
    assert [row["iteration"] for row in run.metrics.rows()] == [1, 2, 3]


def test_trimming_keeps_every_digit(run):
    rows = [{"iteration": i, "x": 1 / (3 + i), "y": 1e-300 * i} for i in (1, 2)]
    for row in rows:
        run.metrics.append(row)
    before = (run.path / "metrics.jsonl").read_bytes()
    run.metrics.trim(5)
    assert (run.path / "metrics.jsonl").read_bytes() == before
    run.metrics.trim(1)
    assert before.startswith((run.path / "metrics.jsonl").read_bytes())
    assert run.metrics.rows() == rows[:1]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"{}", b'{"iteration": "1"}', b'{"iteration": 2, "x": NaN}', b"\xff"])
def test_damaged_middle_line_is_reported_and_dropped_on_resume(run, line):
    path = run.path / "metrics.jsonl"
    path.write_bytes(b'{"iteration": 1}\n' + line + b'\n{"iteration": 3}\n')
    with pytest.raises(UsageError, match="line 2 is"):
        run.metrics.rows()
    (problem,) = run.metrics.trim(3)
    assert "line 2 is" in problem
    assert run.metrics.rows() == [{"iteration": 1}, {"iteration": 3}]
    assert run.metrics.trim(1) == []
    assert path.read_bytes() == b'{"iteration": 1}\n'


@pytest.mark.parametrize("after", [0, 1, 9])
def test_full_disk_leaves_no_partial_row(run, monkeypatch, after):
    run.metrics.append({"iteration": 1})
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        with pytest.raises(UsageError, match=r"metrics\.jsonl: No space left on device$"):
            run.metrics.append({"iteration": 2})
    assert (run.path / "metrics.jsonl").read_bytes() == b'{"iteration": 1}\n'
    run.metrics.append({"iteration": 2})
    assert run.metrics.rows() == [{"iteration": 1}, {"iteration": 2}]
