"""Circuits on PennyLane devices: the same values and derivatives as in torch, or a clear error."""

import math
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pennylane as qml
import pytest
import torch
from torch.func import grad, jvp, vmap

from qrl.backends import devices
from qrl.backends.backend import Backend
from qrl.backends.names import unknown_device
from qrl.backends.pennylane import to_qnode
from qrl.backends.qiskit import named_backend
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit
from tests.support.double_precision import normal, seeded

DOUBLE = torch.float64
DEVICES = ("default.qubit", "lightning.qubit", "default.mixed")
QUANTUM = [name for name in MODELS.available() if hasattr(MODELS.load(name), "circuit")]


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
def test_every_model_agrees_on_every_device(model, name):
    config = MODELS.load(model).Config(n_wires=3, n_layers=1, observables="both")
    agree(MODELS.load(model).circuit(config, 2), name)


@pytest.mark.parametrize("gradient", ["parameter-shift", "adjoint", "backprop"])
@pytest.mark.parametrize("seed", range(3))
def test_every_gradient_is_exact(seed, gradient):
    agree(random_circuit(seed, max_wires=3, max_gates=10), f"default.qubit,gradient={gradient}")


def test_noise_on_a_device_equals_torch():
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
def test_circuits_with_different_weights_in_a_batch_and_under_vmap(name):
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
    """The value after a gradient step, as in MAML."""

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
def test_second_derivatives_are_exact_through_simulators(name):
    w = normal(2, seed=1)
    found, expected = (grad(partial(meta, played))(w) for played in (program(CIRCUIT, name), compile_circuit(CIRCUIT)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "shots"), [("lightning.qubit", 0), ("default.qubit,gradient=parameter-shift", 0), ("default.qubit", 10)]
)
def test_incorrect_second_derivatives_are_rejected(name, shots):
    played = program(CIRCUIT, name, shots)
    assert played.max_order == 1
    with pytest.raises(UsageError, match=r"provides no second derivatives, .*: use backend torch"):
        grad(partial(meta, played))(normal(2, seed=1))


@pytest.mark.parametrize(("method", "found"), [("adjoint", 0.0), ("parameter-shift", 0.0)])
def test_pennylane_second_derivatives_are_wrong(method, found):
    """<Z> after RY(w) is cos w, its second derivative -cos w. PennyLane 0.45 returns zero without an error."""
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)),), (Observable.of("Z0"),))
    w = torch.tensor([0.7], dtype=DOUBLE, requires_grad=True)
    ours = to_qnode(circuit, "default.qubit", method)  # which refuses them
    qnode = qml.QNode(ours.func, ours.device, interface="torch", diff_method=method)
    (slope,) = torch.autograd.grad(qnode(torch.zeros(1), w, w[:0])[0], [w], create_graph=True)
    assert float(slope.detach()) == pytest.approx(-math.sin(0.7))
    # Through a square, so that the gradient is differentiable: 2 f f' has the derivative 2 f'^2 + 2 f f''.
    value = qnode(torch.zeros(1), w, w[:0])[0]
    (first,) = torch.autograd.grad(value.square(), [w], create_graph=True)
    (second,) = torch.autograd.grad(first, [w])
    truncated = 2 * math.sin(0.7) ** 2 - 2 * found * math.cos(0.7)
    assert float(second) == pytest.approx(truncated) != pytest.approx(truncated - 2 * math.cos(0.7) ** 2)


@pytest.mark.parametrize("name", DEVICES)
def test_shot_estimates_and_parameter_shift_gradients_are_unbiased(name):
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


def test_spsa_gradients_are_unbiased():
    rows = 3000
    played, exact = program(CIRCUIT, "default.qubit,gradient=spsa"), compile_circuit(CIRCUIT)
    slopes = []
    for p in (played, exact):
        many = normal(2, seed=1).expand(rows, -1).clone().requires_grad_()
        scales, x = torch.ones(rows, 1, dtype=DOUBLE), torch.ones(rows, 1, 1, dtype=DOUBLE)
        (slope,) = torch.autograd.grad(p.run(p.bind(many, scales), x)[..., 0].sum(), [many])
        slopes.append(slope)
    error = slopes[0].mean(0) - slopes[1][0]
    # The bias is of the order of the step size squared.
    assert (error.abs() < 4 * slopes[0].std(0) / math.sqrt(rows) + 0.02).all()


