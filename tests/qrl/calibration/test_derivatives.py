"""Derivatives through a calibration's errors, and batched tasks."""

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.noise.model import Noise
from qrl.simulator.program import compile_circuit
from tests.support.calibrations import DOUBLE, trainable, values


@pytest.mark.parametrize("wires", [(0, 1, 2), (2, 0, 1)])
def test_weights_and_inputs_equal_constant_angles(wires):
    """Half a gate's angle, within a block and across, from a weight, an input or a constant."""
    circuit, calibration = trainable()
    gates = tuple(Gate(gate.name, tuple(wires[w] for w in gate.wires), gate.angle) for gate in circuit.gates)
    circuit = Circuit(3, gates, circuit.observables)
    w, s, x = [0.7, -1.2, 0.4], [0.9, 1.3], [0.5, -0.8]
    numbers = circuit.at([w[0], np.tanh(s[0] * x[0]), w[1], s[1] * x[1], w[2], x[0]])
    program = compile_circuit(circuit, Noise(calibration=calibration))
    weights, scales, inputs = (torch.tensor(each, dtype=DOUBLE) for each in (w, s, [x]))
    found = program.run(program.bind(weights, scales), inputs)[0].numpy()
    np.testing.assert_allclose(found, values(numbers, calibration), atol=1e-12)


def test_derivatives_equal_finite_differences():
    circuit, calibration = trainable()
    program = compile_circuit(circuit, Noise(calibration=calibration))
    generator = torch.Generator().manual_seed(0)
    points = [torch.randn(*s, generator=generator, dtype=DOUBLE).requires_grad_() for s in ((2, 2), (3,), (2,))]

    def function(x, w, s):
        return program.run(program.bind(w, s), x)

    assert torch.autograd.gradcheck(function, points)
    assert torch.autograd.gradgradcheck(function, points)


def test_batched_tasks_equal_separate_ones():
    circuit, calibration = trainable()
    program = compile_circuit(circuit, Noise(calibration=calibration))
    generator = torch.Generator().manual_seed(1)
    x, w, s = (torch.randn(*shape, generator=generator, dtype=DOUBLE) for shape in ((2, 3, 2), (2, 3), (2, 2)))

    def loss(w, s, x):
        return program.run(program.bind(w, s), x).square().sum()

    def curvature(w, s, x):
        return grad(lambda v: grad(loss)(v, s, x).square().sum())(w)

    for function in (loss, grad(loss), curvature):
        separate = torch.stack([function(w[i], s[i], x[i]) for i in range(2)])
        torch.testing.assert_close(vmap(function)(w, s, x), separate)
    many = program.run(program.bind(w, s), x)
    torch.testing.assert_close(many, torch.stack([program.run(program.bind(w[i], s[i]), x[i]) for i in range(2)]))
