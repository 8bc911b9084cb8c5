"""The library from Python: train, load, adapt to a custom environment, act, evaluate, plot."""

import dataclasses
import json
import os
import shutil
import signal

import gymnasium
import numpy as np
import pytest
import torch

import agents
from agents import maml
from agents.cli.evaluate import run_evaluation
from agents.cli.main import main
from agents.cli.options import EvaluateOptions
from agents.experiment.resume import run_resume
from agents.runs.folder import RunFolder
from envs import navigation
from qrl.common.errors import UsageError
from qrl.models import mlp
from tests.support.killed_training import killed
from tests.support.trained_parameters import trained

SMALL = maml.Config(meta_batch=3, episodes=4, epochs=1)
QUICK = {"agent_config": SMALL, "threads": 1, "eval_steps": 1, "eval_episodes": 2, "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "cartpole"
    return agents.train(
        out,
        env="cartpole",
        **QUICK | {"iterations": 2, "eval_tasks": 3},
    )


def test_loaded_run_has_the_trained_parameters(run):
    loaded = agents.load(run.folder.path)
    for name, value in trained(run.agent).items():
        assert torch.equal(value, trained(loaded.agent)[name])
    assert [row["iteration"] for row in loaded.metrics()] == [1, 2]
    assert (
        loaded.evaluate(tasks=3, steps=1, episodes=2).per_task
        == agents.evaluate(run.folder.path, tasks=3, steps=1, episodes=2).per_task
    )


def test_adapts_to_any_gymnasium_environment_and_acts(run):
    env = gymnasium.make("CartPole-v1")
    policy = run.adapt(env, episodes=3, steps=2)
    observation, _ = env.reset(seed=0)
    actions = {policy.act(observation) for _ in range(50)}
    assert actions == {0, 1} and all(type(action) is int for action in actions)
    before = run.adapt(env, episodes=3, steps=0)
    changed = [not torch.equal(policy._state.params[n][0], before._state.params[n][0]) for n in before._state.params]
    assert all(changed)


def test_continuous_actions_match_the_space(tmp_path):
    own = agents.train(
        tmp_path / "nav",
        env="navigation",
        env_config=navigation.Config(horizon=5),
        **QUICK | {"iterations": 1, "eval_tasks": 2},
    )
    env = own.distribution.make({"goal_x": 0.2})
    policy = own.adapt(env, episodes=2)
    observation, _ = env.reset(seed=0)
    action = policy.act(observation)
    assert isinstance(action, np.ndarray) and env.action_space.contains(action)


def test_mismatched_spaces_are_rejected(run):
    with pytest.raises(UsageError, match=r"trained with observation_space .* the environment has"):
        run.adapt(gymnasium.make("Acrobot-v1"))
    with pytest.raises(UsageError, match="episodes must be at least 2"):
        run.adapt(gymnasium.make("CartPole-v1"), episodes=1)


def test_non_environments_and_mismatched_actions_are_rejected(run):
    with pytest.raises(UsageError, match=r"expected a gymnasium\.Env, .* not 'CartPole-v1'"):
        run._check_spaces("CartPole-v1")
    env = gymnasium.make("CartPole-v1")
    env.action_space = gymnasium.spaces.Discrete(2, start=1)
    with pytest.raises(UsageError, match=r"trained with action_space Discrete\(2\), the environment has"):
        run.adapt(env)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 1}, "tasks must be at least 2, not 1"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"episodes": 0}, "episodes must be at least 1, not 0"),
        ({"episodes": 10**7}, "episodes must be at most 100000, not 10000000"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": 2**63}, f"seed must be at most {2**63 - 1}, not {2**63}"),
    ],
)
def test_invalid_evaluation_options(run, options, message):
    with pytest.raises(UsageError) as caught:
        run.evaluate(**options)
    assert str(caught.value) == message


def test_numbers_of_tasks_in_python(run):
    for tasks in (10**30, 10**5000, 1_000_001, -1):
        with pytest.raises(UsageError, match=r"^tasks must be at "):
            run.evaluate(tasks=tasks)


def test_evaluation_by_single_episodes_has_no_baseline(run):
    with pytest.raises(
        UsageError, match="baseline leave-one-out needs at least 2 episodes per update, also in an eval"
    ):
        run.evaluate(tasks=2, episodes=1)


