"""Callbacks of training: what they receive, and exceptions in them."""

import pytest

import agents
from agents.experiment.loop import Training
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError
from tests.support.killed_training import Killed

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = {
    "env": "navigation", "env_config": {"horizon": 5}, "agent": "maml", "model": "mlp",
    "model_config": {"hidden": [3]}, "agent_config": {"meta_batch": 2, "episodes": 2}, "iterations": 4,
    "checkpoint_every": 3, "threads": 1,
    "validate_every": 2, "validate_tasks": 2, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "progress": False,
}  # fmt: skip


class Recorder:
    def __init__(self) -> None:
        self.rows, self.curves, self.runs = [], [], []

    def on_iteration(self, run, row):
        self.rows.append(row)
        self.runs.append(run)

    def on_evaluation(self, run, curve):
        self.curves.append(curve)
        self.runs.append(run)


class Pruned(Exception):
    """Stands for the exception of a search that ends hopeless runs."""


class Pruning(Recorder):
    def __init__(self, where: str, iteration: int) -> None:
        super().__init__()
        self.where, self.iteration = where, iteration

    def on_iteration(self, run, row):
        super().on_iteration(run, row)
        if self.where == "iteration" and row["iteration"] == self.iteration:
            raise Pruned("hopeless")

    def on_evaluation(self, run, curve):
        super().on_evaluation(run, curve)
        if self.where == curve.split and curve.iteration == self.iteration:
            raise Pruned("hopeless")


def test_callbacks_receive_rows_and_curves(tmp_path):
    recorder = Recorder()
    run = agents.train(tmp_path / "run", callbacks=[recorder], **SMALL)
    assert recorder.rows == run.metrics()
    assert [(curve.split, curve.iteration) for curve in recorder.curves] == [
        ("validation", 2), ("validation", 4), ("test", 4)
    ]  # fmt: skip
    assert [curve.mean for curve in recorder.curves[:2]] == [row["mean"] for row in run.validations()]
    assert recorder.curves[2].per_task == run.evaluate(tasks=2, steps=1, episodes=2).per_task
    assert all(each.path == tmp_path / "run" and each.spec.iterations == 4 for each in recorder.runs)
    assert isinstance(recorder, agents.Callback)


@pytest.mark.parametrize(
    ("where", "iteration", "checkpoints"),
    [("iteration", 1, [1]), ("iteration", 4, [3, 4]), ("validation", 2, [2]), ("test", 4, [3, 4])],
)
def test_exception_propagates_after_a_checkpoint_and_the_run_can_be_resumed(tmp_path, where, iteration, checkpoints):
    whole = agents.train(tmp_path / "whole", **SMALL)
    with pytest.raises(Pruned, match=r"^hopeless$"):
        agents.train(tmp_path / "run", callbacks=[Pruning(where, iteration)], **SMALL)
    assert RunFolder.open(tmp_path / "run").checkpoints.iterations() == checkpoints
    later = Recorder()
    resumed = agents.resume(tmp_path / "run", callbacks=(later,), progress=False)
    assert [row["iteration"] for row in later.rows] == list(range(iteration + 1, 5))
    assert resumed.metrics() == whole.metrics() and resumed.validations() == whole.validations()


def test_callbacks_change_no_bit_of_the_run(tmp_path):
    runs = [agents.train(tmp_path / str(n), callbacks=[Recorder()] * n, **SMALL) for n in (0, 2)]
    assert runs[0].metrics() == runs[1].metrics()


def test_no_exception_of_training_reaches_a_callback(tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "step", lambda self: (_ for _ in ()).throw(Killed()))
    recorder = Recorder()
    with pytest.raises(Killed):
        agents.train(tmp_path / "run", callbacks=[recorder], **SMALL)
    assert not recorder.rows and not recorder.curves


class Half:
    def on_iteration(self, run, row):
        pass


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "message"),
    [([Half()], "callbacks: Half has no on_evaluation"), (3, "callbacks: expected a list of callbacks, found 3")],
)
def test_other_objects_are_refused(tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        agents.train(tmp_path / "run", callbacks=given, **SMALL)
    assert not (tmp_path / "run").exists()
