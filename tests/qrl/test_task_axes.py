"""Policies of several tasks by leading axes, compared with `torch.func.vmap` over the tasks."""

from functools import partial

import gymnasium
import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from qrl.backends.backend import Backend, run_on
from qrl.layer import CircuitModel, QuantumLayer
from qrl.models import MODELS
from qrl.models.shared.cells import QuantumGatesConfig
from qrl.noise.model import Noise
from qrl.policies.actor import PolicyConfig
from qrl.policies.policy import bind, make_policy
from qrl.policies.recurrent import make_recurrent_policy
from tests.support.double_precision import normal
from tests.support.model_names import MEMORYLESS, RECURRENT

TASKS, LANES, INPUTS = 4, 6, 3
BOX = gymnasium.spaces.Box(-1.0, 1.0, (INPUTS,))
ACTIONS = {
    "categorical": gymnasium.spaces.Discrete(2),
    "gaussian": gymnasium.spaces.Box(-0.5, 0.5, (2,)),
}


def plugin_of(model, **options):
    plugin = MODELS.load(model)
    return model, plugin.Config(**options)


def of_tasks(policy):
    """Parameters of each task, around the policy's own."""
    own = policy.named_parameters()
    return {n: p.detach() + 0.1 * normal(TASKS, *p.shape, seed=i).to(p.dtype) for i, (n, p) in enumerate(own)}


def both(policy, observations):
    """Distributions by leading axes and by `vmap`, for parameters of each task."""
    params = of_tasks(policy)
    by_axes = policy.distribution(bind(policy, params), observations)
    by_vmap = vmap(policy.distribution)(vmap(partial(bind, policy))(params), observations)
    return by_axes, by_vmap


def check_equal(found, wanted, dtype):
    """The results are rounded differently only where a matrix product is followed by a bias."""
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=tolerance, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", ACTIONS)
@pytest.mark.parametrize("model", MEMORYLESS)
def test_leading_axes_equal_vmap(model, head, dtype):
    policy = make_policy(*plugin_of(model), BOX, ACTIONS[head]).to(dtype)
    by_axes, by_vmap = both(policy, normal(TASKS, LANES, INPUTS, seed=1).to(dtype))
    check_equal(by_axes, by_vmap, dtype)
    assert not torch.allclose(*next(iter(by_axes.values()))[:2], atol=1e-3)  # tasks differ


@pytest.mark.parametrize("model", [m for m in MEMORYLESS if isinstance(MODELS.load(m), CircuitModel)])
def test_circuits_by_leading_axes_equal_vmap_bit_by_bit(model):
    policy = make_policy(*plugin_of(model), BOX, ACTIONS["categorical"])
    by_axes, by_vmap = both(policy, normal(TASKS, LANES, INPUTS, seed=1).float())
    assert torch.equal(by_axes["log_probs"], by_vmap["log_probs"])


def test_masks_projection_and_running_normalisation():
    """Also a read-out without bias and a fixed inverse temperature."""
    config = PolicyConfig(normalisation="running", readout_bias=False, inverse_temperature="fixed")
    space = gymnasium.spaces.Box(-1.0, 1.0, (8,))
    policy = make_policy(
        *plugin_of("reuploading", encoding="projection"),
        space,
        ACTIONS["categorical"],
        invalid_action_slice=slice(0, 2),
        config=config,
    ).double()
    policy.update_normalisation(3 + 2 * normal(20, 8, seed=2))
    observations = normal(TASKS, LANES, 8, seed=3)
    observations[..., :2] = torch.tensor([1.0, 0.0])
    by_axes, by_vmap = both(policy, observations)
    check_equal(by_axes, by_vmap, torch.float64)
    assert (by_axes["log_probs"][..., 0] < -1e5).all()


