"""Policies of enumerated decision processes, and MAML with the plain estimator."""

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from agents.core.pytree import flatten
from agents.maml import MAML, Config
from qrl.models.reuploading import Config as CircuitConfig
from qrl.policies.actor import BoundNetwork, BoundPolicy
from qrl.policies.heads import Categorical
from qrl.policies.policy import Policy, make_policy
from tests.support.enumeration.processes import N_ACTIONS, OBSERVATION, Problem


class LogitPolicy(Policy):
    """A softmax policy whose only parameters are its logits, two per state."""

    broadcasts = True

    def __init__(self, n_states: int = 1) -> None:
        nn.Module.__init__(self)
        logits = torch.tensor([[0.4, -0.3], [-0.2, 0.1]], dtype=torch.float64)
        self.logits = nn.Parameter(logits[:n_states].clone())
        self.head = Categorical  # type: ignore[assignment]  # only its functions, without its temperature

    @property
    def groups(self) -> dict[str, str]:
        return {"logits": "heads"}

    def bind(self) -> BoundPolicy:
        return BoundPolicy(BoundNetwork({}, {}), {"logits": self.logits})

    def distribution(self, bound: BoundPolicy, observations: Tensor) -> dict[str, Tensor]:
        logits = bound.head["logits"]
        state = (observations == OBSERVATION[: logits.shape[-2]]).to(observations.dtype)
        return {"log_probs": (state @ logits).log_softmax(-1)}


def circuit_policy(n_wires: int = 1, n_layers: int = 1, seed: int = 0) -> Policy:
    """A re-uploading circuit policy in double precision."""
    observations = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    generator = torch.Generator().manual_seed(seed)
    config = CircuitConfig(n_wires=n_wires, n_layers=n_layers)
    actions = gymnasium.spaces.Discrete(N_ACTIONS)
    return make_policy("reuploading", config, observations, actions, generator=generator).double()


def policies(problem: Problem) -> dict[str, Policy]:
    """The policies used in all tests."""
    logits = LogitPolicy(len(problem.outcomes))
    return {"logits": logits, "1 wire": circuit_policy(1), "2 wires": circuit_policy(2)}


def learner(policy: Policy, problem: Problem, **options: Any) -> MAML:
    """MAML with the plain estimator: a fixed step size, no discount, no baseline, raw advantages."""
    plain: dict[str, Any] = {
        "episodes": problem.episodes,
        "inner_step_size": 0.5,
        "learn_step_sizes": False,
        "baseline": "none",
        "discount": 1.0,
        "standardise_inner": False,
    }
    if options.get("estimator", "dice") == "dice":
        plain["dice_lambda"] = 1.0
    return MAML(Config(**(plain | options)), policy, problem.horizon)


def flat(params: dict[str, Tensor]) -> Tensor:
    """The parameters as one vector."""
    return torch.cat([value.flatten() for value in params.values()])


def unflat(policy: Policy, theta: Tensor) -> dict[str, Tensor]:
    """The inverse of `flat` for the policy's own parameters."""
    parameters = dict(policy.named_parameters())
    parts = theta.split([p.numel() for p in parameters.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(parameters.items(), parts, strict=True)}


def parameters(maml: MAML) -> Tensor:
    """The learner's theta, and its step sizes if it learns them."""
    return flatten(maml.meta).detach()
