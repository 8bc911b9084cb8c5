"""Experiment trackers: TensorBoard's event file read back, the others in their offline modes."""

import importlib
import importlib.util
import json
import sqlite3
import struct
from pathlib import Path

import pytest

import agents
from agents.cli.main import main
from agents.experiment.evaluation import Curve
from agents.tracking import tracking
from agents.tracking.tracker import TrackedRun, curve_values, row_values
from qrl.common.errors import UsageError
from tests.agents.test_callbacks import SMALL, Pruned, Pruning
from tests.support.maml_training import spec

pytestmark = pytest.mark.usefixtures("no_pictures")

ARGUMENTS = [
    "--env", "navigation", "--env.horizon", "5", "--model", "mlp", "--model.hidden", "3", "--agent.meta-batch", "2",
    "--agent.episodes", "2", "--iterations", "4", "--validate-every", "2", "--validate-tasks", "2", "--eval-tasks", "2",
    "--eval-steps", "1", "--eval-episodes", "2", "--threads", "1",
]  # fmt: skip


def curve(n_x: int) -> Curve:
    numbers = [float(x) for x in range(n_x)]
    same = dict.fromkeys(("env_steps", "ci_low", "ci_high", "iqm"), numbers)
    return Curve(
        "navigation", "maml", "", "validation", 2, 0, "gradient_steps", list(range(n_x)), list(range(n_x)),
        mean=numbers, worst_decile=[-x for x in numbers], per_task=[], **same,
    )  # fmt: skip


def test_values_by_hand():
    row = {"iteration": 3, "env_steps": 10, "return_by_step": [1.0, 2.5], "loss": -0.5, "note": "text", "ok": True}
    assert row_values(row) == {
        "train/env_steps": 10.0, "train/return_by_step/0": 1.0, "train/return_by_step/1": 2.5, "train/loss": -0.5,
        "train/ok": 1.0,
    }  # fmt: skip
    assert curve_values(curve(2)) == {
        "validation/score": 1.0, "validation/mean/0": 0.0, "validation/mean/1": 1.0,
        "validation/worst_decile/0": -0.0, "validation/worst_decile/1": -1.0,
    }  # fmt: skip
    points = [name for name in curve_values(curve(1000)) if name.startswith("validation/mean/")]
    assert len(points) == 20 and points[0].endswith("/0") and points[-1].endswith("/999")


# -- TensorBoard -------------------------------------------------------------------------------------------------------


def events(path: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(path / "tensorboard"), {"scalars": 0, "tensors": 0})
    read.Reload()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_has_every_row_and_every_curve(tmp_path):
    pytest.importorskip("tensorboard")
    run = agents.train(tmp_path / "run", track=["tensorboard"], **SMALL)
    found = events(tmp_path / "run")
    assert found["train/loss"] == [(row["iteration"], pytest.approx(row["loss"])) for row in run.metrics()]
    steps = [(row["iteration"], pytest.approx(row["return_by_step"][1])) for row in run.metrics()]
    assert found["train/return_by_step/1"] == steps
    assert found["validation/score"] == [(row["iteration"], pytest.approx(row["score"])) for row in run.validations()]
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for x, mean in zip(evaluation["x"], evaluation["mean"], strict=True):
        assert found[f"test/mean/{x}"] == [(4, pytest.approx(mean))]


def test_event_files_of_one_second_keep_their_order(tmp_path):
    """Their names end in a number of the process, of which 10 comes before 9."""
    pytest.importorskip("tensorboard")
    module = tracking.tracker_module("tensorboard")
    seen = []
    for iteration in range(2):
        run = TrackedRun(tmp_path, spec(), "key", iteration)
        module.start(run).close(finished=True)
        seen.append(sorted(path.name for path in (tmp_path / "tensorboard").iterdir()))
    first, second = ([int(name.split(".")[3]) for name in names] for names in seen)
    assert second[0] == first[0] < second[1]


def test_tensorboard_has_the_hyperparameters(tmp_path):
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    loader = importlib.import_module("tensorboard.backend.event_processing.event_file_loader")
    agents.train(tmp_path / "run", track=["tensorboard"], **SMALL)
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    started = {}
    for event in loader.EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.tag == "_hparams_/session_start_info":
                data = plugin.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                started = dict(data.session_start_info.hparams.items())
    assert started["agent_config.meta_batch"].number_value == 2 and started["env"].string_value == "navigation"
    assert started["model_config.hidden"].string_value == "[3]"


