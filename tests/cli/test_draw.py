"""`run.py draw`: circuits of runs and of models, as text and as a picture."""

from pathlib import Path

import pytest
import torch

from agents.cli.main import main
from agents.core.spec import Spec
from agents.experiment.circuits import circuits_for, circuits_in
from agents.runs.folder import RunFolder
from qrl import Circuit, Gate, Input, Observable, QuantumLayer, Weight
from qrl.circuits.figure import circuit_figure
from tests.support.command_line import refused

MINE = """
import pennylane as qml
from qrl import pennylane_model

def circuit(inputs, weights):
    qml.RX(inputs[0], wires=0)
    qml.CNOT(wires=(0, 1))
    qml.RY(weights[0], wires=1)
    return qml.expval(qml.PauliZ(0) @ qml.PauliZ(1))

Config, build = pennylane_model(circuit, n_inputs=1, n_weights=1)
"""
Z = Observable.of("Z0")
SMALL = ["--model.n-layers", "1", "--model.n-wires", "2"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")


def run_of(**fields) -> str:
    return str(RunFolder.create(Path("run"), {"spec": Spec.default(**fields).to_json()}).path)


def drawn(capsys, *arguments: str) -> list[str]:
    assert main(["draw", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_model_is_drawn_with_its_options(capsys):
    """The circuit encodes as many inputs as the environment has observations."""
    assert drawn(capsys, "reuploading", "--env", "cartpole", *SMALL) == [
        "features: 2 wires, 11 gates, depth 6",
        "0: -RY(w0)--*--RY(s0*x0)--RZ(s2*x0)--RZ(w2)--RY(w4)-",
        "1: -RY(w1)--*--RY(s1*x1)--RZ(s3*x1)--RZ(w3)--RY(w5)-",
        "<Z0>",
        "<Z1>",
    ]


def test_the_options_may_come_first(capsys):
    last = drawn(capsys, "--out", "a.svg", "--env", "navigation", "reuploading")
    first = drawn(capsys, "reuploading", "--env", "navigation", "--out", "b.svg")
    assert last[:-1] == first[:-1] and (last[-1], first[-1]) == ("wrote a.svg", "wrote b.svg")


def test_a_circuit_of_a_users_file(capsys):
    Path("mine.py").write_text(MINE)
    title, *lines = drawn(capsys, "mine.py")
    assert title == "features: 2 wires, 3 gates, depth 3"
    assert lines == ["0: -RX(x0)--*---------", "1: ---------X--RY(w0)-", "<Z0 Z1>"]


def test_a_long_circuit_continues_below_in_the_width_of_the_terminal(capsys):
    lines = drawn(capsys, "reuploading")
    assert max(map(len, lines)) <= 60 and sum(line.startswith("3: ") for line in lines) == 5


def test_the_circuits_of_a_run(capsys):
    """Actor and critic have equal circuits, which are drawn once, under both names."""
    title, *lines = drawn(capsys, run_of(env="bandit", agent="rl2", model="gru_vqc"))
    assert title == "actor.features.circuit, critic.features.circuit: 2 circuits of 4 wires, 64 gates, depth 25"
    assert lines[-4:] == ["<Z0>", "<Z1>", "<Z2>", "<Z3>"]


def test_a_run_on_a_device_is_drawn_without_it(capsys):
    """Neither a GPU nor an account of IBM is needed, and no circuit runs."""
    run = run_of(device="cuda", backend="pennylane:qiskit.remote,backend=ibm_torino", shots=1000)
    assert drawn(capsys, run)[0] == "features: 4 wires, 64 gates, depth 25"


def test_different_circuits_of_a_policy_are_apart():
    def layer(name: str) -> QuantumLayer:
        return QuantumLayer(Circuit(1, (Gate(name, (0,), Input(0)), Gate("RY", (0,), Weight(0))), (Z,)))

    found = circuits_in(torch.nn.ModuleDict({"actor": layer("RX"), "critic": layer("RZ"), "second": layer("RX")}))
    assert [(each.modules, each.count) for each in found] == [(("actor", "second"), 2), (("critic",), 1)]


def test_a_model_on_registers_shows_one_step():
    """One qubit of memory and one that arrives, which is measured; with memory measured, both are."""
    (step,) = circuits_for(Spec.default(env="quantum_memory", agent="rl2", model="coherent"))
    assert step.modules == ("cell",) and step.circuit.n_wires == 2
    assert step.circuit.observables == (Observable.of("Z1"),)
    spec = Spec.default(env="quantum_memory", agent="rl2", model="coherent", model_config={"memory": "measured"})
    assert circuits_for(spec)[0].circuit.observables == (Observable.of("Z0"), Observable.of("Z1"))


@pytest.mark.parametrize(("name", "begin"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_pictures_have_the_format_of_their_name(capsys, name, begin):
    assert drawn(capsys, "reuploading", *SMALL, "--out", name)[-1] == f"wrote {name}"
    assert Path(name).read_bytes().startswith(begin)


def test_titles_fit_into_the_picture():
    circuit = Circuit(1, (Gate("H", (0,)),), (Z,))
    titles = ["actor.features.circuit: 8 circuits of 1 wires, 1 gates", "critic"]
    figure = circuit_figure(dict.fromkeys(titles, circuit))
    figure.draw_without_rendering()
    assert [panel.get_title("left") for panel in figure.axes] == titles
    for panel in figure.axes:
        assert panel._left_title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "draw needs RUN-OR-MODEL: usage is run.py draw RUN-OR-MODEL"),
        (["mlp"], "draw: model mlp (env navigation, agent maml) has no circuits: its policy is classical"),
        (["run"], "draw: run has no circuits: its policy is classical"),
        (["nowhere"], "draw: no run folder nowhere, and unknown model 'nowhere'; did you mean"),
        (["runs/nowhere"], "runs/nowhere: no such run folder"),
        (["nowhere.py"], "draw: no run folder nowhere.py, and model file"),
        (["qgru"], "model 'qgru' has a memory, which this agent does not use; rl2 does"),
        (["reuploading", "--model.n-layer", "2"], "unknown option --model.n-layer; did you mean --model.n-layers?"),
        (
            ["reuploading", "--iterations", "4"],
            "unknown option --iterations; it is for training a run; draw only builds",
        ),
        (
            ["run", "--iterations=4"],
            "unknown option --iterations; it is for training a run; draw only builds the policy",
        ),
        (["reuploading", "--vary", "a=1:2"], "--vary: env 'navigation' has no such option"),
        (["run", "--model.n-layers", "2"], "unknown option --model.n-layers"),
        (["reuploading", "--out", "a.xyz"], "a.xyz: cannot write a picture: no format 'xyz'"),
        (["reuploading", "--out", "run"], "run: cannot write a picture: the name has no suffix"),
        (["reuploading", "--out", "old.png"], "old.png already exists; choose another --out"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(capsys, arguments, message):
    run_of(env="navigation", agent="maml", model="mlp")
    Path("old.png").touch()
    assert refused(capsys, ["draw", *arguments]).startswith(message)


def test_help_has_the_options_of_the_model(capsys):
    text = "\n".join(drawn(capsys, "reuploading", "--help"))
    assert "--model.n-layers" in text and "--out" in text and "--iterations" not in text
