"""The backend option of training and evaluation, and invalid backends."""

import json

import numpy as np
import pytest
import torch

from agents.cli.evaluate import run_evaluation
from agents.cli.main import main
from agents.cli.options import EvaluateOptions
from agents.cli.train import parse_train
from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.loop import Training
from agents.experiment.start import run_training
from agents.maml import Config
from envs.core.registry import ENVS
from qrl.backends.backend import Backend, Execution
from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.noise.model import Noise
from qrl.policies.policy import bind
from tests.support.trained_parameters import trained

SMALL = {"iterations": 2, "threads": 1, "eval_tasks": 3, "eval_steps": 1, "eval_episodes": 2}


def spec(**fields) -> Spec:
    env = ENVS.load("navigation").Config(horizon=5)
    config = Config(meta_batch=2, episodes=3, epochs=1)
    return Spec.default(**{"env_config": env, "agent_config": config, **SMALL, **fields})


def train(folder, **fields):
    run_training(spec(**fields), folder, overwrite=False, command=[], quiet=True)
    return folder


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "exact")


def evaluation(path):
    return json.loads(path.read_text())


def test_policy_is_built_on_its_backend():
    for model, agent in (("reuploading", "maml"), ("qgru", "rl2")):
        fields = {"agent_config": None} if agent == "rl2" else {}
        given = spec(model=model, agent=agent, shots=7, noise=("bit_flip=0.1",), **fields)
        _, built = build(Spec.from_json(given.to_json()))
        programs = [m.program for m in built.policy.modules() if hasattr(m, "program")]
        assert programs and all(isinstance(p, Execution) and p.shots == 7 for p in programs)
        assert len({id(p.generator) for p in programs}) == 1


def test_evaluation_on_another_backend_has_separate_files_and_values(exact):
    assert run_evaluation(EvaluateOptions(run=exact, tasks=3)) == 0
    before = evaluation(exact / "evaluation.json")
    assert run_evaluation(EvaluateOptions(run=exact, tasks=3, shots=3, noise=("depolarizing=0.2", "readout=0.1"))) == 0
    noisy = evaluation(exact / "evaluation-shots3-depolarizing0.2-readout0.1.json")
    assert (exact / "adaptation-shots3-depolarizing0.2-readout0.1.png").exists()
    assert evaluation(exact / "evaluation.json") == before
    assert before["backend"] == {
        "name": "torch",
        "shots": 0,
        "noise": {"depolarizing": 0.0, "amplitude_damping": 0.0, "phase_damping": 0.0, "bit_flip": 0.0}
        | {"readout": 0.0, "after": "gate"},
        "options": {},
    }
    assert noisy["backend"]["shots"] == 3 and noisy["backend"]["noise"]["readout"] == 0.1
    assert noisy["mean"] != before["mean"]


def test_evaluation_reproduces_its_shots_and_leaves_the_run_unchanged(exact):
    run = load(exact)
    how = {"tasks": 3, "episodes": 2, "steps": 1}
    first, again = (run.evaluate(**how, backend=Backend(shots=5)) for _ in range(2))
    assert first == again != run.evaluate(**how, backend=Backend(shots=6))
    assert run.evaluate(**how) == load(exact).evaluate(**how)


def test_run_trained_with_noise_is_evaluated_with_noise(tmp_path):
    run = load(train(tmp_path / "noisy", shots=20, noise=("depolarizing=0.05",)))
    how = {"tasks": 3, "episodes": 2, "steps": 1}
    used = Backend(shots=20, noise=Noise(depolarizing=0.05))
    curve = run.evaluate(**how)
    assert curve.backend["shots"] == 20 and curve == run.evaluate(**how, backend=used)
    assert run_evaluation(EvaluateOptions(run=run.folder.path, tasks=3, shots=0, noise=("depolarizing=0",))) == 0
    assert evaluation(run.folder.path / "evaluation-exact.json")["backend"]["shots"] == 0
    policy = run.adapt(episodes=2)
    assert policy.act(torch.zeros(2)).shape == (2,)


def test_command_line_accepts_repeated_noise_options():
    arguments = ["--noise", "depolarizing=0.01", "--shots=9", "--noise", "readout=0.02", "after=layer", "--seed", "4"]
    parsed, *_ = parse_train(arguments)
    assert parsed.noise == ("depolarizing=0.01", "readout=0.02", "after=layer")
    assert (parsed.shots, parsed.seed) == (9, 4)


