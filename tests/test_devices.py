"""Circuits on PennyLane devices: the same values and derivatives as in torch, or a clear refusal."""

import math
from functools import partial

import pennylane as qml
import pytest
import torch
from torch.func import grad, jvp, vmap

from qrl.backend import Backend
from qrl.bridge import to_qnode
from qrl.circuit import Circuit, Gate, Input, Observable, Weight
from qrl.devices import unknown_device
from qrl.errors import UsageError
from qrl.noise import Noise
from qrl.plugins import available, load
from qrl.simulator import compile_circuit
from tests.circuits import random_circuit
from tests.doubles import normal, seeded

DOUBLE = torch.float64
DEVICES = ("default.qubit", "lightning.qubit", "default.mixed")
QUANTUM = [name for name in available("models") if hasattr(load("models", name), "circuit")]


def program(circuit: Circuit, name: str, shots: int = 0, seed=0, **options):
    return Backend(f"pennylane:{name}", shots, **options).compile(circuit, seeded(seed))


def points(circuit: Circuit, batch=3):
    return (
        normal(batch, max(1, circuit.n_inputs), seed=1),
        normal(circuit.n_weights, seed=2),
        normal(circuit.n_scales, seed=3),
    )


def value_and_gradient(played, circuit: Circuit):
    x, w, s = (p.requires_grad_() for p in points(circuit))
    values = played.run(played.bind(w, s), x)
    mixture = normal(*values.shape, seed=4)
    if not values.requires_grad:
        return [values]
    options = {"allow_unused": True, "materialize_grads": True}
    return [values, *torch.autograd.grad((mixture * values.square()).sum(), [x, w, s], **options)]


def agree(circuit: Circuit, name: str, atol=1e-6, **options):
    pairs = zip(
        value_and_gradient(program(circuit, name, **options), circuit),
        value_and_gradient(compile_circuit(circuit), circuit),
        strict=True,
    )
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("model", QUANTUM)
def test_every_model_is_the_same_on_every_device(model, name):
    config = load("models", model).Config(n_wires=3, n_layers=1, observables="both")
    agree(load("models", model).circuit(config, 2), name)


@pytest.mark.parametrize("gradient", ["parameter-shift", "adjoint", "backprop"])
@pytest.mark.parametrize("seed", range(3))
def test_every_gradient_is_exact(seed, gradient):
    agree(random_circuit(seed, max_wires=3, max_gates=10), f"default.qubit,gradient={gradient}")


def test_noise_on_a_device_is_that_of_torch():
    circuit, noise = random_circuit(4, max_wires=3, max_gates=10), Noise(depolarizing=0.05, readout=0.1, after="layer")
    on_device = program(circuit, "default.mixed", noise=noise)
    for found, expected in zip(
        value_and_gradient(on_device, circuit),
        value_and_gradient(compile_circuit(circuit, noise), circuit),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


CIRCUIT = Circuit(
    2,
    (Gate("RY", (0,), Weight(0)), Gate("CRX", (0, 1), Weight(1)), Gate("RZ", (1,), 0.4), Gate("RX", (1,), Input(0, 0))),
    (Observable.of("Z0"), Observable.of((0.5, "X0 Z1"), (0.3, "Y1"))),
)


@pytest.mark.parametrize("name", DEVICES)
def test_circuits_of_different_weights_side_by_side_and_under_vmap(name):
    ours, theirs = compile_circuit(CIRCUIT), program(CIRCUIT, name)
    w, s, x = normal(4, 2, seed=1), normal(4, 1, seed=2), normal(4, 3, 1, seed=3)
    expected = ours.run(ours.bind(w, s), x)
    torch.testing.assert_close(theirs.run(theirs.bind(w, s), x), expected, atol=1e-6, rtol=0)

    def total(played, weights, scales, inputs):
        return played.run(played.bind(weights, scales), inputs).square().sum()

    for function in (total, grad(total, argnums=1)):
        found, wanted = (vmap(partial(function, played))(w, s, x) for played in (theirs, ours))
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def meta(played, weights):
    """What MAML does: the value after a gradient step."""

    def total(w):
        return played.run(played.bind(w, w[:1]), torch.ones(1, 1, dtype=DOUBLE)).square().sum()

    return total(weights - 0.5 * grad(total)(weights))


@pytest.mark.parametrize("name", ["default.qubit", "default.mixed"])
def test_directional_derivatives_are_exact(name):
    def moved(played):
        bound = partial(played.run, inputs=torch.ones(3, 1, dtype=DOUBLE))
        return jvp(lambda w: bound(played.bind(w, w[:1])), (normal(2, seed=1),), (normal(2, seed=5),))

    for found, expected in zip(moved(program(CIRCUIT, name)), moved(compile_circuit(CIRCUIT)), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["default.qubit", "default.mixed"])
def test_second_order_is_exact_through_simulators(name):
    w = normal(2, seed=1)
    found, expected = (grad(partial(meta, played))(w) for played in (program(CIRCUIT, name), compile_circuit(CIRCUIT)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "shots"), [("lightning.qubit", 0), ("default.qubit,gradient=parameter-shift", 0), ("default.qubit", 10)]
)
def test_second_order_that_would_be_wrong_is_refused(name, shots):
    played = program(CIRCUIT, name, shots)
    assert played.max_order == 1
    with pytest.raises(UsageError, match=r"there is no second derivative with .*: use backend torch"):
        grad(partial(meta, played))(normal(2, seed=1))


@pytest.mark.parametrize(("method", "found"), [("adjoint", 0.0), ("parameter-shift", 0.0)])
def test_what_pennylane_itself_says_of_second_derivatives(method, found):
    """<Z> after RY(w) is cos w, its second derivative -cos w. PennyLane 0.45 says zero, without an error."""
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)),), (Observable.of("Z0"),))
    w = torch.tensor([0.7], dtype=DOUBLE, requires_grad=True)
    qnode = to_qnode(circuit, "default.qubit", method)
    (slope,) = torch.autograd.grad(qnode(torch.zeros(1), w, w[:0])[0], [w], create_graph=True)
    assert float(slope.detach()) == pytest.approx(-math.sin(0.7))
    # Through a square, so that there is something to differentiate: 2 f f' has the derivative 2 f'^2 + 2 f f''.
    value = qnode(torch.zeros(1), w, w[:0])[0]
    (first,) = torch.autograd.grad(value.square(), [w], create_graph=True)
    (second,) = torch.autograd.grad(first, [w])
    truncated = 2 * math.sin(0.7) ** 2 - 2 * found * math.cos(0.7)
    assert float(second) == pytest.approx(truncated) != pytest.approx(truncated - 2 * math.cos(0.7) ** 2)


