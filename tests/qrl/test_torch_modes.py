"""Layers and policies traced by torch, under autocast, and beside torch's global generator."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, linearize

from qrl.circuits.registers import Registers
from qrl.common import autograd
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.policies.frame import Frame
from qrl.sb3 import QuantumActorCriticPolicy
from qrl.sklearn.classifier import QuantumClassifier


def make_layer(**options: object) -> QuantumLayer:
    return QuantumLayer("reuploading", 2, 1, generator=torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]


def samples(batch: int, n_inputs: int = 2) -> Tensor:
    return torch.randn(batch, n_inputs, generator=torch.Generator().manual_seed(batch))


class Logits(nn.Module):
    def __init__(self, policy: QuantumActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observations: Tensor) -> Tensor:
        return self.policy.get_distribution(observations).distribution.logits


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_policy_depends_on_observations(unchecked):
    """Without gradients and after `predict`, whose cached parameters must not enter the trace."""
    options = {"model": "reuploading", "n_wires": 4, "n_layers": 1}
    policy = PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs=options, device="cpu", seed=0).policy
    policy.predict(np.zeros((1, 4), dtype=np.float32))
    with torch.no_grad():
        traced = torch.jit.trace(Logits(policy), samples(1, 4))
        for batch in (1, 7):
            observations = samples(batch, 4)
            expected = policy.get_distribution(observations).distribution.logits
            torch.testing.assert_close(traced(observations), expected)
            assert batch == 1 or traced(observations)[:, 0].std() > 1e-4


@pytest.mark.parametrize("encoding", ["cycle", "projection"])
def test_layers_keep_their_precision_under_autocast(encoding):
    layer = make_layer(encoding=encoding)
    network = nn.Sequential(nn.Linear(2, 2), layer)
    inputs = samples(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values, hidden = network(inputs), network[0](inputs)
    assert hidden.dtype == torch.bfloat16 and values.dtype == torch.float32
    torch.testing.assert_close(values, layer(hidden.float()))
    values.sum().backward()
    assert layer.weights.grad is not None and layer.weights.grad.abs().max() > 0


def run_cell(model: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features and new memory of a recurrent model, or outcome weights and logits of one on registers."""
    plugin, registers = MODELS.load(model), Registers(1, 2, entangled=False)
    frame = Frame(3, 2, trial_steps=4, registers=registers)
    cell = plugin.build(plugin.Config(), frame, torch.Generator().manual_seed(0)).to(dtype)
    hidden = samples(5, 3).to(dtype), torch.zeros(5, cell.n_memory, dtype=dtype)
    if model not in ("coherent", "measured_gru"):
        return torch.cat(cell(*hidden), dim=-1)
    bound, delivered, classical = cell.bind(), samples(5, 4).to(dtype), torch.ones(5, 9)[:, : cell_width(cell)]
    evolved = cell.evolve(bound, 1, delivered, classical.to(dtype), hidden[1])
    logits = cell.logits(bound, 1, torch.zeros(5, dtype=torch.int64), evolved.hidden)
    return torch.cat([evolved.weights, logits], dim=-1)


def cell_width(cell: nn.Module) -> int:
    """Width of the classical inputs: register, outcomes, answer, reward, end of episode."""
    return 2 + cell.circuit.n_wires + 2 + 2


RECURRENT = ["qgru", "qlstm", "gru_vqc", "coherent", "measured_gru"]


@pytest.mark.parametrize("model", RECURRENT)
def test_circuits_of_recurrent_models_keep_their_precision_under_autocast(model, unchecked):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run_cell(model)
    torch.testing.assert_close(found.float(), run_cell(model), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("model", RECURRENT)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_circuits_is_refused(model, dtype, unchecked):
    with pytest.raises(UsageError, match=f"circuit: dtype must be torch.float32 or torch.float64, not {dtype}"):
        run_cell(model, dtype)


def small_policy() -> QuantumActorCriticPolicy:
    options = {"model": "reuploading", "n_wires": 2, "n_layers": 1}
    policy = PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs=options, device="cpu", seed=0).policy
    assert isinstance(policy, QuantumActorCriticPolicy)
    return policy


def test_actor_and_critic_keep_their_precision_under_autocast():
    policy = small_policy()
    expected = policy.extract_features(samples(5, 4))
    for grad_enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(grad_enabled):
            found = policy.extract_features(samples(5, 4).bfloat16())
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)


def test_functional_call_leaves_a_policy_as_it_was():
    """Its extractor of the actor has two names, which `functional_call` would restore in the wrong order."""
    logits = Logits(small_policy())
    before, params = logits(samples(3, 4)), {name: 2 * p.detach() for name, p in logits.named_parameters()}
    doubled = functional_call(logits, params, samples(3, 4))
    slope = grad(lambda p: functional_call(logits, p, samples(3, 4)).square().sum())(params)
    assert not torch.equal(doubled, before) and torch.equal(logits(samples(3, 4)), before)
    assert all(isinstance(p, nn.Parameter) for p in logits.parameters())
    assert max(float(each.abs().max()) for name, each in slope.items() if "features.weights" in name) > 0
    copied = copy.deepcopy(logits.policy.state_dict())
    assert copied.keys() > {"features_extractor.features.weights", "pi_features_extractor.features.weights"}


def test_policies_and_their_optimisers_are_pickled():
    policy = small_policy()
    policy.evaluate_actions(samples(3, 4), torch.tensor([0, 1, 0]))[1].sum().backward()
    policy.optimizer.step()
    again = pickle.loads(pickle.dumps(policy))
    torch.testing.assert_close(again.predict_values(samples(3, 4)), policy.predict_values(samples(3, 4)))
    first, second = policy.optimizer.state_dict(), again.optimizer.state_dict()
    assert [group["factor"] for group in second["param_groups"]] == [group["factor"] for group in first["param_groups"]]
    torch.testing.assert_close(second["state"], first["state"])


@pytest.mark.filterwarnings(
    "ignore:Attempted to insert a get_attr Node:UserWarning"
)  # constants, in torch's own tracer
def test_linearize_records_operations_of_torch_only():
    """It runs the module on tensors without values, which the native kernel must not read."""
    layer = make_layer().double()
    inputs = samples(5).double()
    params = {name: p.detach() for name, p in layer.named_parameters()}

    def output(p: dict[str, Tensor]) -> Tensor:
        return functional_call(layer, p, inputs).sin().sum()

    value, slope = linearize(output, params)
    for shift in (1.0, 2.0):
        direction = {name: p + shift for name, p in params.items()}
        torch.testing.assert_close(slope(direction), jvp(output, (params,), (direction,))[1])
    torch.testing.assert_close(value, output(params))


def test_constants_are_marked_as_torch_marks_them():
    """torch: `assume_constant_result` sets one attribute, which is set here without an import of the compiler."""

    def marked() -> None:
        """Do nothing."""

    torch.compiler.assume_constant_result(marked)
    assert vars(marked) and vars(marked).items() <= vars(autograd._ensure_built).items()


def fit_classifier() -> None:
    rng = np.random.default_rng(0)
    QuantumClassifier(n_qubits=2, n_layers=1, max_iter=1, random_state=0).fit(rng.normal(size=(8, 3)), np.arange(8) % 2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("build", [fit_classifier, lambda: make_layer(encoding="projection", n_inputs=3)])
def test_global_random_state_is_left_alone(build: Callable[[], object]):
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)
