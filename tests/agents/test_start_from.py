"""Runs that start from the trained weights of another run."""

import json
import shutil

import pytest
import torch

import agents
from agents.cli.main import main
from agents.experiment import report
from agents.experiment.loop import Training
from agents.experiment.resume import run_resume
from agents.experiment.start import run_training
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError
from qrl.models import MODELS
from tests.support.killed_training import Killed, killed
from tests.support.maml_training import spec
from tests.support.run_folders import contents

pytestmark = pytest.mark.usefixtures("no_pictures")

SIZES = {"meta_batch": 2, "episodes": 2}


def train(path, agent="maml", hidden=(3,), start_from=None, **fields) -> agents.Run:
    config = MODELS.load("mlp").Config(hidden=hidden)
    fields = {"agent_config": SIZES, "iterations": 2, "checkpoint_every": 1, **fields}
    whole = spec(agent=agent, model="mlp", model_config=config, **fields)
    return run_training(whole, path, start_from=start_from, quiet=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw", lambda *_: b"")
        path = tmp_path_factory.mktemp("source") / "run"
        train(path, validate_every=1, validate_tasks=2, policy={"normalisation": "running"})
    return path


def state(run_or_path) -> dict[str, torch.Tensor]:
    return agents.load(run_or_path).agent.state_dict()


def first_state(monkeypatch, path, **options) -> dict[str, torch.Tensor]:
    """Tensors of the agent before the first iteration."""
    seen = {}
    step = Training.step

    def recorded(self):
        if self.iteration == 0:
            seen.update({name: value.clone() for name, value in self.agent.state_dict().items()})
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", recorded)
        train(path, **{"policy": {"normalisation": "running"}, **options})
    return seen


@pytest.mark.parametrize("agent", ["maml", "finetune", "reinforce", "reptile"])
def test_weights_and_buffers_are_taken_over(tmp_path, monkeypatch, trained, agent):
    source, start = state(trained), first_state(monkeypatch, tmp_path / "run", agent=agent, start_from=trained)
    taken = [name for name in start if name.startswith(("params/", "buffers/"))]
    assert any(name.startswith("buffers/") for name in taken)
    assert all(torch.equal(start[name], source[name]) for name in taken)
    assert any(name.startswith("params/step_size.") for name in taken) == (agent in ("maml", "finetune"))
    assert not any(name.startswith("adam/") for name in start), "a fresh optimiser"
    assert float(start.get("caution", torch.ones(()))) == 1
    own = first_state(monkeypatch, tmp_path / "own", agent=agent)
    assert not all(torch.equal(start[name], own[name]) for name in taken)


def test_origin_is_recorded_and_the_other_run_is_no_longer_needed(tmp_path, trained):
    source = tmp_path / "source"
    shutil.copytree(trained, source)
    run = train(
        tmp_path / "run", start_from=source, policy={"normalisation": "running"}, checkpoint_every=10, iterations=3
    )
    origin = json.loads((tmp_path / "run" / "config.json").read_text())["start_from"]
    assert origin["path"] == str(source) and origin["iteration"] == 2 and origin["checkpoint"] == "last"
    assert origin["run"] == RunFolder.open(source).checkpoints.identity and len(origin["weights"]) == 64
    assert run.folder.checkpoints.iterations() == [0, 3]
    with killed(after=2):
        train(
            tmp_path / "killed",
            start_from=source,
            policy={"normalisation": "running"},
            checkpoint_every=10,
            iterations=3,
        )
    shutil.rmtree(source)
    run_resume(tmp_path / "killed", quiet=True)
    for name in ("metrics.jsonl", "evaluation.json", "checkpoint/00000003/state.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_best_checkpoint_of_the_other_run(tmp_path, monkeypatch, trained):
    best = agents.load(trained, checkpoint="best")
    start = first_state(monkeypatch, tmp_path / "run", start_from=trained / "best")
    assert torch.equal(start["params/readout.weight"], best.agent.state_dict()["params/readout.weight"])
    assert RunFolder.open(tmp_path / "run").config["start_from"]["checkpoint"] == "best"


def test_run_killed_before_its_first_checkpoint_starts_from_the_weights_again(tmp_path, monkeypatch, trained):
    source = tmp_path / "source"
    shutil.copytree(trained, source)
    options = {"start_from": source, "policy": {"normalisation": "running"}}
    train(tmp_path / "whole", **options)
    for name in ("a", "b"):
        with monkeypatch.context() as patch:
            patch.setattr(Training, "save", lambda *_: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                train(tmp_path / name, **options)
        assert not RunFolder.open(tmp_path / name).checkpoints.iterations()
    run_resume(tmp_path / "a", quiet=True)
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    agents.resume(source, iterations=3, progress=False)
    before = contents(tmp_path / "b")
    with pytest.raises(UsageError, match=r"was to start from .*source, iteration 2, which has changed"):
        run_resume(tmp_path / "b", quiet=True)
    assert contents(tmp_path / "b") == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"hidden": (4,)},
            r"params/features\.layers\.0\.bias is \(3,\) there and \(4,\) here; both need the same model",
        ),
        ({"hidden": (3, 3)}, "is missing there and"),
        ({"agent": "random"}, "agent random does not train, and starts from no weights"),
        ({"env": "cartpole_target"}, r"buffers/.* is \(2,\) there and \(4,\) here"),
    ],
)
def test_weights_of_another_policy_are_refused(tmp_path, trained, fields, message):
    fields = {"policy": {"normalisation": "running"}} | fields
    if fields.get("agent") == "random":
        fields["agent_config"] = {}
    with pytest.raises(UsageError, match=message):
        train(tmp_path / "run", start_from=trained, **fields)
    assert not (tmp_path / "run").exists()


def test_unusable_sources_are_refused(tmp_path, capsys):
    arguments = ["--env", "navigation", "--iterations", "1", "--out", str(tmp_path / "run"), "--from"]
    assert main([*arguments, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"run.py: error: {tmp_path / 'nowhere'}: no such run folder\n"
    train(tmp_path / "unvalidated", iterations=1)
    assert main([*arguments, str(tmp_path / "unvalidated" / "best")]) == 2
    assert "no best checkpoint: --validate-every N in training keeps one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_command_line(tmp_path, capsys, trained):
    small = ["--env.horizon", "5", "--agent.meta-batch", "2", "--agent.episodes", "2", "--eval-tasks", "2", "--threads",
             "1", "--eval-steps", "1", "--eval-episodes", "2", "--iterations", "1"]  # fmt: skip
    arguments = ["--config", str(trained), *small, "--seed", "1", "--out"]
    assert main([*arguments, str(tmp_path / "run"), "--from", str(trained)]) == 0
    capsys.readouterr()
    assert main(["--config", str(tmp_path / "run"), "--out", str(tmp_path / "again")]) == 0
    assert f"started from the weights of {trained}; this run does not, without --from" in capsys.readouterr().err


def test_other_options_of_the_model_are_told(tmp_path, capsys, trained):
    train(tmp_path / "run", start_from=trained, policy={"normalisation": "running", "initial_log_std": -1.0})
    assert "was trained with another policy; its weights may mean something else here" in capsys.readouterr().err
