"""pytest plugin for Stable-Baselines3's tests: "MlpPolicy" has circuits.

PPO and A2C get a `QuantumActorCriticPolicy`, DQN a `QuantumQPolicy`, SAC and TD3 (DDPG is a TD3) their own policies
with a `QuantumFeaturesExtractor`, unless a test gives SAC or TD3 another extractor. Circuits have four wires and one
layer, and rates of their own unless a test adds a perceptron by `net_arch`: tests that ask for learning choose rates
for a perceptron. Tests that build such a policy are marked by the property `ours`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from benchmarks.suites.runs import OURS
from qrl.policies.features import LEARNING_RATE_GROUPS
from qrl.sb3 import QuantumActorCriticPolicy, QuantumFeaturesExtractor, QuantumQPolicy

SMALL = {"n_wires": 4, "n_layers": 1}
"""Options of the circuits."""
OPTIONS = SMALL | {f"lr_{group}": 0.05 for group in LEARNING_RATE_GROUPS}
"""Options of our policies; rates per step."""
EXTRACTOR = {"features_extractor_class": QuantumFeaturesExtractor, "features_extractor_kwargs": SMALL}

_built: list[str] = []


def with_circuit(options: dict[str, Any]) -> dict[str, Any]:
    """Return options of a policy with those of our circuits."""
    return (SMALL if options.get("net_arch") else OPTIONS) | options


class ActorCritic(QuantumActorCriticPolicy):
    """`MlpPolicy` of PPO and A2C."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _built.append(type(self).__name__)
        super().__init__(*arguments, **with_circuit(options))


class QValues(QuantumQPolicy):
    """`MlpPolicy` of DQN."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _built.append(type(self).__name__)
        super().__init__(*arguments, **with_circuit(options))


def with_extractor(options: dict[str, Any]) -> dict[str, Any]:
    """Return options of a policy with our features extractor, unless they name another."""
    return options if "features_extractor_class" in options else EXTRACTOR | options


class SoftActorCritic(SACPolicy):
    """`MlpPolicy` of SAC."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _built.append(type(self).__name__)
        super().__init__(*arguments, **with_extractor(options))


class TwinDelayed(TD3Policy):
    """`MlpPolicy` of TD3 and DDPG."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _built.append(type(self).__name__)
        super().__init__(*arguments, **with_extractor(options))


def pytest_configure(config: pytest.Config) -> None:
    """Put the policies in the places of `MlpPolicy`."""
    ours: dict[type[BaseAlgorithm], Any] = {
        PPO: ActorCritic,
        A2C: ActorCritic,
        DQN: QValues,
        SAC: SoftActorCritic,
        TD3: TwinDelayed,
    }
    for algorithm, policy in ours.items():
        algorithm.policy_aliases = algorithm.policy_aliases | {"MlpPolicy": policy}


@pytest.fixture(autouse=True)
def _record_ours(record_property: Any) -> Iterator[None]:
    """Mark tests that build one of the policies."""
    _built.clear()
    yield
    if _built:
        record_property(OURS, len(_built))
