"""What an agent is built from: the spaces of its tasks and the policy network of the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from agents._config import Spec, load_plugin
from qrl.errors import UsageError
from qrl.policy import Policy, make_policy


@dataclass(frozen=True)
class Setting:
    """Handed to an agent's `build(config, setting)`."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    horizon: int
    """Longest episode [steps]."""
    device: torch.device
    make_policy: Callable[[], Policy]
    """Builds the run's policy network, on the device. An agent without one does not call it."""


def seed_sequences(seed: int) -> dict[str, np.random.SeedSequence]:
    """One independent stream of random numbers a purpose, all from the run's seed."""
    purposes = ("parameters", "tasks", "environment", "actions")
    return dict(zip(purposes, np.random.SeedSequence(seed).spawn(len(purposes)), strict=True))


def torch_generator(sequence: np.random.SeedSequence, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded from a stream."""
    return torch.Generator(device).manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def build(spec: Spec) -> tuple[Any, Any]:
    """The task distribution and the agent of a spec.

    Raises UsageError for a device that is not there and for parts that do not fit each other.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use cpu")
    if spec.threads:
        torch.set_num_threads(spec.threads)
    device = torch.device(spec.device)
    distribution = load_plugin("env", spec.env).build(spec.env_config)

    def policy() -> Policy:
        return make_policy(
            spec.model,
            spec.model_config,
            distribution.observation_space,
            distribution.action_space,
            observation_scale=distribution.observation_scale,
            config=spec.policy,
            generator=torch_generator(seed_sequences(spec.seed)["parameters"]),
        ).to(device)

    setting = Setting(distribution.observation_space, distribution.action_space, distribution.horizon, device, policy)
    return distribution, load_plugin("agent", spec.agent).build(spec.agent_config, setting)
