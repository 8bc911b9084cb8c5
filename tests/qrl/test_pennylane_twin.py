"""The PennyLane twin of a layer, by every differentiation method, against the layer itself."""

import copy
import io
import pickle
from functools import partial

import pennylane as qml
import pytest
import torch
from torch import Tensor, nn

from qrl.backends.backend import Backend, run_on
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer

DEVICES = ("default.qubit", "lightning.qubit", "default.mixed", "reference.qubit")
FIRST_ORDER = ("adjoint", "parameter-shift", "finite-diff", "hadamard")


def make_layer(**options: object) -> QuantumLayer:
    gates = (
        Gate("RY", (0,), Input(0, scale=0, transform="tanh")),
        Gate("RX", (1,), Weight(0)),
        Gate("CRX", (0, 1), Weight(1)),
        Gate("RZZ", (0, 1), Input(1, scale=1)),
        Gate("RY", (1,), Weight(2)),
    )
    observables = (Observable.of("Z0"), Observable.of((0.5, "Z1"), (0.2, "X0 X1")))
    generator = torch.Generator().manual_seed(0)
    return QuantumLayer(Circuit(2, gates, observables), initial_scale=1.7, generator=generator, **options)  # type: ignore[arg-type]


def samples(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, 2, generator=torch.Generator().manual_seed(1), dtype=dtype)


def gradients(module: nn.Module, layer: QuantumLayer, inputs: Tensor) -> list[Tensor]:
    inputs = inputs.clone().requires_grad_()
    values = module(inputs)
    mixture = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
    return [values.detach(), *torch.autograd.grad((mixture * values).sum(), [inputs, layer.weights, layer.scales])]


@pytest.mark.parametrize("device", DEVICES)
def test_default_method_suits_every_device(device):
    layer = make_layer().double()
    found, expected = (gradients(each, layer, samples(3)) for each in (layer.to_pennylane(device), layer))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("device", "dtype"), [("default.qubit", torch.float64), ("lightning.qubit", torch.float32)])
@pytest.mark.parametrize("method", FIRST_ORDER)
def test_batches_have_the_layers_gradient_by_every_method(device, method, dtype):
    layer = make_layer().to(dtype)
    twin = layer.to_pennylane(device, method)
    for inputs in (samples(1, 2, dtype=dtype), samples(dtype=dtype)):
        found, expected = gradients(twin, layer, inputs), gradients(layer, layer, inputs)
        assert [each.dtype for each in found] == [dtype] * 4
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


def test_spsa_gradients_of_a_batch_are_those_of_each_sample():
    """With one angle per circuit, a simultaneous perturbation is a central difference, hence exact."""
    circuit = Circuit(1, (Gate("RY", (0,), Input(0, scale=0)),), (Observable.of("Z0"),))
    layer = QuantumLayer(circuit)
    inputs = torch.tensor([[0.3], [1.1], [-0.7]])
    (found,) = torch.autograd.grad(layer.to_pennylane(diff_method="spsa")(inputs).sum(), layer.scales)
    expected = -(inputs * inputs.sin()).sum()
    torch.testing.assert_close(found, expected.reshape(1), atol=1e-4, rtol=0)


def second_derivative(module: nn.Module, layer: QuantumLayer) -> Tensor:
    """Second derivative of the outputs by the scales, through the classical tanh before the circuit as well."""
    values = module(samples(2))
    (first,) = torch.autograd.grad(values.sum(), layer.scales, create_graph=True)
    return torch.autograd.grad(first.sum(), layer.scales)[0]


@pytest.mark.parametrize("device", DEVICES[:3])
def test_second_derivatives_are_the_layers_or_refused(device):
    layer = make_layer().double()
    expected = second_derivative(layer, layer)
    if device != "lightning.qubit":
        found = second_derivative(layer.to_pennylane(device), layer)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    for method in ("adjoint", "parameter-shift") if device != "default.mixed" else ("finite-diff",):
        with pytest.raises(UsageError, match=r"provides no second derivatives, .*diff_method backprop"):
            second_derivative(layer.to_pennylane(device, method), layer)


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
def test_second_derivatives_in_torch_func_are_refused(method):
    layer = make_layer().double()
    twin = layer.to_pennylane(diff_method=method)
    parameters, inputs = {name: value.detach() for name, value in twin.named_parameters()}, samples(2)

    def loss(module: nn.Module, values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(module, values, (inputs,)).square().sum()

    found, expected = (torch.func.grad(partial(loss, module))(parameters) for module in (twin, layer))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="no second derivatives"):
        torch.func.hessian(partial(loss, twin))(parameters)


@pytest.mark.parametrize(
    ("device", "method"), [*(("default.qubit", method) for method in FIRST_ORDER), ("lightning.qubit", "best")]
)
def test_qnodes_refuse_second_derivatives_that_pennylane_gets_wrong(device, method):
    layer = make_layer().double()
    qnode = layer.to_pennylane(device, method).qnode
    copies = qml.set_shots(qnode, None), qnode.update(diff_method=qnode.diff_method), qml.transforms.compile(qnode)
    for each in (qnode, *copies):
        values = each(samples(), layer.weights, layer.scales)
        (first,) = torch.autograd.grad(sum(values), layer.weights, create_graph=True)
        (expected,) = torch.autograd.grad(layer(samples()).sum(), layer.weights)
        torch.testing.assert_close(first.detach(), expected, atol=1e-6, rtol=0)
        with pytest.raises(UsageError, match=r"provides no second derivatives, .*diff_method backprop"):
            torch.autograd.grad((first * layer.weights).sum(), layer.weights)
    weights, scales = layer.weights.detach(), layer.scales.detach()
    with pytest.raises(UsageError, match="provides no second derivatives"):
        torch.autograd.functional.hessian(lambda each: sum(qnode(samples(), each, scales)), weights)