@pytest.mark.parametrize(
    ("sizes", "what"),
    [
        ({"agent_config": {"meta_batch": 10_000_000}}, "training: collecting 2 × 100 steps of 10,000,000 × 20"),
        (
            {"eval_steps": 10_000, "eval_tasks": 1_000_000, "env_config": {"horizon": 1}},
            "evaluate: the returns of 1,000,000 tasks at 10,001 points",
        ),
        ({"eval_steps": 10_000, "eval_episodes": 100_000}, "evaluate: collecting 10,001 × 100 steps of 1 × 100,000"),
        ({"env_config": {"horizon": 1_000_000}}, "evaluate: collecting 4 × 1,000,000 steps of 50 × 40 environments"),
    ],
)
def test_sizes_that_no_machine_holds_are_refused_at_once(tmp_path, monkeypatch, sizes, what):
    monkeypatch.setattr("qrl.common.memory.physical_memory", lambda: 2**34)
    with pytest.raises(UsageError, match=f"{what}.* about .* GiB, this machine has 16;"):
        agents.train(tmp_path / "run", env="navigation", model="mlp", threads=1, **sizes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("free", "what"),
    [
        (2e7, "evaluate: collecting 2 × 100 steps of 1 × 10,000 environments"),
        (1e9, "agent maml: the gradient of one task"),
    ],
)
def test_evaluation_too_large_for_memory_is_rejected_before_training(tmp_path, monkeypatch, free, what):
    monkeypatch.setattr("qrl.common.memory.physical_memory", lambda: free)
    monkeypatch.setattr("qrl.simulator.program.chosen_engine", lambda: "fused")  # the kernel needs less memory
    with pytest.raises(UsageError, match=f"{what} needs about .* GiB, this machine has"):
        agents.train(tmp_path / "run", env="navigation", **QUICK | {"eval_episodes": 10_000}, iterations=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"estimator": "dicee"}, "estimator: expected one of 'dice', "),
        (mlp.Config(), "agent_config: expected agents.maml.Config, found qrl.models.mlp.Config"),
        ({"meta_bach": 3}, "did you mean 'meta_batch'"),
        (3, "agent_config: expected an object of options"),
    ],
)
def test_options_of_the_wrong_type_are_rejected_before_training(tmp_path, config, message):
    with pytest.raises(UsageError, match=message):
        agents.train(tmp_path / "run", env="cartpole", agent_config=config)
    assert list(tmp_path.iterdir()) == []


TINY = {"env": "cartpole", "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "progress": False}


def test_run_killed_before_its_first_checkpoint_resumes_from_the_start(tmp_path, capsys):
    options = {**TINY, "agent_config": dataclasses.asdict(SMALL), "iterations": 3}
    whole = agents.train(tmp_path / "whole", **options)

    with killed(after=2):
        agents.train(tmp_path / "killed", **options)
    assert not (tmp_path / "killed/checkpoint").exists()
    assert run_resume(tmp_path / "killed").iteration == 3
    assert "starting from iteration 0" in capsys.readouterr().err
    for name in ("checkpoint/00000003/state.safetensors", "evaluation.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    resumed = agents.load(tmp_path / "killed").metrics()
    assert [row["iteration"] for row in resumed] == [1, 2, 3]
    assert [row["loss"] for row in resumed] == [row["loss"] for row in whole.metrics()]


def test_damaged_metrics_lose_only_a_panel_and_a_row(tmp_path, capsys):
    agents.train(tmp_path / "run", **TINY, agent_config=SMALL, iterations=2)
    path = tmp_path / "run/metrics.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:9] + b"\n" + second)
    assert run_evaluation(EvaluateOptions(run=tmp_path / "run", tasks=2)) == 0
    assert "line 1 is damaged; the picture has no panel of training" in capsys.readouterr().err
    assert run_resume(tmp_path / "run", iterations=3).iteration == 3
    assert "line 1 is damaged, dropped" in capsys.readouterr().err
    assert [row["iteration"] for row in agents.load(tmp_path / "run").metrics()] == [2, 3]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_an_evaluation_immediately(run, monkeypatch, capsys, number, code):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # inherited as ignored under nohup
    monkeypatch.setattr("agents.experiment.run.evaluate_returns", lambda *_, **__: os.kill(os.getpid(), number))
    try:
        assert main(["evaluate", str(run.folder.path)]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    path = run.folder.path
    assert capsys.readouterr().err == f"evaluation interrupted; training is saved: run.py evaluate {path}\n"


def test_evaluation_reports_training_progress(run, tmp_path, capsys):
    """A run whose last checkpoint is missing, or that is unfinished, does not count as finished."""
    assert run.evaluate(tasks=2, steps=1, episodes=2).iteration == 2
    copy = tmp_path / "copy"
    shutil.copytree(run.folder.path, copy)
    (copy / "checkpoint" / "00000002").rename(copy / "checkpoint" / "00000001")
    with pytest.raises(UsageError, match="belongs to iteration 2"):
        agents.load(copy)
    extended = tmp_path / "extended"
    shutil.copytree(run.folder.path, extended)
    folder = RunFolder.open(extended)
    folder.change({"iterations": 5}, 0)
    assert run_evaluation(EvaluateOptions(run=extended, tasks=2, steps=1, episodes=2)) == 0
    assert f"warning: {extended}: trained for 2 of 5 iterations so far\n" in capsys.readouterr().err
    assert json.loads((extended / "evaluation.json").read_text())["iteration"] == 2


def test_custom_model_from_a_file(tmp_path):
    """One file suffices: `Config`, `build` and an ordinary module."""
    file = tmp_path / "quadratic.py"
    file.write_text(
        '''"""All products of two inputs."""
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class Config:
    """No options."""

class Quadratic(torch.nn.Module):
    def __init__(self, n_inputs):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(n_inputs))
        self.n_features = n_inputs**2

    def forward(self, x):
        x = x * self.scale
        return (x[:, :, None] * x[:, None, :]).flatten(1)

def build(config, frame, generator):
    return Quadratic(frame.n_inputs)
'''
    )
    own = agents.train(
        tmp_path / "run",
        env="cartpole",
        model=str(file),
        **QUICK | {"iterations": 1, "eval_tasks": 2},
    )
    assert trained(own.agent)["features.scale"].shape == (4,)
    assert trained(agents.load(tmp_path / "run").agent)["readout.weight"].shape == (2, 16)
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["model"] == "quadratic"
