"""Layers and policies traced by torch, under autocast, and beside torch's global generator."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch import Tensor, nn

from qrl.layer import QuantumLayer
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


def fit_classifier() -> None:
    rng = np.random.default_rng(0)
    QuantumClassifier(n_qubits=2, n_layers=1, max_iter=1, random_state=0).fit(rng.normal(size=(8, 3)), np.arange(8) % 2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("build", [fit_classifier, lambda: make_layer(encoding="projection", n_inputs=3)])
def test_global_random_state_is_left_alone(build: Callable[[], object]):
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)