def test_batch_is_one_job(monkeypatch):
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
        ("lightnin.qubit", 0, {}, "PennyLane device 'lightnin.qubit' is not installed; did you mean 'lightning.qubit'"),
        ("default.qubits", 0, {}, "PennyLane device 'default.qubits' is not installed; did you mean 'default.qubit'"),
        (
            "lightning.qubits",
            0,
            {},
            "PennyLane device 'lightning.qubits' is not installed; did you mean 'lightning",
        ),
        ("default.qubit,wings=3", 0, {}, "device default.qubit: TypeError: .*wings"),
        ("default.qubit,wings", 0, {}, "expected OPTION=VALUE after a comma, not 'wings'"),
        ("default.qubit,gradient=adjiont", 0, {}, "unknown gradient 'adjiont'; did you mean 'adjoint'"),
        (
            "default.qubit,gradient=backprop",
            10,
            {},
            "gradient backprop is not available on default.qubit with shots; choose from param",
        ),
        ("lightning.qubit", 0, {"noise": Noise(bit_flip=0.1)}, "device lightning.qubit does not support noise"),
        ("default.gaussian", 0, {}, "device default.gaussian cannot run this circuit with exact values"),
    ],
)
def test_unsupported_device_operations(name, shots, options, message):
    with pytest.raises(UsageError, match=f"backend: {message}"):
        program(CIRCUIT, name, shots, **options)


@pytest.mark.parametrize(
    ("name", "installed", "remedy"),
    [
        ("qiskit.aerr", ["null.qubit", "qiskit.aer"], "did you mean 'qiskit.aer'? (choices: null.qubit, qiskit.aer)"),
        ("qiskit.nonesuch", ["qiskit.aer"], "did you mean 'qiskit.aer'? (choices: qiskit.aer)"),
        ("qiskit.aer", ["default.qubit"], "pip install 'qrl-meta[qiskit]'"),
        ("lightning.qubit", ["default.qubit"], "pip install pennylane-lightning"),
        ("cirq.simulator", ["default.qubit"], "pip install pennylane-cirq"),
        ("lightning.gpu", ["default.qubit", "lightning.qubit"], "pip install pennylane-lightning-gpu"),
        ("nonesuch", ["default.qubit"], "choices: default.qubit"),
        ("aer", ["default.qubit", "qiskit.aer"], "did you mean 'qiskit.aer'?"),
        ("qiskit", ["default.qubit"], "pip install 'qrl-meta[qiskit]'"),
    ],
)
def test_installation_hint_only_for_missing_plug_ins(name, installed, remedy):
    assert unknown_device(name, installed) == f"backend: PennyLane device {name!r} is not installed; {remedy}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("aer", "qiskit.aer"),
        ("qiskit.aer", "qiskit.aer"),
        ("IBM", "qiskit.remote"),
        ("fake_manila", "qiskit.remote,backend=fake_manila"),
        ("ibm_torino", "qiskit.remote,backend=ibm_torino"),
    ],
)
def test_short_names_lead_to_the_device(name, meant):
    with pytest.raises(UsageError, match=f"backend: unknown name '{name}'; did you mean 'pennylane:{meant}'?"):
        Backend(name)