DEVICE = "pennylane:lightning.qubit"


def test_a_run_trained_by_second_derivatives_is_evaluated_on_a_device_without(tmp_path):
    run = load(train(tmp_path / "run"))
    curve = run.evaluate(tasks=2, steps=1, episodes=2, backend=DEVICE)
    assert curve.mean == pytest.approx(run.evaluate(tasks=2, steps=1, episodes=2).mean, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "agent_config"),
    [
        ({"backend": "pennylane:default.qubit"}, {"epochs": 1}),
        ({"backend": "pennylane:default.qubit"}, {"outer": "trpo"}),
        ({"backend": DEVICE}, {"estimator": "first-order", "epochs": 1}),
        ({"backend": DEVICE, "shots": 1000}, {"estimator": "first-order", "epochs": 1}),
    ],
)
def test_training_on_a_device_matches_torch(backend, agent_config):
    """One meta-iteration gives the same parameters.

    Ten iterations of conjugate gradients in single precision leave part of a trust-region step to rounding. With many
    shots, where Adam's first step depends on the signs of gradients, most signs agree.
    """
    after = []
    for where in ({}, backend):
        config = Config(meta_batch=2, episodes=3, **agent_config)
        small = MODELS.load("reuploading").Config(n_wires=2, n_layers=1)
        given = spec(**where, agent_config=config, model_config=small)
        training = Training(given, *build(given))
        row = training.step()
        assert row["circuits"] > 0
        after.append(torch.cat([value.flatten() for value in trained(training.agent).values()]))
    same = (after[0] - after[1]).abs() < (0.05 if "outer" in agent_config else 1e-3)
    assert same.float().mean() > 0.8 if "shots" in backend else same.all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backend": DEVICE}, "training with estimator dice and outer ppo needs second derivatives of circuits"),
        ({"backend": "pennylane:lightnin.qubit"}, "did you mean 'lightning.qubit'"),
        ({"backend": "qiskit.aer"}, "unknown name 'qiskit.aer'; did you mean 'pennylane:qiskit.aer'"),
        ({"noise": ("depolarising=0.1",)}, "did you mean 'depolarizing'"),
        ({"noise": ("readout=0.7",)}, "readout must be a number in 0 to 0.5, not 0.7"),
        ({"backend": "torhc"}, "unknown name 'torhc'; did you mean 'torch'"),
        ({"shots": 10**12}, "shots must be at most 1000000000"),
        ({"model": "mlp", "shots": 10}, "shots, noise and devices need a model with circuits"),
    ],
)
def test_invalid_training_backend_leaves_no_files(fields, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_training(spec(**fields), tmp_path / "run", overwrite=False, command=[])
    assert not (tmp_path / "run").exists()


def test_invalid_evaluation_backend_leaves_no_files(exact):
    before = sorted(exact.iterdir())
    for options, message in (({"shots": -1}, "shots"), ({"noise": ("readout",)}, "NAME=STRENGTH")):
        with pytest.raises(UsageError, match=message):
            run_evaluation(EvaluateOptions(run=exact, **options))
    assert sorted(exact.iterdir()) == before


# --- counting ---------------------------------------------------------------------------------------------------------


def test_training_counts_every_circuit_execution_and_shot():
    rows = []
    # Without a target the number of evaluations does not depend on how far the policies move.
    config = Config(meta_batch=2, episodes=3, epochs=1, target_kl=0.0)
    for shots in (0, 7):
        given = spec(shots=shots, agent_config=config)
        rows.append(Training(given, *build(given)).step())
    n_lanes, horizon, n_rollouts = 2 * 3, 5, 2
    assert rows[0]["circuits"] > n_lanes * horizon * n_rollouts  # forward passes; the rest is gradients
    assert rows[1]["circuits"] == 7 * rows[0]["circuits"]
    assert "circuits" not in Training(spec(model="mlp"), *build(spec(model="mlp"))).step()


# --- robustness -------------------------------------------------------------------------------------------------------


def test_sweep_matches_single_evaluations(exact, capsys):
    arguments = ["robustness", str(exact), "--noise", "depolarizing", "readout", "--strengths", "0.2", "0.05"]
    assert main([*arguments, "--shots", "4", "--tasks", "3"]) == 0
    found = evaluation(exact / "robustness.json")
    assert (exact / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    points = {(point["what"], point["value"]): point for point in found["points"]}
    kinds = [("depolarizing", 0.05), ("depolarizing", 0.2), ("readout", 0.05), ("readout", 0.2)]
    assert list(points) == [("exact", 0.0), *kinds, ("shots", 4.0)]
    run, how = load(exact), {"tasks": 3, "episodes": 2}
    for key, backend in (
        (("exact", 0.0), Backend()),
        (("readout", 0.2), Backend(noise=Noise(readout=0.2))),
        (("shots", 4.0), Backend(shots=4)),
    ):
        curve = run.evaluate(backend=backend, **how)
        assert points[key]["before"] == [curve.mean[0], curve.ci_low[0], curve.ci_high[0]]
        assert points[key]["after"] == [curve.mean[-1], curve.ci_low[-1], curve.ci_high[-1]]
    assert "depolarizing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--noise", "depolarising"], "unknown noise 'depolarising'; did you mean 'depolarizing'"),
        (["--noise", "depolarizing=0.01"], "--noise takes kinds, not"),
        (["--strengths", "0.1", "1.5"], "depolarizing must be a number in 0 to 1, not 1.5"),
        (["--shots", "0", "10"], "numbers of shots must be at least 1"),
        (["--shots", "-3"], "shots must be at least 0, not -3"),
        (["--tasks", "1"], "tasks must be at least 2, not 1"),
        (["--out", "here.txt"], "the name of the --out file must end in .json"),
    ],
)
def test_invalid_sweeps_leave_no_files(exact, options, message, capsys):
    before = sorted(exact.iterdir())
    assert main(["robustness", str(exact), *options]) == 2
    assert message in capsys.readouterr().err
    assert sorted(exact.iterdir()) == before


