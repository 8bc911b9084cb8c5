"""Command `export` on registers of qubits: the next episode of a trained policy."""

import json

import numpy as np
import pytest
import torch

from agents.cli.main import main
from agents.experiment.adapted_policy import AdaptedPolicy
from agents.experiment.api import load, train
from agents.experiment.register_export import next_episode
from agents.experiment.run import Run
from agents.rl.acting import fast_weights
from qrl.backends.register_pennylane import to_episode_qnode
from qrl.backends.register_qasm import to_episode_openqasm

QUICK = {"iterations": 1, "eval_tasks": 2, "eval_episodes": 3, "eval_steps": 1, "progress": False}
RL2 = {"episodes": 1, "meta_batch": 20, "restarts": 1, "minibatches": 1}


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "static"
    train(folder, env="quantum_memory", noise=["storage=0.2"], agent_config=RL2, **QUICK)
    return folder


def success_rate(run: Run, episode) -> float:
    """Exact success rate of an exported episode, from the mean states of both cases."""
    qnode, answers = to_episode_qnode(episode), np.array(episode.answers[0])
    total = 0.0
    for case, state in enumerate(run.distribution.case_states()):
        for weight, vector in zip(*np.linalg.eigh(state), strict=True):
            if weight > 1e-12:
                outcomes = qnode(vector).reshape(-1, len(answers)).sum(0)
                total += 0.5 * weight * outcomes @ answers[:, case]
    return total


def test_static_episode(static, tmp_path, capsys):
    assert main(["export", str(static), "--out", str(tmp_path / "out")]) == 0
    assert "wrote 1 circuit and export.json" in capsys.readouterr().out
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    entry = about["episode"]
    assert (entry["memory"], entry["registers"], entry["qubits_per_register"]) == (1, 2, 1)
    assert entry["measured"] == [[1], [0, 1]] and about["format"] == "openqasm3"
    run = load(static)
    episode = next_episode(run.agent.policy, run.adapt(run.distribution.make(), episodes=1))
    assert (tmp_path / "out" / entry["file"]).read_text() == to_episode_openqasm(episode)
    table = run.agent.theta["cell.answers.table"].detach().double().softmax(-1)
    np.testing.assert_allclose(entry["answers"][0]["probabilities"], table, atol=1e-7)
    assert entry["answers"][0]["history"] == []


def test_exported_episode_succeeds_as_often_as_the_policy(static):
    run = load(static)
    episode = next_episode(run.agent.policy, run.adapt(run.distribution.make(), episodes=1))
    exact = success_rate(run, episode)
    total = run.evaluate(tasks=50, episodes=400, backend="torch").certificate.total
    assert abs(total.rate - exact) < 5 * np.sqrt(exact * (1 - exact) / total.n_episodes)


def test_adapted_angles_of_an_agent_with_gradient_steps(static):
    run = load(static)
    policy = run.agent.policy
    params = {name: value.detach()[None] + 0.25 for name, value in run.agent.theta.items()}
    adapted = AdaptedPolicy(run.agent, fast_weights(policy, params, 1, 1), torch.Generator(), None)
    episode = next_episode(policy, adapted)
    for step, expected in zip(episode.steps, run.agent.theta["cell.angles"] + 0.25, strict=True):
        assert [gate.angle for gate in step.gates if gate.angle is not None] == expected.tolist()


def test_episode_that_depends_on_outcomes_and_answers(tmp_path):
    env, agent = {"mode": "symmetry", "frame": "rz"}, RL2 | {"episodes": 3}
    train(tmp_path / "frame", env="quantum_memory", env_config=env, agent_config=agent, **QUICK)
    assert main(["export", str(tmp_path / "frame"), "--out", str(tmp_path / "out")]) == 0
    entry = json.loads((tmp_path / "out" / "export.json").read_text())["episode"]
    histories = [[{"outcome": o, "answer": a}] for o in (0, 1) for a in (0, 1)]
    assert [each["history"] for each in entry["answers"]] == histories
    text = (tmp_path / "out" / "episode.qasm").read_text()
    assert text.count("if (outcome0 ==") == 2 and text.count("if (answer0 ==") == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "openqasm2"], "is exported as openqasm3, with its measurements, not as openqasm2"),
        (["--observations", "rows.json"], "--observations has no effect on a model on registers"),
    ],
)
def test_invalid_options(static, tmp_path, options, message, capsys):
    assert main(["export", str(static), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
