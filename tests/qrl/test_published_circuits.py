"""The circuits of Jerbi et al. 2021 and Skolik et al. 2022 gate by gate, and Ising couplings."""

import pytest

from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.models import ising, jerbi, skolik


def gates(circuit):
    return [(str(gate), gate.wires) for gate in circuit.gates]


def test_circuit_of_jerbi_et_al():
    """By hand, two wires and one layer; four wires and five layers have 72 angles and 20 scales, as published."""
    circuit = jerbi.circuit(jerbi.Config(n_wires=2, n_layers=1), 2)
    variational = [
        [(f"{name}(w{6 * k + 3 * wire + i})", (wire,)) for wire in (0, 1) for i, name in enumerate(XYZ)] for k in (0, 1)
    ]
    encoding = [("CZ", (0, 1)), ("RX(s0*x0)", (0,)), ("RX(s1*x1)", (1,))]
    assert gates(circuit) == variational[0] + encoding + variational[1]
    assert circuit.observables == (Observable.of("Z0 Z1"),)
    whole = jerbi.circuit(jerbi.Config(), 4)
    assert (whole.n_wires, whole.n_weights, whole.n_scales, whole.n_inputs) == (4, 72, 20, 4)
    assert [g.wires for g in whole.gates if g.name == "CZ"][:4] == [(0, 1), (1, 2), (2, 3), (3, 0)]


XYZ = ("RX", "RY", "RZ")


def test_circuit_of_skolik_et_al(unchecked: None):
    circuit = skolik.circuit(skolik.Config(n_wires=2, n_layers=2), 2)
    layers = [
        [(f"RX(tanh(s{2 * k + wire}*x{wire}))", (wire,)) for wire in (0, 1)]
        + [(f"{name}(w{4 * k + 2 * wire + i})", (wire,)) for wire in (0, 1) for i, name in enumerate(("RY", "RZ"))]
        + [("CZ", (0, 1))]
        for k in (0, 1)
    ]
    assert gates(circuit) == layers[0] + layers[1]
    whole = skolik.circuit(skolik.Config(), 4)
    assert (whole.n_weights, whole.n_scales, whole.n_inputs) == (40, 20, 4)
    assert whole.observables == (Observable.of("Z0 Z1"), Observable.of("Z2 Z3"))
    with pytest.raises(UsageError, match="observables=pairs needs an even n_wires, not 3"):
        skolik.circuit(skolik.Config(n_wires=3), 3)
    with pytest.raises(UsageError, match="unknown observables 'pair'; did you mean 'pairs'"):
        skolik.Config(observables="pair")


def test_ising_couplings_have_separate_angles():
    circuit = ising.circuit(ising.Config(n_wires=3, n_layers=2), 3)
    couplings = [(gate.wires, gate.angle.index) for gate in circuit.gates if gate.name == "RZZ"]
    assert couplings == [((0, 1), 3), ((1, 2), 4), ((2, 0), 5), ((0, 1), 12), ((1, 2), 13), ((2, 0), 14)]
    assert circuit.n_weights == 3 * (2 * 2 + 1) + 3 * 2 and circuit.n_scales == 2 * 3 * 2
