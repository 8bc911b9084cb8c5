"""Objects in place of names: a task distribution, an agent, a model, a PennyLane device."""

import dataclasses
import json
import re

import gymnasium
import pennylane as qml
import pytest
import torch
from torch import nn

import agents
import envs
from agents.cli.main import main
from agents.random import Random
from qrl import Circuit, Gate, Input, Observable, QuantumLayer, UsageError, Weight, run_on
from qrl.backends.backend import Backend

SMALL = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "progress": False}
FEW = {"meta_batch": 2, "episodes": 3}


class Tanh(nn.Module):
    n_features = 5

    def __init__(self, seed=0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)))

    def forward(self, inputs):
        return torch.tanh(inputs @ self.weight.mT)


def family():
    return envs.GymnasiumTasks("CartPole-v1", {"gravity": envs.Uniform(5, 15)}, horizon=9)


def test_run_of_a_task_distribution_object_needs_the_object_again(tmp_path, capsys):
    run = agents.train(tmp_path / "run", env=family(), agent_config=FEW, **SMALL)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["spec"]["env"] == "CartPole-v1 (given in Python)"
    assert config["origins"]["env"]["from"] == "given in Python"
    again = agents.load(tmp_path / "run", env=family())
    assert again.evaluate(tasks=2, episodes=2) == run.evaluate(tasks=2, episodes=2)
    assert agents.resume(tmp_path / "run", iterations=2, progress=False, env=family()).iteration == 2
    message = "env is 'CartPole-v1 (given in Python)': pass that object again, in Python"
    with pytest.raises(UsageError, match="pass that object again"):
        agents.load(tmp_path / "run")
    path = str(tmp_path / "run")
    for command in (["evaluate", path], ["resume", path], ["--config", path, "--out", str(tmp_path / "other")]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "other").exists()
    with pytest.raises(UsageError, match="unknown argument 'envs'; did you mean 'env'"):
        agents.load(tmp_path / "run", envs=family())
    ranges = "the run was trained with parameters gravity U[5, 15], the given env has gravity U[5, 16]"
    for given, what in [
        (envs.GymnasiumTasks("CartPole-v1", {"gravity": envs.Uniform(5, 16)}, horizon=9), ranges),
        (
            envs.GymnasiumTasks("CartPole-v1", {"gravity": envs.Uniform(5, 15)}, horizon=8),
            "horizon 9, the given env has 8",
        ),
        (envs.GymnasiumTasks("MountainCar-v0", {"gravity": envs.Uniform(5, 15)}, horizon=9), "observations Box"),
    ]:
        for use in (agents.load, agents.resume):
            with pytest.raises(UsageError, match=re.escape(what)):
                use(tmp_path / "run", env=given)


def test_training_starts_from_the_parameters_of_the_model_object(tmp_path):
    model = Tanh()
    before = model.weight.detach().clone()
    small = {"env": "cartpole", "env_config": {"horizon": 9}, "agent_config": FEW} | SMALL
    run = agents.train(tmp_path / "run", model=model, **small)
    assert torch.equal(model.weight, before)  # a copy is trained
    assert not torch.equal(run.policy.features.weight, before)
    assert agents.load(tmp_path / "run", model=Tanh(seed=1)).evaluate(tasks=2, episodes=2) == run.evaluate(
        tasks=2, episodes=2
    )