def test_resumed_run_replaces_repeated_iterations(tmp_path):
    pytest.importorskip("tensorboard")
    from tests.support.killed_training import killed

    with killed(after=2):  # the last checkpoint is at 0: everything is repeated
        agents.train(tmp_path / "run", track=["tensorboard"], **SMALL)
    run = agents.resume(tmp_path / "run", track=["tensorboard"], progress=False)
    longer = agents.resume(tmp_path / "run", iterations=6, track=["tensorboard"], progress=False)
    found = events(tmp_path / "run")
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert found["train/loss"][-1][1] == pytest.approx(longer.metrics()[-1]["loss"])
    assert run.iteration == 4


def test_tracking_changes_no_bit_of_the_run(tmp_path):
    pytest.importorskip("tensorboard")
    whole = agents.train(tmp_path / "plain", **SMALL)
    run = agents.train(tmp_path / "tracked", track=["tensorboard"], **SMALL)
    assert run.metrics() == whole.metrics()
    for name in ("evaluation.json", "validation.jsonl", "checkpoint/00000004/state.safetensors"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "tracked" / name).read_bytes()
    agents.train(tmp_path / "tracked", track=["tensorboard"], overwrite=True, **SMALL)  # the files are the run's own


# -- resumes without --track -------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch) -> list[tuple[str, int]]:
    """Names of opened trackers, with the iteration; all are installed but mlflow."""
    found = []

    class Silent:
        log = staticmethod(lambda *_: None)
        close = staticmethod(lambda **_: None)

    def module(name):
        class Module:
            start = staticmethod(lambda run: (found.append((name, run.iteration)), Silent())[1])

        return Module

    installed = importlib.util.spec_from_file_location("any", __file__)
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None if name == "mlflow" else installed)
    monkeypatch.setattr(tracking, "tracker_module", module)
    return found


def trackers(path: Path) -> list[str]:
    return json.loads((path / "trackers.json").read_text())["trackers"]