def test_missing_device_is_found_before_pennylane_is_imported():
    code = (
        "import sys, torch\n"
        "from qrl import Backend, Circuit\nfrom qrl.circuits.observables import Observable\n"
        "from qrl.common.errors import UsageError\n"
        "circuit = Circuit(1, (), (Observable.of('Z0'),))\n"
        "try:\n    Backend('pennylane:lightnin.qubit').compile(circuit, torch.Generator())\n"
        "except UsageError as error:\n    print(error, 'pennylane' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "did you mean 'lightning.qubit'?" in found and found.endswith(" False\n")


def test_trial_runs_are_made_on_local_devices_only(monkeypatch):
    tried = []
    monkeypatch.setattr(devices.DeviceProgram, "_test_run", lambda self, name, shots: tried.append(name))
    for name in ("default.qubit", "ionq.qpu", "braket.aws.qubit", "my.computer"):
        devices.DeviceProgram(CIRCUIT, name, {}, 100, NOISELESS, "auto", seeded(), ready=qml.device("default.qubit"))
    assert tried == ["default.qubit"]


# --- Qiskit, if installed ---------------------------------------------------------------------------------------------


@pytest.fixture
def computer():
    """Simulated five-qubit IBM backend with its noise."""
    return pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2()


def remote(circuit: Circuit, computer, shots=100, **options):
    options |= {"backend": computer}
    return Backend("pennylane:qiskit.remote", shots, options=options).compile(circuit, seeded())


def close_to_exact(played, circuit: Circuit, shots: int):
    """Within four standard errors of each Pauli word's estimate; a word's variance is at most one."""
    exact = compile_circuit(circuit)
    x, w, s = points(circuit, batch=2)
    found, expected = (p.run(p.bind(w, s), x) for p in (played, exact))
    largest = torch.tensor([sum(abs(word.coefficient) for word in each.words) for each in circuit.observables])
    assert ((found - expected).abs() < 4 * largest / math.sqrt(shots) + 1e-9).all()
    assert not torch.equal(found, expected)


def test_computers_have_names(computer):
    """With the credentials of Qiskit's account file, or simulated ones without any."""
    found = Backend("pennylane:qiskit.remote,backend=fake_manila", 20_000).compile(CIRCUIT, seeded())
    given = remote(CIRCUIT, computer, 20_000)
    x, w, s = points(CIRCUIT)
    one, other = (program.run(program.bind(w, s), x) for program in (found, given))
    assert (one - other).abs().max() < 0.05


def test_names_of_an_account_are_looked_up(monkeypatch, computer):
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    service = SimpleNamespace(backends=lambda: [SimpleNamespace(name="ibm_torino")], backend=lambda name: computer)
    monkeypatch.setattr(runtime, "QiskitRuntimeService", lambda: service)
    assert named_backend("ibm_torino") is computer
    with pytest.raises(UsageError, match="the account has no computer 'ibm_turin'; did you mean 'ibm_torino'"):
        named_backend("ibm_turin")


def test_model_on_aer_within_four_standard_errors():
    pytest.importorskip("pennylane_qiskit")
    plugin, shots = MODELS.load("reuploading"), 100_000
    circuit = plugin.circuit(plugin.Config(n_wires=2, n_layers=1), 2)
    close_to_exact(program(circuit, "qiskit.aer", shots), circuit, shots)


@pytest.mark.parametrize("seed", range(6))
def test_every_gate_and_every_basis_on_aer(seed):
    """Circuits with words in several bases, and parameters without effect that the transpiler drops."""
    pytest.importorskip("pennylane_qiskit")
    circuit = random_circuit(seed, max_wires=4, max_gates=12)
    close_to_exact(program(circuit, "qiskit.aer", 50_000), circuit, 50_000)


def test_more_than_eight_wires_on_aer():
    pytest.importorskip("pennylane_qiskit")
    gates = tuple(Gate("RY", (wire,), Weight(wire)) for wire in range(10))
    circuit = Circuit(
        10, gates, (Observable.of("Z0"), Observable.of("Z7 Z8"), Observable.of("X9"), Observable.of("Y2"))
    )
    close_to_exact(program(circuit, "qiskit.aer", 50_000), circuit, 50_000)


def test_aer_samples_anew_in_every_call_and_from_the_generator():
    pytest.importorskip("pennylane_qiskit")
    x, w, s = points(CIRCUIT)
    first, again = (program(CIRCUIT, "qiskit.aer", 50, seed=3) for _ in range(2))
    one, other, same = (p.run(p.bind(w, s), x) for p in (first, first, again))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_gradient_from_aer_shots():
    pytest.importorskip("pennylane_qiskit")
    shots = 20_000
    (_, *found), (_, *expected) = (
        value_and_gradient(p, CIRCUIT) for p in (program(CIRCUIT, "qiskit.aer", shots), compile_circuit(CIRCUIT))
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.15, rtol=0)


def test_batch_is_one_hardware_job_and_compiled_once(computer, monkeypatch):
    transpiler, primitives = pytest.importorskip("qiskit.transpiler"), pytest.importorskip("qiskit.primitives")
    compiled, jobs = [], []
    run, submit = transpiler.PassManager.run, primitives.BackendSamplerV2.run
    monkeypatch.setattr(
        transpiler.PassManager, "run", lambda self, c, *a, **k: (c and compiled.append(c)) or run(self, c, *a, **k)
    )
    monkeypatch.setattr(
        primitives.BackendSamplerV2,
        "run",
        lambda self, pubs, **k: jobs.append([p[1].size for p in pubs]) or submit(self, pubs, **k),
    )
    played = remote(CIRCUIT, computer)
    assert len(compiled) == 2  # Z0 and Y1 are measured together, X0 Z1 is not
    w = normal(2, seed=1).requires_grad_()
    values = played.run(played.bind(w, torch.ones(1, dtype=DOUBLE)), torch.ones(7, 1, dtype=DOUBLE))
    assert jobs == [[7, 7]]
    torch.autograd.grad(values.sum(), [w])
    assert jobs[1:] == [[7 * (2 + 4 + 2)] * 2] and len(compiled) == 2


@pytest.mark.parametrize(
    ("name", "shots", "message"),
    [
        ("qiskit.aer", 0, "device qiskit.aer returns no exact values; set --shots"),
        ("qiskit.remote", 0, "device qiskit.remote returns no exact values; set --shots"),
        ("qiskit.remote", 10, "device qiskit.remote needs a computer of IBM by its name, such as pennylane:qiskit.re"),
        ("qiskit.remote,bakcend=x", 10, "device qiskit.remote has no option 'bakcend'; did you mean 'backend'"),
        ("qiskit.remote,backend=3", 10, "device qiskit.remote needs a computer of IBM by its name"),
        ("qiskit.remote,backend=fake_manil", 10, "no simulated computer 'fake_manil'; did you mean 'fake_manila'"),
        ("qiskit.aer,wings=3", 10, "device qiskit.aer cannot run this circuit: AerError: .*wings"),
        ("qiskit.aer,method=statevectr", 10, "device qiskit.aer cannot run this circuit: .*statevectr"),
        ("qiskit.aer,optimization_level=9", 10, "device qiskit.aer cannot run this circuit: .*9"),
    ],
)
def test_unsupported_qiskit_options(name, shots, message):
    pytest.importorskip("pennylane_qiskit")
    with pytest.raises(UsageError, match=f"backend: {message}"):
        program(CIRCUIT, name, shots)


def test_circuit_with_more_wires_than_qubits(computer):
    circuit = Circuit(6, (Gate("RX", (5,), Weight(0)),), (Observable.of("Z5"),))
    with pytest.raises(UsageError, match="fake_manila has 5 qubits, the circuit has 6 wires"):
        remote(circuit, computer)


def test_options_only_for_ibm_backends(computer):
    with pytest.raises(UsageError, match="option 'session' is for IBM backends, and fake_manila is not one"):
        remote(CIRCUIT, computer, session=object())


def test_noise_model_and_fake_backend(computer):
    """A device's noise shrinks values towards zero; fake backends are passed to `qiskit.remote`."""
    aer = pytest.importorskip("qiskit_aer")
    pytest.importorskip("pennylane_qiskit")
    circuit = Circuit(1, (Gate("RX", (0,), Weight(0)),), (Observable.of("Z0"),))
    model = aer.noise.NoiseModel()
    model.add_all_qubit_quantum_error(aer.noise.depolarizing_error(0.2, 1), ["rx", "sx", "rz", "x", "u3"])
    w, x = torch.zeros(1, dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE)
    for name, options in (
        ("qiskit.aer", {"noise_model": model, "optimization_level": 0}),
        ("qiskit.remote", {"backend": computer}),
    ):
        played = Backend(f"pennylane:{name}", 10_000, options=options).compile(circuit, seeded())
        (value,) = played.run(played.bind(w, w[:0]), x)[0]
        assert 0.5 < value < 0.999, name