def test_agent_and_device_objects(tmp_path):
    run = agents.train(tmp_path / "a", env=family(), agent=Random(family().action_space), **SMALL)
    assert run.spec.agent == "Random (given in Python)"
    device = qml.device("default.qubit", wires=4)
    config = FEW | {"estimator": "first-order"}
    small = {"env": "navigation", "env_config": {"horizon": 3}, "agent_config": config} | SMALL
    on_device = agents.train(tmp_path / "b", backend=device, **small)
    assert on_device.spec.backend == "default.qubit (given in Python)"
    exact = agents.train(tmp_path / "c", **small)
    mean = on_device.evaluate(tasks=2, episodes=2).mean
    assert mean == pytest.approx(exact.evaluate(tasks=2, episodes=2).mean, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": 3}, "env: expected a name, an envs.TaskDistribution such as envs.GymnasiumTasks("),
        ({"agent": object}, "agent: expected a name, an agents.Agent, or a plug-in, found <class 'object'>"),
        (
            {"model": [1]},
            "model: expected a name, a torch module with n_features, a qrl.Circuit, or a plug-in",
        ),
        ({"backend": 3}, "backend: expected a name or a PennyLane device, such as qml.device(...), not 3"),
        ({"env_config": 3}, "env_config: expected an object of options, found 3"),
        ({"agent_config": {"meta_bach": 3}}, "agent_config: unknown option 'meta_bach'; did you mean 'meta_batch'?"),
        ({"policy": {"head": "x"}}, "policy.head: expected one of 'auto', 'categorical', 'gaussian', found 'x'"),
        ({"seed": "x"}, "seed: expected a whole number, found 'x'"),
        ({"threads": None}, "threads: expected a whole number, found None"),
        ({"noise": "depolarizing=0.1"}, "noise: expected a list of strings, such as ['depolarizing=0.1'], found "),
        ({"out": 3}, "expected the path of a run folder, found 3"),
    ],
)
def test_wrong_type_raises_one_clear_error(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # as outside the tests
    with pytest.raises(UsageError) as caught:
        agents.train(**{"out": "run", **SMALL, **options})
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_a_curve(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # as outside the tests
    for given in (3, "runs/one", {"label": [3]}):
        with pytest.raises(UsageError, match=r"expected a Curve, such as run.evaluate\(\) returns, found"):
            agents.plot(given, tmp_path / "curve.png")


@pytest.fixture
def circuit():
    gates = [
        Gate(name, (wire,), angle) for wire in range(2) for name, angle in (("RY", Input(wire)), ("RX", Weight(wire)))
    ]
    return Circuit(2, (*gates, Gate("CNOT", (0, 1))), (Observable.of("Z0"), Observable.of("Z1")))


def test_a_circuit_is_a_model(tmp_path, circuit):
    run = agents.train(tmp_path / "run", env="cartpole", model=circuit, **SMALL)
    assert run.agent.policy.features.circuit == circuit
    assert run.agent.policy.features.projection.weight.shape == (2, 4)
    other = agents.train(tmp_path / "other", env="cartpole", model=circuit, seed=7, **SMALL)
    assert not torch.equal(other.agent.policy.features.weights, run.agent.policy.features.weights)


def test_a_circuit_without_inputs_is_refused(tmp_path):
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)),), (Observable.of("Z0"),))
    with pytest.raises(UsageError, match="the circuit has no inputs, so it would not depend on the observations"):
        agents.train(tmp_path / "run", env="cartpole", model=circuit, **SMALL)


def test_a_qnode_is_refused_with_the_line_to_write(tmp_path):
    @qml.qnode(qml.device("default.qubit", wires=1))
    def node(inputs, weights):
        return qml.expval(qml.PauliZ(0))

    with pytest.raises(UsageError, match=r"qrl\.Circuit\.from_pennylane\(circuit, n_inputs=…, n_weights=…\)"):
        agents.train(tmp_path / "run", env="cartpole", model=node, **SMALL)


def test_a_device_is_a_backend_wherever_one_is_given(tmp_path):
    small = {"env": "navigation", "env_config": {"horizon": 3}, "agent": "scratch"} | SMALL
    run = agents.train(tmp_path / "run", **small)
    exact = run.evaluate(tasks=2, steps=1, episodes=2)
    curve = run.evaluate(tasks=2, steps=1, episodes=2, backend=qml.device("default.qubit", wires=4))
    assert curve.backend["name"] == "pennylane:default.qubit (given in Python)"
    assert curve.mean == pytest.approx(exact.mean, rel=1e-3)
    with pytest.raises(UsageError, match=r"device default.qubit has the wires \[0\], the circuit needs 0 to 3"):
        run.evaluate(tasks=2, steps=1, episodes=2, backend=qml.device("default.qubit", wires=1))
    with pytest.raises(UsageError, match="expected a name or a PennyLane device"):
        run.agent_on(3)
    with pytest.raises(UsageError, match="pass that object again"):
        Backend("pennylane:default.qubit (given in Python)")


def test_a_device_is_the_name_or_the_device_of_a_backend():
    device = qml.device("default.mixed", wires=4)
    backend = Backend(device=device, shots=7)
    assert backend == Backend(device, shots=7) and backend.name == "pennylane:default.mixed (given in Python)"
    assert dataclasses.replace(backend, shots=8) == Backend(device, shots=8)
    with pytest.raises(UsageError, match="a device is given twice, as the name and as device"):
        Backend(device, device=device)
    with pytest.raises(UsageError, match=r"give the name 'pennylane:lightning.qubit' or a device, not both"):
        Backend("pennylane:lightning.qubit", device=device)
    with pytest.raises(UsageError, match=r"expected a name or a PennyLane device, .* not 'default.mixed'"):
        Backend(device="default.mixed")


def test_a_layer_runs_on_a_device_itself():
    layer, inputs = QuantumLayer("reuploading", 2, 1), torch.rand(3, 2)
    exact = layer(inputs)
    for backend in (qml.device("default.mixed", wires=2), "pennylane:default.qubit", Backend()):
        run_on(layer, backend, torch.Generator())
        torch.testing.assert_close(layer(inputs), exact, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match=r"device default.qubit has the wires"):
        run_on(layer, qml.device("default.qubit", wires=1), torch.Generator())


def test_an_environment_given_as_an_object_is_answered_with_what_is_taken(tmp_path):
    with pytest.raises(
        UsageError, match=r"^env: the object given is an environment; name its class, .*GymnasiumTasks\("
    ):
        agents.train(tmp_path / "run", env=gymnasium.make("CartPole-v1"))
    assert not (tmp_path / "run").exists()
