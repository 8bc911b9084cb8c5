"""Files with a circuit as models: a `Circuit` is one; PennyLane's circuits name the line to write."""

import os
import subprocess
import sys

import pennylane as qml
import pytest

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.models import MODELS
from tests.support.command_line import ROOT

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
LAYER = "\nlayer = qml.qnn.TorchLayer(mine, {'weights': 2})\n"
FUNCTION = """
import pennylane as qml

def {name}(inputs, weights):
    return qml.expval(qml.PauliZ(0))
"""
LINE = "becomes a model by a line in its file: Config, build = qrl.pennylane_model({}, n_inputs=…, n_weights=…)"


def test_the_warning_about_a_device_names_the_line_of_the_user(tmp_path):
    """In a process of its own, since the tests' type checks put functions of their own between ours."""
    text = (
        NODE.format(name="mine") + "\nimport qrl\nConfig, build = qrl.pennylane_model(mine, n_inputs=0, n_weights=0)\n"
    )
    (tmp_path / "mine.py").write_text(text)
    program = """
from qrl.models import MODELS
MODELS.load("mine.py")
import mine, qrl
qrl.Circuit.from_pennylane(mine.mine, n_inputs=0, n_weights=0)
"""
    command = [sys.executable, "-W", "always", "-c", program]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [each for each in done.stderr.splitlines() if "its device default.qubit is not used" in each]
    places = [each.partition(": UserWarning")[0].removeprefix(f"{tmp_path}/") for each in found]
    assert places == ["mine.py:9", "mine.py:9", "<string>:5"]


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
        (NODE.format(name="mine") + LAYER, LINE.format("layer").replace(", n_weights=…", "")),
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


BY_NAMES = """
import numpy as np
from pennylane import PauliZ, expval

ANGLES = np.zeros(2)

def {name}(inputs, weights):
    return expval(PauliZ(0))
"""


@pytest.mark.parametrize("text", [FUNCTION, BY_NAMES])
@pytest.mark.parametrize("attribute", ["", ":mine"])
def test_functions_of_pennylane_name_the_line_also_as_attributes(tmp_path, text, attribute):
    path = tmp_path / "circuits.py"
    path.write_text(text.format(name="mine"))
    with pytest.raises(UsageError) as caught:
        MODELS.load(f"{path}{attribute}")
    assert LINE.format("mine") in str(caught.value)


def test_functions_without_pennylane_are_no_circuits(tmp_path):
    path = tmp_path / "other.py"
    path.write_text("def mine(inputs):\n    return inputs\n")
    with pytest.raises(UsageError, match="has no dataclass called Config"):
        MODELS.load(f"{path}:mine")


def test_objects_of_pennylane_are_refused_by_what_to_write():
    node = qml.QNode(lambda inputs, weights: qml.expval(qml.PauliZ(0)), qml.device("default.qubit", wires=1))
    with pytest.raises(UsageError, match=r"a QNode becomes a model by qrl.Circuit.from_pennylane\(circuit, n_inputs="):
        MODELS.load(node)
    with pytest.raises(UsageError, match=r"a TorchLayer becomes a model by .*from_pennylane\(layer, n_inputs=…\)"):
        MODELS.load(qml.qnn.TorchLayer(node, {"weights": 2}))