def test_resume_continues_the_record_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tests.support.killed_training import killed

    with killed(after=2):
        agents.train(tmp_path / "run", track=["tensorboard"], **SMALL)
    agents.resume(tmp_path / "run", progress=False)
    agents.resume(tmp_path / "run", iterations=6, progress=False)
    assert [step for step, _ in events(tmp_path / "run")["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_resume_starts_no_tracker_that_may_send_anything(tmp_path, capsys, opened):
    path = tmp_path / "run"
    agents.train(path, track=["wandb", "tensorboard", "wandb"], **SMALL)
    assert trackers(path) == ["wandb", "tensorboard"]
    assert opened == [("wandb", 0), ("tensorboard", 0)]
    del opened[:]
    agents.resume(path, iterations=5, progress=False)
    assert opened == [("tensorboard", 4)]
    again = "--track wandb tensorboard continues the record"
    assert f"warning: {path} was tracked with wandb, and this resume is not: {again}\n" in capsys.readouterr().err


def test_resume_with_other_trackers_remembers_those(tmp_path, opened):
    path = tmp_path / "run"
    agents.train(path, **SMALL)
    assert not (path / "trackers.json").exists()
    assert main(["resume", str(path), "--iterations", "5", "--track", "trackio", "tensorboard"]) == 0
    assert opened == [("trackio", 4), ("tensorboard", 4)] and trackers(path) == ["trackio", "tensorboard"]
    agents.resume(path, iterations=6, track=[], progress=False)
    agents.resume(path, iterations=7, progress=False)
    assert len(opened) == 2 and trackers(path) == []


def test_resume_where_a_remembered_tracker_is_not_installed(tmp_path, capsys, opened):
    path = tmp_path / "run"
    agents.train(path, **SMALL)
    (path / "trackers.json").write_text('{"trackers": ["mlflow"]}')
    assert agents.resume(path, iterations=5, progress=False).iteration == 5 and not opened
    missing = "--track mlflow: mlflow is not installed: pip install 'qrl-meta[mlflow]'"
    assert f"{path} was tracked with mlflow, and this resume is not: {missing}\n" in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"trackers": ["os"]}', '{"trackers": "tensorboard"}', "[]", "{", "{}"])
def test_damaged_list_of_trackers_is_ignored(tmp_path, capsys, opened, content):
    path = tmp_path / "run"
    agents.train(path, **SMALL)
    (path / "trackers.json").write_text(content)
    assert agents.resume(path, iterations=5, progress=False).iteration == 5 and not opened
    errors = capsys.readouterr().err
    assert (
        f"warning: {path}/trackers.json" in errors
        and "; ignored: --track continues the records of trackers\n" in errors
    )


# -- failures ----------------------------------------------------------------------------------------------------------


class Failing:
    """Tracker whose server goes away."""

    closed: list[bool]

    def __init__(self, fails_at: int) -> None:
        self.fails_at, self.closed, self.seen = fails_at, [], []

    def start(self, run: TrackedRun):
        if self.fails_at == 0:
            raise ConnectionError("no server")
        return self

    def log(self, values, iteration):
        if iteration == self.fails_at:
            raise ConnectionError("the server went away")
        self.seen.append(iteration)

    def close(self, *, finished):
        self.closed.append(finished)


@pytest.fixture
def failing(monkeypatch):
    def use(fails_at: int) -> Failing:
        tracker = Failing(fails_at)
        monkeypatch.setattr(tracking, "tracker_module", lambda name: tracker)
        monkeypatch.setattr("agents.experiment.start.check_trackers", lambda names: None)
        return tracker

    return use


@pytest.mark.parametrize(("fails_at", "seen"), [(0, []), (2, [1]), (99, [1, 2, 2, 3, 4, 4, 4])])
def test_failing_tracker_warns_once_and_the_run_goes_on(tmp_path, capsys, failing, fails_at, seen):
    tracker = failing(fails_at)
    run = agents.train(tmp_path / "run", track=["wandb"], **SMALL)
    assert run.iteration == 4 and tracker.seen == seen
    errors = capsys.readouterr().err
    assert errors.count("warning: tracker wandb: ConnectionError: ") == (fails_at < 99)
    assert tracker.closed == ([True] if fails_at == 99 else [])


def test_tracker_is_closed_when_a_callback_ends_the_run(tmp_path, failing):
    tracker = failing(99)
    with pytest.raises(Pruned):
        agents.train(tmp_path / "run", track=["wandb"], callbacks=[Pruning("iteration", 3)], **SMALL)
    assert tracker.seen == [1, 2, 2, 3] and tracker.closed == [False]


@pytest.mark.parametrize("kind", ["missing", "a folder of earlier runs"])
def test_tracker_that_is_not_installed(tmp_path, capsys, monkeypatch, kind):
    found = importlib.util.spec_from_loader("wandb", None) if kind != "missing" else None
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: found)
    assert main([*ARGUMENTS, "--track", "wandb", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error == "run.py: error: --track wandb: wandb is not installed: pip install 'qrl-meta[wandb]'\n"
    assert not (tmp_path / "run").exists()


def test_unknown_tracker(tmp_path, capsys):
    assert main([*ARGUMENTS, "--track", "tensorbord", "--out", str(tmp_path / "run")]) == 2
    assert "found 'tensorbord'; did you mean 'tensorboard'?" in capsys.readouterr().err
    with pytest.raises(UsageError, match="unknown tracker 'wandbb'; did you mean 'wandb'"):
        agents.train(tmp_path / "run", track=["wandbb"], **SMALL)
    assert not (tmp_path / "run").exists()


# -- the others, offline -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of its own code and of what it imports
def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = agents.train(tmp_path / "run", track=["wandb"], **SMALL)
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (file,) = folder.glob("run-*.wandb")
    assert file.stat().st_size > 0 and run.folder.checkpoints.identity[:32] in file.name
    records = wandb_history(file)
    assert [row["iteration"] for row in records if "train/loss" in row] == [1, 2, 3, 4]
    assert [row["train/loss"] for row in records if "train/loss" in row] == [row["loss"] for row in run.metrics()]
    assert [row["validation/score"] for row in records if "validation/score" in row] == [
        row["score"] for row in run.validations()
    ]


def wandb_history(file: Path) -> list[dict]:
    """Rows of the history in the file of an offline run: a log of LevelDB's format after a header of 7 bytes."""
    messages = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data, position, content, rows = file.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # no header fits into the rest of a block
            position += 32768 - position % 32768
        _, length, kind = struct.unpack_from("<IHB", data, position)
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            record, content = messages.Record.FromString(content), b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow uses what SQLAlchemy has deprecated
def test_mlflow_in_a_local_database(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from mlflow.tracking import MlflowClient

    agents.train(tmp_path / "run", track=["mlflow"], **SMALL)
    run = agents.resume(tmp_path / "run", iterations=5, track=["mlflow"], progress=False)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("qrl-meta")
    (found,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in history] == [(row["iteration"], row["loss"]) for row in run.metrics()]
    assert found.info.status == "FINISHED"
    assert found.data.params["agent_config.meta_batch"] == "2"


def test_trackio_in_a_local_database(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    run = agents.train(tmp_path / "run", track=["trackio"], **SMALL)
    (file,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("select step, metrics from metrics order by step").fetchall()
    values = [(step, json.loads(text)) for step, text in rows]
    losses = [(step, each["train/loss"]) for step, each in values if "train/loss" in each]
    assert losses == [(row["iteration"], row["loss"]) for row in run.metrics()]
