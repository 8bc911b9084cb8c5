"""Noise models, options and circuits that calibrations do not support."""

import numpy as np
import pytest
import torch

from qrl.backends.backend import Backend
from qrl.backends.pennylane import to_qnode
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.noise.calibration import Calibration
from qrl.noise.model import Noise
from qrl.noise.native_gates import GateError, pauli_words
from tests.support.calibrations import bell, channel, line, scaled, trainable, values


def test_non_noise_models_are_rejected():
    pytest.importorskip("qiskit_aer")
    with pytest.raises(UsageError, match=r"expected a qiskit_aer\.noise\.NoiseModel or a backend .*, not a dict"):
        Calibration.from_qiskit({})


def test_without_qiskit(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "qiskit_aer.noise", None)
    with pytest.raises(UsageError, match=r"reading noise models needs Qiskit Aer: pip install 'qrl-meta\[qiskit\]'"):
        Calibration.from_qiskit(object())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": (0, 4)}, "layout: a NoiseModel has qubits 0 to 3, not 4"),
        ({"layout": (0, 0)}, r"layout must be distinct qubits, one for each wire, not \(0, 0\)"),
        ({"layout": ()}, "layout must be distinct qubits"),
        ({"layout": (-1,)}, "layout must be distinct qubits"),
        ({"uncoupled": "swap"}, "unknown uncoupled 'swap'; did you mean 'swaps'"),
    ],
)
def test_invalid_options(options, message, unchecked: None):
    with pytest.raises(UsageError, match=message):
        Calibration.from_qiskit(line(0.9, 0.9, 0.9), **options)


def test_unsupported_errors():
    noise = pytest.importorskip("qiskit_aer.noise")

    def of(kind, *arguments):
        model = noise.NoiseModel()
        getattr(model, f"add_{kind}_error")(*arguments)
        return model

    pairs = np.eye(4)[[1, 0, 2, 3]]
    for model, message in (
        (
            of("all_qubit_quantum", noise.depolarizing_error(0.1, 3), "ccx"),
            "the error of ccx acts on 3 qubits: at most",
        ),
        (of("quantum", channel(1, 0), "measure", [0]), "channels before a measurement are not supported"),
        (of("readout", pairs, [0, 1]), "joint readout errors of several qubits"),
        (of("all_qubit_quantum", channel(1, 0), "id"), "only unsupported gates have errors, id; supported gates: crx"),
    ):
        with pytest.raises(UsageError, match=message):
            Calibration.from_qiskit(model)
    with pytest.raises(
        UsageError, match="cannot implement RY: it needs one of ry, sx, rx, u, u3; the device's gates are h"
    ):
        values(
            Circuit(1, (Gate("RY", (0,), 0.1),), (Observable.of("Z0"),)),
            Calibration("m", ("h",), (scaled("h", None, 1),)),
        )
    with pytest.raises(UsageError, match="cannot implement CNOT: it needs one of cx, cz, ecr; the device's gates"):
        values(bell(2, 0, 1), Calibration("m", ("h",), (scaled("h", None, 1),)))


def test_invalid_channels(unchecked: None):
    with pytest.raises(UsageError, match=r"error of sx: not a channel: it does not preserve the trace"):
        GateError("sx", None, tuple(map(tuple, np.diag([0.9, 0.9, 0.9, 0.9]).tolist())))
    with pytest.raises(UsageError, match="entries must be finite"):
        GateError("sx", None, tuple(map(tuple, np.diag([1.0, 1, 1, float("nan")]).tolist())))
    assert pauli_words(2)[:6] == ["II", "IX", "IY", "IZ", "XI", "XX"]


def test_calibrations_are_rejected_on_pennylane():
    circuit, calibration = trainable()
    with pytest.raises(UsageError, match="calibrations need backend torch"):
        to_qnode(circuit, "default.mixed", noise=Noise(calibration=calibration))
    with pytest.raises(UsageError, match="calibrations need backend torch"):
        Backend("pennylane:default.mixed", noise=Noise(calibration=calibration)).compile(circuit, torch.Generator())