@pytest.mark.parametrize("name", DEVICES)
def test_estimates_from_shots_and_their_shifted_gradients_are_unbiased(name):
    shots, rows = 200, 150
    played, exact = program(CIRCUIT, name, shots), compile_circuit(CIRCUIT)
    w, s, x = normal(2, seed=1).requires_grad_(), normal(1, seed=2), torch.ones(rows, 1, dtype=DOUBLE)
    values, wanted = (p.run(p.bind(w.expand(rows, -1), s.expand(rows, -1)), x[:, None]) for p in (played, exact))
    errors = values[:, 0] - wanted[:, 0]
    assert (errors.mean(0).abs() < 4 * errors.std(0) / math.sqrt(rows)).all() and errors.std(0).min() > 0.01
    slopes = []
    for p in (played, exact):
        many = w.detach().expand(rows, -1).clone().requires_grad_()
        (slope,) = torch.autograd.grad(p.run(p.bind(many, s.expand(rows, -1)), x[:, None])[..., 0].sum(), [many])
        slopes.append(slope)
    errors = slopes[0] - slopes[1]
    assert (errors.mean(0).abs() < 4 * errors.std(0) / math.sqrt(rows) + 1e-12).all() and errors.std(0).max() > 0.01


def test_perturbed_gradients_are_right_on_average():
    rows = 3000
    played, exact = program(CIRCUIT, "default.qubit,gradient=spsa"), compile_circuit(CIRCUIT)
    slopes = []
    for p in (played, exact):
        many = normal(2, seed=1).expand(rows, -1).clone().requires_grad_()
        scales, x = torch.ones(rows, 1, dtype=DOUBLE), torch.ones(rows, 1, 1, dtype=DOUBLE)
        (slope,) = torch.autograd.grad(p.run(p.bind(many, scales), x)[..., 0].sum(), [many])
        slopes.append(slope)
    error = slopes[0].mean(0) - slopes[1][0]
    assert (error.abs() < 4 * slopes[0].std(0) / math.sqrt(rows) + 0.02).all()  # and a bias of the step's size squared


def test_a_batch_is_one_job(monkeypatch):
    jobs = []
    device = type(qml.device("lightning.qubit", wires=1))
    original = device.execute

    def execute(self, circuits, *arguments, **options):
        jobs.append(len(circuits))
        return original(self, circuits, *arguments, **options)

    monkeypatch.setattr(device, "execute", execute)
    played = program(CIRCUIT, "lightning.qubit", 5)
    jobs.clear()
    w = normal(2, seed=1).requires_grad_()
    values = played.run(played.bind(w, torch.ones(1, dtype=DOUBLE)), torch.ones(7, 1, dtype=DOUBLE))
    torch.autograd.grad(values.sum(), [w])
    assert len(jobs) == 2 and jobs[0] >= 7 and jobs[1] >= 7 * (2 + 4 + 2)


