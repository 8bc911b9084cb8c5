"""Files with a circuit as models: a `Circuit` is one; PennyLane's circuits name the line to write."""

import pytest

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.models import MODELS

CIRCUIT = """
from qrl import Circuit, Gate, Input, Observable, Weight
{name} = Circuit(1, (Gate("RY", (0,), Input(0)), Gate("RX", (0,), Weight({weight}))), (Observable.of("Z0"),))
"""
NODE = """
import pennylane as qml

@qml.qnode(qml.device("default.qubit", wires=1))
def {name}(inputs, weights):
    return qml.expval(qml.PauliZ(0))
"""
FUNCTION = """
import pennylane as qml

def {name}(inputs, weights):
    return qml.expval(qml.PauliZ(0))
"""
LINE = "becomes a model by a line in its file: Config, build = qrl.pennylane_model({}, n_inputs=…, n_weights=…)"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "circuits.py"
        path.write_text(text)
        return MODELS.load(str(path))

    return load


def test_the_circuit_of_a_file_is_a_model(load):
    plugin = load(CIRCUIT.format(name="mine", weight=0) + "same = mine\n")
    assert isinstance(plugin.circuit, Circuit) and plugin.circuit.n_weights == 1
    assert plugin.Config().encoding == "auto"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NODE.format(name="mine"), LINE.format("mine")),
        (FUNCTION.format(name="mine"), LINE.format("mine")),
        (NODE.format(name="one") + NODE.format(name="two"), LINE.format("CIRCUIT")),
        (NODE.format(name="one") + FUNCTION.format(name="helper"), LINE.format("one")),
        (CIRCUIT.format(name="one", weight=0) + CIRCUIT.format(name="two", weight=1), "several circuits, one, two"),
        (CIRCUIT.format(name="one", weight=0) + "Config = 3", "has no dataclass called Config"),
        ("import math\n\ndef helper():\n    pass", "has no dataclass called Config"),
    ],
)
def test_other_files_are_refused_by_what_to_write(load, text, message):
    with pytest.raises(UsageError) as caught:
        load(text)
    assert message in str(caught.value)
