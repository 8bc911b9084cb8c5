"""Arguments of a user's PennyLane function: batches, names, shapes, TorchLayers, and errors that name the line."""

from functools import partial

import pennylane as qml
import pytest
import torch

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.simulator.program import compile_circuit

DOUBLE = torch.float64
WEIGHTS = torch.tensor([0.5, -0.4, 0.7, 0.2, 0.9, -0.6], dtype=DOUBLE)


def in_a_batch(inputs, weights):
    for wire in range(2):
        qml.RX(inputs[:, wire] / torch.linalg.norm(inputs, dim=-1), wires=wire)
    qml.Rot(*weights[:3], wires=0)
    qml.CRot(*weights[3:], wires=[0, 1])
    return qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliX(1))


def test_functions_of_a_batch_of_inputs():
    def of_one(inputs, weights):
        return in_a_batch(inputs[None], weights)

    circuit = Circuit.from_pennylane(in_a_batch, n_inputs=2, n_weights=6)
    assert circuit == Circuit.from_pennylane(of_one, n_inputs=2, n_weights=6)
    node = qml.QNode(in_a_batch, qml.device("default.qubit"), interface="torch")
    inputs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    program = compile_circuit(circuit)
    found = program.run(program.bind(WEIGHTS, torch.zeros(0, dtype=DOUBLE)), inputs)
    torch.testing.assert_close(found, torch.stack(node(inputs, WEIGHTS), dim=-1), atol=1e-10, rtol=0)


def named(order):
    """Function with parameters of these names, of which those that begin with "w" are weights."""
    namespace = {"body": lambda inputs, weights: body(inputs, weights)}
    inputs, weights = sorted(order, key=lambda name: name.startswith("w"))
    exec(f"def function({', '.join(order)}): return body({inputs}, {weights})", namespace)
    return namespace["function"]


def body(inputs, weights):
    qml.RX(inputs[0], wires=0)
    qml.RY(weights[0, 1] + weights[1, 0], wires=0)
    qml.RZ(weights[0, 0] * weights[1, 1], wires=0)
    return qml.expval(qml.PauliZ(0))


@pytest.mark.parametrize("order", [("inputs", "w"), ("state", "w"), ("w", "x"), ("w", "inputs")])
def test_inputs_under_another_name_beside_weights_of_given_shapes(order):
    shapes = {"w": (2, 2)}
    found = Circuit.from_pennylane(named(order), n_inputs=1, weight_shapes=shapes)
    assert str(found.gates) == str(Circuit.from_pennylane(body, n_inputs=1, weight_shapes={"weights": (2, 2)}).gates)


def test_arguments_in_another_order_are_passed_by_their_names():
    def function(weights, x):
        qml.RX(x[0] * x[1], wires=0)
        qml.RY(weights[0], wires=0)
        return qml.expval(qml.PauliZ(0))

    circuit = Circuit.from_pennylane(function, n_inputs=2, n_weights=1)
    assert [str(gate) for gate in circuit.gates] == ["RX(x0*x1)", "RY(w0)"]
    without = Circuit.from_pennylane(
        lambda p: (qml.RY(p[0, 0], 0), qml.expval(qml.Z(0)))[1], n_inputs=0, weight_shapes={"p": (1, 1)}
    )
    assert [str(gate) for gate in without.gates] == ["RY(w0)"]
    with pytest.raises(UsageError, match=r"weight_shapes: unknown argument 'wieghts'; did you mean 'weights'"):
        Circuit.from_pennylane(body, n_inputs=1, weight_shapes={"wieghts": (2, 2)})


def unused(inputs, weights):
    qml.Rot(*weights[0, :], wires=0)
    qml.RX(inputs[0] * weights[1, 0], wires=0)
    return qml.expval(qml.PauliZ(0))


def test_arrays_of_weights_may_have_elements_that_no_angle_uses():
    circuit = Circuit.from_pennylane(unused, n_inputs=1, weight_shapes={"weights": (3, 3)})
    assert circuit.n_weights == 4
    with pytest.raises(UsageError, match=r"no angle uses weight 4: .* or give weight_shapes, whose arrays may"):
        Circuit.from_pennylane(lambda x, w: unused(x, w.reshape(3, 3)), n_inputs=1, n_weights=9)


def test_arguments_that_are_no_weights_are_set_by_partial():
    def function(x, weights, n_layers, wires=(0,)):
        for layer in range(n_layers):
            qml.Rot(*weights[layer], wires=wires)
            qml.RX(x[0], wires=wires)
        return qml.expval(qml.PauliZ(0))

    sizes = {"n_inputs": 1, "weight_shapes": {"weights": (2, 3)}}
    with pytest.raises(
        UsageError, match=r"missing 1 required positional argument: 'n_layers'.*; functools.partial sets"
    ):
        Circuit.from_pennylane(function, **sizes)
    found = Circuit.from_pennylane(partial(function, n_layers=2), **sizes)
    assert found == Circuit.from_pennylane(lambda x, weights: function(x, weights, 2), **sizes)

    def with_defaults(weights, n_layers=2, *, x):
        return function(x, weights, n_layers)

    assert found == Circuit.from_pennylane(with_defaults, **sizes)


def test_errors_name_the_line_of_a_helper_in_another_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_mine.py").write_text("def encode(x):\n    return 1.0 if x[0] > 0 else 0.0\n")
    (tmp_path / "mine.py").write_text(HELPED)
    with pytest.raises(
        UsageError, match=r"only angles .* \(helper_of_mine.py, line 2: return 1.0 if x\[0\] > 0 else 0.0\)"
    ):
        MODELS.load(str(tmp_path / "mine.py"))


HELPED = """
import pennylane as qml
from helper_of_mine import encode
from qrl import pennylane_model

def function(inputs, weights):
    qml.RX(encode(inputs) * weights[0], wires=0)
    return qml.expval(qml.PauliZ(0))

Config, build = pennylane_model(function, n_inputs=1, n_weights=1)
"""


def torch_layer():
    node = qml.QNode(in_a_batch, qml.device("default.qubit"), interface="torch")
    return qml.qnn.TorchLayer(node, {"weights": 6})


@pytest.mark.filterwarnings("ignore:from_pennylane")
def test_a_torch_layer_is_read_with_its_own_shapes():
    theirs = torch_layer()
    with pytest.warns(UserWarning, match="default.qubit is not used, nor are the weights of the layer"):
        circuit = Circuit.from_pennylane(theirs, n_inputs=2)
    ours = QuantumLayer(circuit)
    with torch.no_grad():
        ours.weights.copy_(theirs.qnode_weights["weights"])
    inputs = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    expected = theirs(inputs).reshape(2, 3).mT  # PennyLane flattens all axes after the first, here of two outputs
    torch.testing.assert_close(ours(inputs), expected, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="a TorchLayer has its own weight_shapes"):
        Circuit.from_pennylane(theirs, n_inputs=2, n_weights=6)
