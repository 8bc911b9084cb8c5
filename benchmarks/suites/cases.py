"""Every model as a module from tensors to one tensor, for probes of torch's transforms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import torch
from stable_baselines3 import PPO
from torch import Generator, Tensor, nn

from qrl.circuits.registers import Registers
from qrl.common.options import option_names
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.models.shared.register_cell import RegisterCell, n_classical_inputs
from qrl.policies.features import RecurrentFeatures
from qrl.policies.frame import Frame
from qrl.sb3 import QuantumActorCriticPolicy
from qrl.sklearn.training import ClassifierNetwork

N_INPUTS = 3
REGISTERS = Registers(1, 2, entangled=False)
FRAME = Frame(N_INPUTS, 2, trial_steps=4, registers=REGISTERS)
SMALL = {"n_wires": 2, "n_layers": 1}


@dataclass(frozen=True)
class Case:
    """Module in double precision, and the widths of its inputs [batch, width]."""

    name: str
    module: nn.Module
    widths: tuple[int, ...]
    step: float = 1e-6
    """Step of finite differences, larger if observations are cast to single precision."""

    def inputs(self, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Draw inputs of this many samples."""
        generator = seeded(seed)
        return tuple(torch.randn(batch, width, generator=generator, dtype=torch.float64) for width in self.widths)


class WithMemory(nn.Module):
    """Recurrent features: (inputs, memory) -> features and new memory side by side."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return torch.cat(self.features(inputs, memory), dim=-1)


class OnRegisters(nn.Module):
    """Cell on registers: (amplitudes, classical inputs, memory) -> weights of outcomes and logits of answers."""

    def __init__(self, cell: RegisterCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, delivered: Tensor, classical: Tensor, memory: Tensor) -> Tensor:
        bound = self.cell.bind()
        evolved = self.cell.evolve(bound, 1, delivered, classical, memory)
        outcome = torch.zeros(delivered.shape[:-1], dtype=torch.int64)
        return torch.cat([evolved.weights, self.cell.logits(bound, 1, outcome, evolved.hidden)], dim=-1)


class ActorAndCritic(nn.Module):
    """Policy of Stable-Baselines3: observations -> logits and value."""

    def __init__(self, policy: QuantumActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observations: Tensor) -> Tensor:
        actor, critic = self.policy.extract_features(observations)
        logits = self.policy.action_net(self.policy.mlp_extractor.forward_actor(actor))
        return torch.cat([logits, self.policy.value_net(self.policy.mlp_extractor.forward_critic(critic))], dim=-1)


def cases(*, small: bool = False) -> Iterator[Case]:
    """Yield all registered models with default options or small circuits, and further modules with a circuit."""
    for name in (name for name, summary in MODELS.available().items() if summary.usable):
        plugin = MODELS.load(name)
        known = option_names(plugin.Config)
        options = {option: value for option, value in SMALL.items() if small and option in known}
        yield _case(name, plugin.build(plugin.Config(**options), FRAME, seeded()))
    yield _case("layer with a projection", make_layer(encoding="projection"))
    yield _case("layer of noncommuting observables", make_layer(observables="both"))
    yield _case("network of QuantumClassifier", ClassifierNetwork(make_layer(), 3, seeded()))
    env = gymnasium.make("CartPole-v1")
    policy = PPO(QuantumActorCriticPolicy, env, policy_kwargs=dict(SMALL), device="cpu", seed=0).policy
    # Stable-Baselines3 casts observations to single precision.
    yield Case("QuantumActorCriticPolicy", ActorAndCritic(policy).double(), (4,), step=0.01)


def make_layer(**options: Any) -> QuantumLayer:
    """Return a small layer of the default model."""
    n_inputs = 2 if options.get("encoding", "cycle") == "cycle" else N_INPUTS
    return QuantumLayer("reuploading", **SMALL, n_inputs=n_inputs, generator=seeded(), **options)


def _case(name: str, features: nn.Module) -> Case:
    if isinstance(features, RegisterCell):
        n_classical = n_classical_inputs(FRAME, features.circuit)
        return Case(name, OnRegisters(features).double(), (2 * REGISTERS.n_amplitudes, n_classical, features.n_memory))
    if isinstance(features, RecurrentFeatures):
        return Case(name, WithMemory(features).double(), (N_INPUTS, features.n_memory))
    layer = features.features if isinstance(features, ClassifierNetwork) else features
    return Case(name, features.double(), (layer.n_inputs if isinstance(layer, QuantumLayer) else N_INPUTS,))


def seeded(seed: int = 0) -> Generator:
    """Return a generator with this seed."""
    return Generator().manual_seed(seed)
