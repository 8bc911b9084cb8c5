"""Tests that `test_torch_compile.py` runs in a process of their own: `torch.compile` cannot look into type checks."""

import io
from collections.abc import Callable

import gymnasium
import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor, nn

from qrl.circuits.angles import Expression, Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.circuits.registers import Registers
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.noise.model import Noise
from qrl.policies.frame import Frame
from qrl.policies.policy import make_policy
from qrl.simulator.kernels import SMALL
from qrl.simulator.program import compile_circuit

BATCHES = (3, 7, 1, 1 + SMALL // 8)
"""Sizes of batches; the eager executor would take the last one for large, with two wires."""


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(batch: int, n_inputs: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(batch, n_inputs, generator=generator(batch), dtype=dtype)


def make_layer(**options: object) -> QuantumLayer:
    return QuantumLayer("reuploading", 2, 1, generator=generator(), **options)  # type: ignore[arg-type]


def expressions() -> QuantumLayer:
    x, y, v, w = (Expression.of(each) for each in (Input(0), Input(1), Weight(0), Weight(1)))
    gates = (Gate("RY", (0,), 2 * x * v + w.apply("sin")), Gate("CNOT", (0, 1)), Gate("RX", (1,), y * y + 2 * v))
    return QuantumLayer(Circuit(2, gates, (Observable.of("Z0 X1"), Observable.of("Z1"))), generator=generator())


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "plain": make_layer,
    "double": lambda: make_layer().double(),
    "projection": lambda: make_layer(encoding="projection", n_inputs=2),
    "several blocks": lambda: QuantumLayer("reuploading", 6, 1, n_inputs=2, generator=generator()),
    "expressions": expressions,
}


MORE = ("double", "projection", "several blocks")


def more(*values: object) -> ParameterSet:
    """Mark a case that `make test-all` alone compiles, which takes seconds."""
    return pytest.param(*values, marks=pytest.mark.slow)


def compiled(function: Callable[..., Tensor], backend: str = "eager") -> Callable[..., Tensor]:
    return torch.compile(function, backend=backend, fullgraph=True)


@pytest.mark.parametrize(
    ("name", "backend"),
    [("plain", "eager"), ("expressions", "eager"), *(more(name, "eager") for name in MORE), more("plain", "aot_eager")],
)
def test_compiled_layers_take_batches_of_any_size(name, backend):
    layer = LAYERS[name]()
    whole = compiled(layer, backend)
    for batch in BATCHES:
        inputs = samples(batch, dtype=layer.weights.dtype)
        values, expected = whole(inputs), layer(inputs)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
        gradients, exact = (torch.autograd.grad(each.square().mean(), layer.weights)[0] for each in (values, expected))
        torch.testing.assert_close(gradients, exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "strict"),
    [
        ("several blocks", False),
        ("expressions", True),
        *(more("plain", strict) for strict in (False, True)),
        more("several blocks", True),
        more("expressions", False),
    ],
)
def test_exported_layers_take_batches_of_any_size(name, strict):
    layer = LAYERS[name]()
    dtype = layer.weights.dtype
    batches = ({0: torch.export.Dim("batch")},)
    file = io.BytesIO()
    torch.export.save(
        torch.export.export(layer, (samples(4, dtype=dtype),), dynamic_shapes=batches, strict=strict), file
    )
    file.seek(0)
    restored = torch.export.load(file).module()
    for batch in BATCHES:
        inputs = samples(batch, dtype=dtype)
        torch.testing.assert_close(restored(inputs), layer(inputs), atol=1e-5, rtol=0)


def test_compiled_layers_take_single_samples_and_autocast():
    layer = make_layer()
    whole = compiled(layer)
    torch.testing.assert_close(whole(samples(1)[0]), layer(samples(1)[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = whole(samples(5))
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, layer(samples(5)))


@pytest.mark.parametrize(
    ("noise", "bound_outside"),
    [
        (Noise(depolarizing=0.05), False),
        (Noise(), True),
        *(more(noise, outside) for noise, outside in ((Noise(), False), (Noise(depolarizing=0.05), True))),
        *(more(Noise(readout=0.1), outside) for outside in (False, True)),
    ],
)
def test_compiled_programs_under_noise(noise, bound_outside):
    layer = make_layer()
    program = compile_circuit(layer.circuit, noise)
    weights, scales = layer.weights.detach(), layer.scales.detach()
    outside = program.bind(weights, scales)

    def read(inputs: Tensor) -> tuple[Tensor, Tensor]:
        bound = outside if bound_outside else program.bind(weights, scales)
        return program.run(bound, inputs), program.probabilities(bound, inputs)

    whole = torch.compile(read, backend="eager", fullgraph=True)
    for batch in BATCHES[:2]:
        torch.testing.assert_close(whole(samples(batch)), read(samples(batch)))


def test_compiled_programs_take_initial_states():
    program = compile_circuit(make_layer().circuit)
    weights, scales = torch.rand(program.circuit.n_weights), torch.rand(program.circuit.n_scales)

    def read(inputs: Tensor, initial: Tensor) -> Tensor:
        return program.amplitudes(program.bind(weights, scales), inputs, initial)

    initial = torch.randn(3, 4, dtype=torch.complex64, generator=generator())
    torch.testing.assert_close(compiled(read)(samples(3), initial), read(samples(3), initial))


def test_compiled_gradients_of_stacked_parameters():
    """As an inner loop computes them: gradients of one parameter set per task."""
    layer = make_layer()
    stacked = {name: torch.stack([each.detach(), each.detach() + 0.3]) for name, each in layer.named_parameters()}

    def loss(parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        values: Tensor = torch.func.functional_call(layer, parameters, (inputs,))
        return values.square().mean()

    gradients = torch.func.vmap(torch.func.grad(loss), (0, None))
    for batch in BATCHES[:2]:
        torch.testing.assert_close(compiled(gradients)(stacked, samples(batch)), gradients(stacked, samples(batch)))


def test_compiled_policies_take_batches_of_any_size():
    spaces = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(3)
    policy = make_policy("reuploading", None, *spaces, generator=generator())
    whole = compiled(policy)
    for batch in BATCHES:
        torch.testing.assert_close(whole(samples(batch)), policy(samples(batch)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", ["coherent", "measured_gru"])
def test_compiled_cells_on_registers(model):
    """Among them the entanglers' constants, which may not be made in the graph."""
    plugin, frame = MODELS.load(model), Frame(3, 2, trial_steps=4, registers=Registers(1, 2, entangled=False))
    cell = plugin.build(plugin.Config(), frame, generator())
    width = 2 + cell.circuit.n_wires + 2 + 2  # register, outcomes, answer, reward, end of episode

    def weights(delivered: Tensor, classical: Tensor, memory: Tensor) -> Tensor:
        return cell.evolve(cell.bind(), 1, delivered, classical, memory).weights

    whole = compiled(weights)
    for batch in BATCHES[:2]:
        inputs = samples(batch, 4), samples(batch, width), samples(batch, cell.n_memory)
        torch.testing.assert_close(whole(*inputs), weights(*inputs))
