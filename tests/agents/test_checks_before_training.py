"""Custom environments, models and agents are checked before a run begins: a one-line error and no folder."""

import pytest

from agents.core.spec import Spec
from agents.experiment.start import run_training
from qrl.common.errors import UsageError

ENV = '''"""E."""
from envs.navigation import Config, Navigation

class Mine(Navigation):
    def transition(self, state, action, tasks):
        state, reward, terminated = super().transition(state, action, tasks)
        {step}

def build(config):
    {build}
'''
MODEL = '''"""M."""
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class Config:
    """None."""

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, x):
        return x if {condition} else -x

def build(config, frame, generator):
    return Mine()
'''
AGENT = '''"""A."""
from agents.random import Config

class Mine:
    def begin(self, n_tasks, n_envs):
        return None

    def update(self, rollouts, states, remaining):
        return {}

def build(config, context):
    return Mine()
'''
GOOD = {"step": "return state, reward, terminated", "build": "return Mine(config)"}
FINE = {"init": "self.n_features = 2", "condition": "True"}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("env", ENV.format(**GOOD | {"step": 'raise RuntimeError("boom")'}), r"RuntimeError: boom \(mine.py, line 7\)"),
        ("env", ENV.format(**GOOD | {"step": "return state, reward[:, None], terminated"}), r"reward of shape \(2"),
        ("env", ENV.format(**GOOD | {"build": "return None"}), "build returned NoneType"),
        (
            "model",
            MODEL.format(**FINE | {"init": "self.n_features = 3"}),
            r"should have shape \(2, 3\), found \(2, 2\)",
        ),
        ("model", MODEL.format(**FINE | {"init": "pass"}), "nn.Module with an int n_features"),
        ("model", MODEL.format(**FINE | {"condition": "x.sum() >= 0"}), "data-dependent control flow"),
        ("agent", AGENT, "Mine has no act, adapt, load_state_dict, n_envs, n_rollouts"),
    ],
)
def test_mismatches_are_detected_before_anything_is_written(tmp_path, monkeypatch, kind, text, message):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # as outside the tests
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        run_training(Spec.default(**{kind: str(file)}), tmp_path / "run", overwrite=False, command=[])
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_too_many_wires_for_the_memory_of_a_meta_gradient(tmp_path, monkeypatch):
    from qrl.models.reuploading import Config

    # Both engines keep at least the state of each sample: 2 * 20 episodes * 100 steps * 2**14 amplitudes * 8 bytes.
    monkeypatch.setattr("qrl.common.memory.physical_memory", lambda: 2**28)
    # Were it accepted, a single iteration of a single task would end soon.
    spec = Spec.default(model_config=Config(n_wires=14), agent_config={"meta_batch": 1}, iterations=1, eval_tasks=2)
    with pytest.raises(UsageError, match=r"gradient of one task needs about .* GiB") as error:
        run_training(spec, tmp_path / "run", overwrite=False, command=[])
    needed = float(str(error.value).split("about ")[1].split(" GiB")[0])
    assert needed >= 2 * 20 * 100 * 2**14 * 8 / 2**30
    assert not (tmp_path / "run").exists()