def test_qnodes_have_second_derivatives_by_backprop():
    layer = make_layer().double()
    qnode = layer.to_pennylane(diff_method="adjoint").qnode.update(diff_method="backprop")
    x, weights, scales = samples(), layer.weights.detach(), layer.scales.detach()
    found = torch.autograd.functional.hessian(lambda each: sum(qnode(x, each, scales)), weights)

    def of_layer(each: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weights": each}, (x,)).sum()

    torch.testing.assert_close(found, torch.autograd.functional.hessian(of_layer, weights), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", ["best", "parameter-shift", "adjoint"])
def test_empty_batches(method):
    layer = make_layer(encoding="projection", n_inputs=3)
    for module in (layer, layer.to_pennylane(diff_method=method)):
        for shape in ((0, 3), (2, 0, 3)):
            values = module(torch.zeros(*shape))
            assert values.shape == (*shape[:-1], 2)
            found = torch.autograd.grad(values.sum(), layer.weights)[0]
            assert torch.equal(found, torch.zeros(3))


@pytest.mark.parametrize("name", ["pennylane:default.qubit", "pennylane:lightning.qubit"])
def test_empty_batches_on_backends(name):
    layer = make_layer()
    run_on(layer, Backend(name), torch.Generator().manual_seed(0))
    assert torch.equal(torch.autograd.grad(layer(torch.zeros(0, 2)).sum(), layer.weights)[0], torch.zeros(3))


@pytest.mark.parametrize(("device", "method"), [("default.qubit", "best"), ("lightning.qubit", "parameter-shift")])
def test_twins_can_be_pickled_and_copied(device, method):
    twin = make_layer().to_pennylane(device, method)
    expected = twin(samples(3, dtype=torch.float32))
    file = io.BytesIO()
    torch.save(twin, file)
    file.seek(0)
    for again in (pickle.loads(pickle.dumps(twin)), copy.deepcopy(twin), torch.load(file, weights_only=False)):
        torch.testing.assert_close(again(samples(3, dtype=torch.float32)), expected)
        assert again.weights is not twin.weights and again.qnode.diff_method == twin.qnode.diff_method
    twin.qnode = qml.set_shots(twin.qnode, 7)
    assert pickle.loads(pickle.dumps(twin)).qnode.shots.total_shots == 7


@pytest.mark.parametrize("method", ["best", "parameter-shift"])
def test_qnode_can_be_drawn_and_counted(method):
    layer = make_layer()
    twin = layer.to_pennylane(diff_method=method)
    drawing = qml.draw(twin.qnode)(torch.zeros(2), layer.weights, layer.scales)
    assert "RY" in drawing and "IsingZZ" in drawing
    assert "IsingZZ" in str(qml.specs(twin.qnode)(torch.zeros(2), layer.weights, layer.scales))


@pytest.mark.parametrize(
    ("device", "method", "message"),
    [
        ("default.qubit", "parameter-shfit", "to_pennylane: unknown diff_method 'parameter-shfit'; did you mean 'para"),
        (
            "defalt.qubit",
            "best",
            "to_pennylane: PennyLane device 'defalt.qubit' is not installed; did you mean 'default",
        ),
        ("Mixed", "best", r"to_pennylane: .* 'Mixed' is not installed; did you mean 'default.mixed'\?$"),
        ("pennylane:default.qubit", "best", r"is not installed; did you mean 'default.qubit'\?$"),
        ("nonsense", "best", "to_pennylane: PennyLane device 'nonsense' is not installed; choices: .*default.qubit"),
        ("lightning.qubit", "backprop", "device lightning.qubit cannot run this circuit with diff_method backprop: "),
        (qml.device("default.qubit", wires=1), "best", "to_pennylane: device default.qubit cannot run this circuit"),
        (qml.device("default.qubit", wires=2), "hadamard", "needs a wire that the circuit does not use"),
        (7, "best", "to_pennylane: expected the name of a PennyLane device or a device, not 7"),
    ],
)
def test_what_cannot_run_is_refused_when_the_twin_is_made(device, method, message):
    with pytest.raises(UsageError, match=message):
        make_layer().to_pennylane(device, method)


class Sampling(qml.devices.DefaultQubit):
    """Device that samples without being told to, under the name of one that runs on this machine."""

    name = "cirq.simulator"

    def execute(self, circuits, execution_config=None):  # type: ignore[no-untyped-def]
        self.n_executed = getattr(self, "n_executed", 0) + 1
        noise = 0.1 * self.n_executed
        return tuple(tuple(value + noise for value in values) for values in super().execute(circuits, execution_config))


def test_estimates_of_a_local_device_come_with_a_warning():
    with pytest.warns(UserWarning, match=r"to_pennylane: device cirq.simulator returns no exact values .*estimates"):
        make_layer().to_pennylane(Sampling(wires=2))


@pytest.mark.parametrize("name", ["ionq.qpu", "qiskit.remote", "braket.aws.qubit", "default.qubit"])
def test_devices_that_may_cost_money_or_are_exact_run_no_trial_circuits(name, monkeypatch, recwarn):
    monkeypatch.setattr(Sampling, "name", name)
    device = Sampling(wires=2)
    make_layer().to_pennylane(device, "parameter-shift")
    assert not hasattr(device, "n_executed") and not recwarn.list


@pytest.mark.filterwarnings("ignore")  # of PennyLane and of stevedore, which loads Qiskit's plug-ins
def test_aer_comes_with_a_warning():
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("pennylane_qiskit")
    with pytest.warns(UserWarning, match="to_pennylane: device qiskit.aer returns no exact values"):
        make_layer().to_pennylane("qiskit.aer")