# --- export -----------------------------------------------------------------------------------------------------------


def run_text(text: str) -> list[str]:
    """Return the lines with gates."""
    return [line for line in text.splitlines() if not line.startswith(("OPENQASM", "include", "qubit", "bit"))]


def test_export_contains_the_circuits_of_the_adapted_policy(exact, tmp_path, capsys):
    """The read-out applied to the listed values gives the policy's means at these observations."""
    seen = [[0.1, -0.2], [0.0, 0.3]]
    (tmp_path / "seen.json").write_text(json.dumps(seen))
    options = ["--observations", str(tmp_path / "seen.json"), "--episodes", "3", "--task", "1"]
    assert main(["export", str(exact), "--out", str(tmp_path / "out"), *options]) == 0
    about = evaluation(tmp_path / "out" / "export.json")
    assert [row["observation"] for row in about["observations"]] == seen and about["steps"] == 1
    run = load(exact)
    tasks = run.distribution.sample(2, "test", np.random.default_rng(0))
    assert about["task"] == tasks.rows()[1]
    adapted = run.adapt(run.distribution.make(tasks[1:2]), episodes=3)
    state, policy = adapted._state, run.agent.policy
    params = {name: value[0] for name, value in state.params.items()}
    for row in about["observations"]:
        (circuit,) = row["circuits"]
        assert circuit["observables"] == ["Z0", "Z1", "Z2", "Z3"] and circuit["module"] == "features"
        values = torch.tensor(circuit["values"])
        mean = policy.distribution(bind(policy, params), torch.tensor([row["observation"]]))["mean"][0]
        expected = params["readout.weight"] @ values + params["readout.bias"]
        torch.testing.assert_close(mean, expected, atol=1e-4, rtol=0)
        (file,) = circuit["files"]
        assert file["basis"] == {str(wire): "Z" for wire in range(4)}
        assert file["terms"] == [{"observable": k, "coefficient": 1.0, "wires": [k]} for k in range(4)]
        lines = run_text((tmp_path / "out" / file["file"]).read_text())
        assert lines[-4:] == [f"c[{wire}] = measure q[{wire}];" for wire in range(4)]
        assert not any("(0)" in line for line in lines)
    assert "wrote 2 circuits and export.json" in capsys.readouterr().out