@pytest.mark.parametrize(
    ("name", "shots", "options", "message"),
    [
        ("lightnin.qubit", 0, {}, "PennyLane has no device 'lightnin.qubit' here; did you mean 'lightning.qubit'"),
        ("default.qubits", 0, {}, "PennyLane has no device 'default.qubits' here; did you mean 'default.qubit'"),
        ("lightning.qubits", 0, {}, "PennyLane has no device 'lightning.qubits' here; did you mean 'lightning.qubit'"),
        ("default.qubit,wings=3", 0, {}, "device default.qubit: TypeError: .*wings"),
        ("default.qubit,wings", 0, {}, "expected OPTION=VALUE after a comma, not 'wings'"),
        ("default.qubit,gradient=adjiont", 0, {}, "unknown gradient 'adjiont'; did you mean 'adjoint'"),
        (
            "default.qubit,gradient=backprop",
            10,
            {},
            "no gradient backprop on default.qubit with shots; there are param",
        ),
        ("lightning.qubit", 0, {"noise": Noise(bit_flip=0.1)}, "device lightning.qubit takes no noise of ours"),
        ("default.gaussian", 0, {}, "device default.gaussian cannot run this circuit with exact values"),
    ],
)
def test_what_a_device_cannot_do(name, shots, options, message):
    with pytest.raises(UsageError, match=f"backend: {message}"):
        program(CIRCUIT, name, shots, **options)


@pytest.mark.parametrize(
    ("name", "installed", "remedy"),
    [
        ("qiskit.aerr", ["null.qubit", "qiskit.aer"], "did you mean 'qiskit.aer'? (choices: null.qubit, qiskit.aer)"),
        ("qiskit.nonesuch", ["qiskit.aer"], "did you mean 'qiskit.aer'? (choices: qiskit.aer)"),
        ("qiskit.aer", ["default.qubit"], "pip install 'qrl-meta[qiskit]'"),
        ("lightning.qubit", ["default.qubit"], "pip install pennylane-lightning"),
        ("lightning.gpu", ["default.qubit", "lightning.qubit"], "pip install pennylane-lightning-gpu"),
        ("nonesuch", ["default.qubit"], "choices: default.qubit"),
    ],
)
def test_what_to_install_is_said_of_plug_ins_that_are_missing_alone(name, installed, remedy):
    assert unknown_device(name, installed) == f"backend: PennyLane has no device {name!r} here; {remedy}"


# --- Qiskit, where it is installed ------------------------------------------------------------------------------------


def test_a_model_on_aer_within_four_standard_errors():
    pytest.importorskip("pennylane_qiskit")
    plugin, shots = load("models", "reuploading"), 100_000
    circuit = plugin.circuit(plugin.Config(n_wires=2, n_layers=1), 2)
    exact, played = compile_circuit(circuit), program(circuit, "qiskit.aer", shots)
    x, w, s = points(circuit, batch=2)
    found, expected = (p.run(p.bind(w, s), x) for p in (played, exact))
    assert ((found - expected).abs() < 4 * ((1 - expected.square()) / shots).sqrt() + 1e-9).all()
    assert not torch.equal(found, expected)


def test_aer_is_not_taken_for_exact():
    """Of its own accord it takes 1024 shots where none are asked for."""
    pytest.importorskip("pennylane_qiskit")
    with pytest.raises(UsageError, match=r"device qiskit\.aer (has no|cannot run this circuit with) exact values"):
        program(CIRCUIT, "qiskit.aer")


def test_a_noise_model_and_a_fake_computer():
    """The noise of a device turns values towards zero; what stands for a computer is handed to `qiskit.remote`."""
    aer = pytest.importorskip("qiskit_aer")
    pytest.importorskip("pennylane_qiskit")
    runtime = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    circuit = Circuit(1, (Gate("RX", (0,), Weight(0)),), (Observable.of("Z0"),))
    model = aer.noise.NoiseModel()
    model.add_all_qubit_quantum_error(aer.noise.depolarizing_error(0.2, 1), ["rx", "sx", "rz", "x", "u3"])
    w, x = torch.zeros(1, dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE)
    for name, options in (
        ("qiskit.aer", {"noise_model": model, "optimization_level": 0}),
        ("qiskit.remote", {"backend": runtime.FakeManilaV2()}),
    ):
        played = Backend(f"pennylane:{name}", 10_000, options=options).compile(circuit, seeded())
        (value,) = played.run(played.bind(w, w[:0]), x)[0]
        assert 0.5 < value < 0.999, name
