"""Noise in the fused executor, against numbers by hand and PennyLane's `default.mixed`."""

import math
from dataclasses import replace

import pytest
import torch

from qrl.circuits.angles import Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.noise.model import STRENGTHS, Noise
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit
from tests.support.pennylane_comparison import largest_differences

DOUBLE = torch.float64
ALL = Noise(depolarizing=0.03, amplitude_damping=0.08, phase_damping=0.05, bit_flip=0.02, readout=0.04)
PAULIS = tuple(Observable.of(word) for word in ("X0", "Y0", "Z0"))


def values(circuit: Circuit, noise: Noise, weights=(), inputs=((0.0,),)):
    program = compile_circuit(circuit, noise)
    weights, scales, inputs = (torch.tensor(list(v), dtype=DOUBLE) for v in (weights, (), inputs))
    return program.run(program.bind(weights, scales), inputs)


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        # (x, y, z) of a state at angle 0.7 from |0>, rotated about the x axis; c and s are its z and -y.
        (Noise(depolarizing=0.3), lambda c, s: (0, -0.6 * s, 0.6 * c)),  # 1 - 4 p / 3 of each
        (Noise(amplitude_damping=0.3), lambda c, s: (0, -math.sqrt(0.7) * s, 0.3 + 0.7 * c)),
        (Noise(phase_damping=0.3), lambda c, s: (0, -math.sqrt(0.7) * s, c)),
        (Noise(bit_flip=0.3), lambda c, s: (0, -0.4 * s, 0.4 * c)),
        (Noise(readout=0.3), lambda c, s: (0, -0.4 * s, 0.4 * c)),
        (Noise(bit_flip=0.5, readout=0.1, phase_damping=1.0), lambda c, s: (0, 0, 0)),
    ],
)
def test_every_kind_of_noise_by_hand(noise, expected):
    circuit = Circuit(1, (Gate("RX", (0,), Weight(0)),), PAULIS)
    result = values(circuit, noise, [0.7])
    torch.testing.assert_close(result, torch.tensor([expected(math.cos(0.7), math.sin(0.7))], dtype=DOUBLE))


def test_noise_after_a_layer_acts_on_idle_wires():
    circuit = Circuit(
        2, (Gate("X", (0,)), Gate("X", (1,)), Gate("X", (1,))), (Observable.of("Z0"), Observable.of("Z1"))
    )
    gate, layer = (values(circuit, Noise(bit_flip=0.1, after=after)) for after in ("gate", "layer"))
    torch.testing.assert_close(gate, torch.tensor([[-0.8, 0.64]], dtype=DOUBLE))
    torch.testing.assert_close(layer, torch.tensor([[-0.64, 0.64]], dtype=DOUBLE))


@pytest.mark.parametrize("after", ["gate", "layer"])
@pytest.mark.parametrize("seed", range(10))
def test_random_circuits_equal_pennylane(seed, after):
    """Value, gradient and Hessian-vector product, on one block of wires and on several."""
    circuit = random_circuit(seed, max_wires=4, max_gates=12)
    assert max(largest_differences(circuit, batch=2, noise=replace(ALL, after=after))) < 1e-9


def test_readout_errors_need_no_density_matrix():
    circuit = Circuit(8, tuple(Gate("H", (w,)) for w in range(8)), (Observable.of("X0 X7"), Observable.of((2.0, "X3"))))
    torch.testing.assert_close(values(circuit, Noise(readout=0.1)), torch.tensor([[0.64, 1.6]], dtype=DOUBLE))


def test_zero_noise_gives_the_same_program():
    circuit = random_circuit(3)
    assert compile_circuit(circuit, Noise(after="layer")).run.__func__ is compile_circuit(circuit).run.__func__
    assert max(largest_differences(circuit, noise=Noise())) < 1e-10


def test_too_many_wires_for_a_density_matrix():
    gates = (Gate("H", (0,)),)
    with pytest.raises(UsageError, match=r"limited to 6 wires, not 7; readout errors"):
        compile_circuit(Circuit(7, gates, (Observable.of("Z0"),)), Noise(bit_flip=0.1))


def test_noise_from_text():
    assert Noise.parse(["depolarizing=0.01", "readout=2e-2", "after=layer"]) == Noise(
        depolarizing=0.01, readout=0.02, after="layer"
    )
    assert not Noise.parse([]) and not Noise.parse(["after=layer"])


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan", "inf", "much"])
def test_strengths_out_of_range(name, value):
    with pytest.raises(UsageError, match=rf"noise: {name} must be a number in 0 to (1|0\.5), not"):
        Noise.parse([f"{name}={value}"])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["depolarising=0.1"], "unknown name 'depolarising'; did you mean 'depolarizing'"),
        (["bit_flip"], "expected NAME=STRENGTH, such as depolarizing=0.01, not 'bit_flip'"),
        (["readout=0.1", "readout=0.2"], "readout is given twice"),
        (["after=gates"], "after must be gate or layer, not 'gates'"),
    ],
)
def test_invalid_noise_text(items, message, unchecked: None):
    with pytest.raises(UsageError, match=message):
        Noise.parse(items)