def test_circuits_of_recurrent_policies_are_exported(tmp_path):
    config = AGENTS.load("rl2").Config(episodes=2, meta_batch=4)
    fields = {
        "env": "bandit",
        "env_config": None,
        "agent": "rl2",
        "agent_config": config,
        "model": "qgru",
        "iterations": 1,
    }
    folder = train(tmp_path / "run", **fields)
    assert main(["export", str(folder), "--out", str(tmp_path / "out"), "--format", "openqasm2"]) == 0
    (row,) = evaluation(tmp_path / "out" / "export.json")["observations"]
    assert len(row["circuits"]) == 4 and {c["module"] for c in row["circuits"]} == {"actor.features.gates"}
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert "measure q[3] -> c[3];" in (tmp_path / "out" / row["circuits"][0]["files"][0]["file"]).read_text()
    assert main(["export", str(folder), "--out", str(tmp_path / "steps"), "--steps", "2"]) == 2
    assert not (tmp_path / "steps").exists()


MIXED = """
from qrl import Circuit, Gate, Input, Observable, Weight

circuit = Circuit(
    n_wires=2,
    gates=(Gate("RY", (0,), Weight(0)), Gate("RY", (1,), Input(0)), Gate("CNOT", (0, 1)), Gate("RZ", (1,), Input(1))),
    observables=(Observable.of("X0"), Observable.of((0.5, "Z1"), (0.25, "Z0")), Observable.of("Y0 Y1")),
)
"""


def test_exported_files_alone_give_the_values(tmp_path, capsys):
    """X0 and Z1 share a file; what export.json says about each file is enough to compute the values from outcomes."""
    pytest.importorskip("qiskit")
    from qiskit import qasm3, quantum_info

    (tmp_path / "mixed.py").write_text(MIXED)
    (tmp_path / "seen.json").write_text("[[0.4, -0.9]]")
    folder = train(tmp_path / "run", model=str(tmp_path / "mixed.py"), iterations=1)
    options = ["--observations", str(tmp_path / "seen.json"), "--out", str(tmp_path / "out")]
    assert main(["export", str(folder), *options]) == 0
    (circuit,) = evaluation(tmp_path / "out" / "export.json")["observations"][0]["circuits"]
    assert [file["file"] for file in circuit["files"]] == [f"observation0-circuit0-basis{k}.qasm" for k in range(3)]
    assert [file["basis"] for file in circuit["files"]] == [{"0": "X", "1": "Z"}, {"0": "Z"}, {"0": "Y", "1": "Y"}]
    found = [0.0, 0.0, 0.0]
    for file in circuit["files"]:
        read = qasm3.loads((tmp_path / "out" / file["file"]).read_text())
        outcomes = quantum_info.Statevector(read.remove_final_measurements(inplace=False)).probabilities_dict()
        for term in file["terms"]:
            signs = {bits: (-1) ** sum(int(bits[-1 - wire]) for wire in term["wires"]) for bits in outcomes}
            mean = sum(probability * signs[bits] for bits, probability in outcomes.items())
            found[term["observable"]] += term["coefficient"] * mean
    assert found == pytest.approx(circuit["values"], abs=1e-5) and min(map(abs, found)) > 1e-3
    assert "wrote 3 circuits and export.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--observations", "nowhere.json"], "nowhere.json"),
        (["--observations", "{wrong}"], "an observation is (2,) finite numbers, not [1.0]"),
        (["--observations", "{null}"], "an observation is (2,) finite numbers, not [None, 1.0]"),
        (["--observations", "{words}"], "an observation is (2,) finite numbers, not ['a', 'b']"),
        (["--task", "-1"], "--task must be at least 0"),
        (["--format", "qasm"], "expected one of 'openqasm2', 'openqasm3', 'qiskit', found 'qasm'"),
        (["--episodes", "0"], "--episodes must be at least 1"),
        (["--episodes", "1"], "episodes must be at least 2"),
    ],
)
def test_invalid_exports_leave_no_files(exact, tmp_path, options, message, capsys):
    (tmp_path / "wrong.json").write_text("[[0.0, 0.0], [1.0]]")
    (tmp_path / "null.json").write_text("[[null, 1.0]]")
    (tmp_path / "words.json").write_text('[["a", "b"]]')
    options = [
        option.format(**{name: tmp_path / f"{name}.json" for name in ("wrong", "null", "words")}) for option in options
    ]
    assert main(["export", str(exact), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_export_without_circuits_is_rejected(tmp_path, capsys):
    folder = train(tmp_path / "run", model="mlp", iterations=1)
    assert main(["export", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "export: the model has no circuits" in capsys.readouterr().err
