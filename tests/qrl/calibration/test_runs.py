"""Runs that train and are evaluated under a device's calibration."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from agents.cli.evaluate import run_evaluation
from agents.cli.main import main
from agents.cli.options import EvaluateOptions
from agents.cli.train import parse_train
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.resume import run_resume
from agents.experiment.start import run_training
from agents.maml import Config
from envs.core.registry import ENVS
from qrl.backends.backend import Backend
from qrl.models import MODELS
from qrl.noise.calibration import Calibration
from qrl.noise.model import Noise
from tests.support.calibrations import scaled, trainable


def spec(**fields) -> Spec:
    env = ENVS.load("navigation").Config(horizon=5)
    model = MODELS.load("reuploading").Config(n_wires=3, n_layers=1)
    config = Config(meta_batch=2, episodes=3, epochs=1)
    small = {"iterations": 2, "threads": 1, "eval_tasks": 3, "eval_steps": 1, "eval_episodes": 2}
    return Spec.default(env_config=env, agent_config=config, model_config=model, **small, **fields)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a calibration whose file was deleted."""
    folder = tmp_path_factory.mktemp("runs")
    trainable()[1].save(folder / "device.json")
    given = spec(noise=(f"calibration={folder / 'device.json'}", "depolarizing=0.01"), checkpoint_every=1)
    run_training(given, folder / "run", overwrite=False, command=[], quiet=True)
    (folder / "device.json").unlink()
    return folder / "run"


def test_run_keeps_its_training_calibration(trained, tmp_path):
    run = load(trained)
    assert Noise.parse(run.spec.noise) == Noise(depolarizing=0.01, calibration=trainable()[1])
    assert run_evaluation(EvaluateOptions(run=trained, tasks=3)) == 0
    assert not list(trained.glob("evaluation-*.json"))  # not an evaluation on another backend
    # From the middle checkpoint to the same result.
    shutil.copytree(trained, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoint" / "00000002")
    run_resume(tmp_path / "half")
    for name, tensor in load(tmp_path / "half").agent.theta.items():
        assert torch.equal(tensor, run.agent.theta[name])
    again, *_ = parse_train(["--config", str(trained)])
    assert again == run.spec


def test_run_is_evaluated_on_another_device(trained, tmp_path, capsys):
    calibration = Calibration("other", ("rz", "sx", "cz"), (scaled("cz", None, 0.5),))
    calibration.save(tmp_path / "other.json")
    options = ["--noise", f"calibration={tmp_path / 'other.json'}", "--tasks", "3"]
    assert main(["evaluate", str(trained), *options]) == 0
    name = f"evaluation-calibration{calibration.digest[:8]}.json"
    noisy, own = (json.loads((trained / file).read_text()) for file in (name, "evaluation.json"))
    assert noisy["backend"]["noise"]["calibration"] == {"source": "other", "digest": calibration.digest}
    assert noisy["mean"] != own["mean"]
    other = Backend(noise=Noise(calibration=calibration))
    assert load(trained).evaluate(tasks=3, episodes=2, backend=other).mean == noisy["mean"]
    assert main(["evaluate", str(trained), "--noise", "calibration=nowhere.json"]) == 2
    assert "run.py: error: nowhere.json: No such file" in capsys.readouterr().err


def test_example_of_the_documentation(tmp_path, monkeypatch):
    pytest.importorskip("qiskit_aer")
    text = (Path(__file__).parents[3] / "docs" / "backends.md").read_text()
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "from_qiskit" in block
    )
    monkeypatch.chdir(tmp_path)
    exec(example, names := {})
    noise = Noise.parse(["calibration=device.json"])
    assert noise.calibration == names["calibration"] and noise.calibration.n_wires == 4