@pytest.mark.parametrize(
    "backend", [Backend(shots=50), Backend(noise=Noise(depolarizing=0.01)), Backend("pennylane:default.qubit")]
)
def test_backends_draw_and_count_as_under_vmap(backend):
    results = []
    for call in (0, 1):
        policy = make_policy(*plugin_of("reuploading", n_wires=2, n_layers=1), BOX, ACTIONS["categorical"])
        run_on(policy, backend, torch.Generator().manual_seed(7))
        params, observations = of_tasks(policy), normal(TASKS, LANES, INPUTS, seed=1).float()
        if call:
            result = vmap(policy.distribution)(vmap(partial(bind, policy))(params), observations)
        else:
            result = policy.distribution(bind(policy, params), observations)
        results.append((result["log_probs"], policy.features.program.counter.circuits))
    (by_axes, count), (by_vmap, wanted) = results
    torch.testing.assert_close(by_axes, by_vmap, atol=1e-6, rtol=0)
    assert count == wanted == TASKS * LANES


@pytest.mark.parametrize("options", [{}, {"n_circuits": 2}])
@pytest.mark.parametrize("model", RECURRENT)
def test_recurrent_policies_by_leading_axes_equal_vmap(model, options):
    if options and not issubclass(MODELS.load(model).Config, QuantumGatesConfig):
        pytest.skip("has one circuit at most")
    policy = make_recurrent_policy(
        *plugin_of(model, **options), BOX, ACTIONS["categorical"], trial_steps=5, predict_reward=True, bilinear=True
    ).double()
    params = of_tasks(policy)
    inputs = normal(5, TASKS, LANES, INPUTS + 4, seed=1)

    def of_task(params, inputs):
        return policy.unroll(bind(policy, params), inputs, None)

    found = policy.unroll(bind(policy, params), inputs, None)
    wanted = vmap(of_task, in_dims=(0, 1), out_dims=1)(params, inputs)
    check_equal(found.distribution, wanted.distribution, torch.float64)
    torch.testing.assert_close(found.value, wanted.value, atol=1e-14, rtol=0)
    torch.testing.assert_close(found.reward_outputs, wanted.reward_outputs, atol=1e-14, rtol=0)


# --- modules of users -------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Without `bind`: mixes the samples of a batch, so that axes taken for samples would show."""

    n_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(INPUTS, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        assert inputs.ndim == 2
        return self.linear(inputs) - inputs.mean()


class Bindable(Plain):
    """With `bind` and `run` for one task."""

    def bind(self) -> Tensor:
        return self.linear.weight.T.exp()

    def run(self, bound: Tensor, inputs: Tensor) -> Tensor:
        assert inputs.ndim == 2
        return inputs @ bound - inputs.mean()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.run(self.bind(), inputs)


class Undeclared(Bindable):
    broadcasts = False


class Fixed(nn.Module):
    """Without parameters."""

    n_features = INPUTS

    def forward(self, inputs: Tensor) -> Tensor:
        assert inputs.ndim == 2
        return inputs - inputs.mean()


class Wrapper(nn.Module):
    """One of the library's layers inside a module without `bind`."""

    n_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = QuantumLayer("reuploading", 4, 1, n_inputs=INPUTS)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)


@pytest.mark.parametrize("kind", [Plain, Bindable, Undeclared, Fixed, Wrapper, nn.LazyLinear])
def test_modules_of_users_see_one_task_at_a_time(kind):
    module = kind(2) if kind is nn.LazyLinear else kind()
    module.n_features = getattr(module, "n_features", 2)
    policy = make_policy(module, MODELS.load(module).Config(), BOX, ACTIONS["gaussian"])
    observations = normal(TASKS, LANES, INPUTS, seed=1).float()
    check_equal(*both(policy, observations), torch.float32)
    params = of_tasks(policy)
    together = policy.distribution(bind(policy, params), observations)["mean"]
    for task in range(TASKS):
        own = {name: value[task] for name, value in params.items()}
        alone = torch.func.functional_call(policy, own, (observations[task],))["mean"]
        torch.testing.assert_close(together[task], alone, atol=1e-6, rtol=0)
