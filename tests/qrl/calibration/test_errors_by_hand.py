"""A calibration's errors of gates and readout in the fused executor, by hand."""

import numpy as np
import pytest

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.noise.calibration import Calibration
from qrl.noise.readout import Readout
from tests.support.calibrations import bell, scaled, values


@pytest.mark.parametrize(("n_wires", "a", "b"), [(2, 0, 1), (4, 1, 2), (4, 3, 0), (5, 4, 1)])
def test_bell_pair_by_hand(n_wires, a, b):
    """Within a block of wires and across blocks, in both orientations."""
    errors = (scaled("cx", None, 0.9), scaled("cx", (a, b), 0.8), scaled("h", (a,), 0.7))
    calibration = Calibration("mine", ("h", "cx"), errors)
    # H leaves 0.7 of X on wire a, which CNOT maps to XX; ZZ comes from Z on wire b.
    np.testing.assert_allclose(values(bell(n_wires, a, b), calibration), [0.8, 0.56, 0], atol=1e-12)


def test_additional_noise_is_applied_after_the_calibration():
    """Depolarizing scales by 1 - 4p/3 after the device's errors; bits are flipped after the device's readout."""
    read = Readout(None, ((0.9, 0.1), (0.4, 0.6)))
    calibration = Calibration("mine", ("x",), (scaled("x", None, 0.5),), (read,))
    circuit = Circuit(1, (Gate("X", (0,)),), (Observable.of("Z0"),))
    # Z is -0.5, then -0.4: P(0) = 0.3, P(1) = 0.7; read as 0: 0.27 + 0.28 = 0.55; after flips of 0.1: 0.54.
    (value,) = values(circuit, calibration, depolarizing=0.15, readout=0.1)
    assert value == pytest.approx(2 * 0.54 - 1)
    # Readout errors alone need no density matrix and have no wire limit.
    wide = Circuit(8, (Gate("X", (7,)),), (Observable.of("Z7"), Observable.of("Z0 Z7")))
    np.testing.assert_allclose(values(wide, Calibration("mine", (), (), (read,))), [-0.2, 0.8 * -0.2], atol=1e-12)
