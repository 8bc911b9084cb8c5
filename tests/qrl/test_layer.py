"""QuantumLayer: shapes, parameters shared with PennyLane, initialisation, wide inputs."""

import inspect
import math

import numpy as np
import pytest
import torch

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_accepts_a_circuit():
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)), Gate("RY", (0,), Input(0, 0))), (Observable.of("Z0"),))
    layer = QuantumLayer(circuit, initial_scale=2.0, generator=generator())
    inputs = torch.tensor([[0.1], [0.5]])
    expected = torch.cos(layer.weights.detach() + 2 * inputs)
    torch.testing.assert_close(layer(inputs).detach(), expected)


@pytest.mark.exactness
@pytest.mark.parametrize("encoding", ["cycle", "projection"])
def test_pennylane_twin_computes_the_same_and_shares_parameters(encoding):
    layer = QuantumLayer("reuploading", 3, 2, n_inputs=5, encoding=encoding, generator=generator()).double()
    twin = layer.to_pennylane()
    inputs = torch.randn(4, 5, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(twin(inputs), layer(inputs), atol=1e-10, rtol=0)
    with torch.no_grad():
        layer.weights.add_(0.3)
    torch.testing.assert_close(twin(inputs), layer(inputs), atol=1e-10, rtol=0)
    assert {id(p) for p in twin.parameters()} == {id(p) for p in layer.parameters()}


@pytest.mark.parametrize("encoding", ["cycle", "projection"])
def test_inputs_of_another_kind(encoding, unchecked: None):
    layer = QuantumLayer("reuploading", 2, 2, n_inputs=3, encoding=encoding, generator=generator()).double()
    whole = torch.tensor([[1, 0, 2], [0, 3, 1]])
    for module in (layer, layer.to_pennylane(), layer.to_pennylane("lightning.qubit")):
        torch.testing.assert_close(module(whole), layer(whole.double()), atol=1e-6, rtol=0)
        for inputs, message in (
            ([0.1, 0.2, 0.3], "expected a tensor of 3 inputs, found a list; torch.as_tensor"),
            (np.zeros((2, 3)), "expected a tensor of 3 inputs, found a ndarray"),
            (torch.zeros(2, 3, dtype=torch.complex64), "expected 3 real inputs, found complex numbers; inputs.real"),
            (torch.zeros(2, 2), "expected 3 inputs, found 2"),
            (torch.tensor(1.0), "expected 3 inputs, found a number"),
        ):
            with pytest.raises(UsageError, match=f"layer: {message}"):
                module(inputs)


@pytest.mark.parametrize("encoding", ["cycle", "projection"])
def test_samples_have_any_leading_axes_or_none(encoding):
    layer = QuantumLayer("reuploading", 3, 2, n_inputs=5, encoding=encoding, generator=generator()).double()
    inputs = torch.randn(2, 3, 5, generator=generator(1), dtype=torch.float64)
    for module in (layer, layer.to_pennylane()):
        found = module(inputs)
        assert found.shape == (2, 3, 3)
        torch.testing.assert_close(found[1], module(inputs[1]))
        torch.testing.assert_close(found[1, 2], module(inputs[1, 2]))
    assert layer(inputs[:0]).shape == (0, 3, 3)
    with pytest.raises(UsageError, match="layer: expected 5 inputs, found a number"):
        inspect.unwrap(QuantumLayer.forward)(layer, torch.tensor(1.0))  # without the tests' checks of types
    constant = QuantumLayer(Circuit(1, (Gate("RY", (0,), 0.5),), (Observable.of("Z0"),)))
    assert constant(torch.zeros(4, 0)).shape == (4, 1) and constant(torch.zeros(0)).shape == (1,)


def test_pennylane_shots_approach_the_exact_value():
    import pennylane as qml

    layer = QuantumLayer("reuploading", 2, 1, generator=generator())
    device = qml.device("default.qubit", wires=2, seed=3)
    twin = layer.to_pennylane(device, diff_method="parameter-shift")
    twin.qnode = qml.set_shots(twin.qnode, 20_000)
    inputs = torch.tensor([[0.3, -0.7]])
    with torch.no_grad():
        # Five standard errors of a ±1 variable.
        torch.testing.assert_close(twin(inputs), layer(inputs), atol=5 / math.sqrt(20_000), rtol=0)


def test_all_cycled_inputs_have_an_effect():
    layer = QuantumLayer("reuploading", 2, 3, n_inputs=5, generator=generator()).double()
    inputs = torch.randn(1, 5, generator=generator(2), dtype=torch.float64, requires_grad=True)
    layer(inputs).sum().backward()
    assert inputs.grad is not None and (inputs.grad.abs() > 1e-6).all()


def test_initialisations():
    uniform = QuantumLayer("reuploading", 4, 50, generator=generator()).weights
    assert uniform.min() >= 0 and uniform.max() < math.pi and abs(uniform.mean().item() - math.pi / 2) < 0.2
    small = QuantumLayer("reuploading", 4, 50, initialisation="small-angle", generator=generator())
    expected = 1 / math.sqrt(4 * 1 * (len(small.circuit.moments) + 2))
    assert abs(small.weights.std().item() / expected - 1) < 0.15


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantumLayer("reuplaoding"), "did you mean 'reuploading'"),
        (lambda: QuantumLayer("mlp"), "classical model"),
        (lambda: QuantumLayer("reuploading", 2, 1, n_inputs=3), "3 inputs do not fit"),
        (lambda: QuantumLayer("reuploading", 0), "n_wires must be at least 1, not 0"),
        (lambda: QuantumLayer("reuploading", 60), "this machine's memory"),
        (lambda: QuantumLayer("reuploading", observable="local"), "did you mean 'observables'"),
        (lambda: QuantumLayer("reuploading", n_inputs=0), "n_inputs must be at least 1"),
        (lambda: QuantumLayer("reuploading", initial_scale=math.nan), "finite"),
        (lambda: QuantumLayer("reuploading", 2, 1)(torch.zeros(3, 5)), "expected 2 inputs, found 5"),
    ],
)
def test_invalid_arguments_are_rejected(make, message):
    with pytest.raises(UsageError, match=message):
        make()
