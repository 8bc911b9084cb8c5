"""Calibration files: round trip, files written by hand, and invalid files."""

import json

import numpy as np
import pytest

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.noise.calibration import Calibration
from qrl.noise.model import Noise, inline_calibrations
from tests.support.calibrations import trainable, values


def test_file_round_trip(tmp_path):
    _, calibration = trainable()
    calibration.save(tmp_path / "device.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.json"]
    again = Calibration.load(tmp_path / "device.json")
    assert again == calibration and again.digest == calibration.digest and hash(again) == hash(calibration)
    assert Calibration.from_json(calibration.to_json()) == calibration
    (word,) = inline_calibrations([f"calibration={tmp_path / 'device.json'}"])
    (tmp_path / "device.json").unlink()
    assert Noise.parse([word, "readout=0.1"]) == Noise(readout=0.1, calibration=calibration)
    assert Noise.parse([word]) and not Noise(calibration=Calibration("perfect", ()))


PLAIN = {
    "format": "qrl-calibration",
    "version": 1,
    "source": "by hand",
    "basis": ["x", "cx"],
    "limited": ["cx"],
    "errors": [
        {"gate": "x", "wires": [0], "transfer": {"X": {"X": 0.5}, "Y": {"Y": 0.5}, "Z": {"I": 0.25, "Z": 0.5}}},
        {"gate": "cx", "wires": [0, 1], "transfer": {"ZZ": {"ZZ": 1}, "ZI": {"ZI": 1}, "IZ": {"IZ": 1}}},
    ],
    "readout": [{"wires": [1], "read": [[1, 0], [0.5, 0.5]]}],
    "n_wires": 2,
}


def test_file_written_by_hand(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(PLAIN))
    gates = (Gate("X", (0,)), Gate("CNOT", (0, 1)))
    circuit = Circuit(2, gates, (Observable.of("Z0"), Observable.of("Z1")))
    # Z0 is -1, then 0.25 - 0.5; so is Z1, whose outcome 1, P(1) = 0.625, is read as 1 half of the time.
    expected = [-0.25, 1 - 2 * 0.3125]
    np.testing.assert_allclose(values(circuit, Calibration.load(tmp_path / "mine.json")), expected, atol=1e-12)


def changed(**entries) -> str:
    return json.dumps(PLAIN | entries)


def error(gate="x", wires=(0,), transfer=None) -> str:
    return changed(errors=[{"gate": gate, "wires": wires, "transfer": transfer or {"X": {"X": 0.5}}}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "not JSON, or truncated: "),
        ("{}", "not a calibration file: expected a JSON object with format 'qrl-calibration'"),
        ("[]", "not a calibration file"),
        (changed(version=2), "unsupported format version 2; supported: 1"),
        (changed(basis="x"), "basis: expected a list, found 'x'"),
        (changed(basis=[1]), r"basis\[0\]: expected a word, found 1"),
        (changed(erors=[]), "unknown key 'erors'; did you mean 'errors'"),
        (json.dumps({key: value for key, value in PLAIN.items() if key != "readout"}), "key 'readout' is missing"),
        (changed(n_wires=True), "n_wires: expected a whole number, found True"),
        (changed(n_wires=0), "n_wires must be at least 1, not 0"),
        (changed(n_wires=1), r"cx on wires \(0, 1\): there are wires 0 to 0"),
        (changed(errors=[[]]), r"errors\[0\]: expected an object, found \[\]"),
        (changed(errors=PLAIN["errors"][:1] * 2), r"x on wires \(0,\) is given twice"),
        (error(gate="xs"), "unknown gate 'xs'; did you mean 'x'"),
        (error(wires=[0, 1]), r"error of x on wires \(0, 1\): the gate acts on 1 distinct wire"),
        (error("cx", [1, 1], {"XX": {"XX": 0.5}}), "the gate acts on 2 distinct wire"),
        (error("cx", [0, 1]), "expected a channel on 2 wire"),
        (error("cx", [0, 1], {"XXX": {"XXX": 1}}), r"errors\[0\].transfer.XXX: expected one of the words X, Y, Z"),
        (error(transfer={"I": {"I": 0.9}}), r"errors\[0\].transfer.I: expected one of the words X, Y, Z"),
        (error(transfer={"X": {"XX": 0.9}}), r"transfer.X.XX: expected one of the words I, X, Y, Z"),
        (error(transfer={"X": {"X": "1"}}), "transfer.X.X: expected a finite number, found '1'"),
        (error(transfer={"X": {"X": float("nan")}}), "NaN is not a finite number"),
        (error(transfer={"X": {"X": 10**400}}), "a whole number of 401 digits is too large"),
        (error(transfer={"Z": {"I": 0.5, "Z": 0.8}}), "not a channel: it has a negative probability, -0.075"),
        (changed(readout=[{"wires": [0], "read": [[1, 0]]}]), r"readout\[0\].read: expected two rows of two"),
        (changed(readout=[{"wires": [0], "read": [[1, 0.1], [0, 1]]}]), "two rows of two probabilities with sum 1"),
        (changed(readout=[{"wires": [0, 1], "read": [[1, 0], [0, 1]]}]), "expected exactly one wire"),
    ],
)
def test_files_that_are_not_calibrations(text, message, tmp_path, unchecked: None):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"wrong.json: .*{message}") as caught:
        Noise.parse([f"calibration={path}"])
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    for path, message in (("nowhere.json", "No such file"), (str(tmp_path), "Is a directory"), ("", "needs the name")):
        with pytest.raises(UsageError, match=message):
            Noise.parse([f"calibration={path}"])
    with pytest.raises(UsageError, match="No such file"):
        trainable()[1].save(tmp_path / "no" / "device.json")
    with pytest.raises(UsageError, match="noise: calibration: not JSON"):
        Noise.parse(["calibration={"])
