"""`envs.check` detects each defect and names the check that failed."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from envs import SignedUniform, Tasks, TorchTasks, TorchVectorEnv, Uniform
from envs.core.check import CHECKS, check_before_training
from envs.quantum_memory import Config, QuantumMemory
from qrl.common.errors import UsageError


class Sound(TorchTasks):
    """A drifting point without defects."""

    def __init__(self) -> None:
        super().__init__(
            name="sound",
            horizon=6,
            observation_space=gym.spaces.Box(-20.0, 20.0, (1,)),
            action_space=gym.spaces.Discrete(2),
            observation_scale=[1.0],
            parameters={"drift": Uniform(-0.5, 0.5)},
            ood={"drift": SignedUniform(0.5, 1)},
            nominal={"drift": 0.0},
        )

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Tensor:
        return torch.rand(len(tasks), 1, dtype=torch.float64, generator=generator)

    def observe(self, state: Tensor, tasks: Tasks) -> Tensor:
        return state

    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        state = state + (action - 0.5 + tasks.drift)[:, None]
        return state, -state[:, 0].abs(), state[:, 0] > 1.5


class SameTrainTasks(Sound):
    def sample(self, n: int, split: Any = "train", rng: Any = None) -> Tasks:
        return super().sample(n, split, np.random.default_rng(0))


class DrawnTestTasks(Sound):
    def sample(self, n: int, split: Any = "train", rng: Any = None) -> Tasks:
        return super().sample(n, "train" if split == "test" else split, rng or np.random.default_rng())


class ValidationAsTest(Sound):
    def sample(self, n: int, split: Any = "train", rng: Any = None) -> Tasks:
        return super().sample(n, "test" if split == "validation" else split, rng)


class OodAsTrain(Sound):
    def sample(self, n: int, split: Any = "train", rng: Any = None) -> Tasks:
        return super().sample(n, "test" if split == "ood" else split, rng)


class Unseeded(Sound):
    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Tensor:
        return torch.rand(len(tasks), 1, dtype=torch.float64)


class Inert(Sound):
    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        return super().transition(state, action, Tasks({"drift": tasks.drift * 0}))


class Outside(Sound):
    def observe(self, state: Tensor, tasks: Tasks) -> Tensor:
        return state + 30 * (state > 1)


class NoNumber(Sound):
    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        state, reward, ended = super().transition(state, action, tasks)
        return state, torch.where(ended, torch.nan, reward), ended


class Broadcast(Sound):
    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        state, reward, ended = super().transition(state, action, tasks)
        return state, reward[:, None], ended


class Numbers(Sound):
    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        state, reward, ended = super().transition(state, action, tasks)
        return state, reward, ended.double()


class Mixing(Sound):
    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        return super().transition(state + 0.01 * state.mean(), action, tasks)


class GoesOn(TorchVectorEnv):
    def step(self, action: Any) -> Any:
        observation, reward, *others = super().step(action)
        return observation, reward - 1, *others


class PaysTheFinished(Sound):
    def vectorise(self, n_tasks: int, envs_per_task: int, device: Any = "cpu") -> TorchVectorEnv:
        return GoesOn(self, n_tasks, envs_per_task, device)


class OtherSpaces(Sound):
    def make(self, task: Any = None, render_mode: str | None = None) -> Any:
        return gym.make("CartPole-v1")


class Unnormalised(QuantumMemory):
    def observe(self, state: Tensor, tasks: Tasks) -> Tensor:
        return super().observe(state, tasks) * torch.tensor([0.5] * 4 + [1.0] * 2)


FAULTS: dict[Callable[[], TorchTasks], str] = {
    SameTrainTasks: "train tasks follow their generator: different generators draw the same train tasks",
    DrawnTestTasks: "held out tasks are fixed: test tasks depend on a generator",
    ValidationAsTest: "validation tasks are no test tasks: a validation task is a test task",
    OodAsTrain: "ood tasks lie outside train: in every parameter some ood tasks lie inside",
    Unseeded: "reproducible: the same seed, tasks and actions give different episodes",
    Inert: "parameters matter: 8 episodes of random actions do not show that parameter 'drift' matters",
    Outside: "observations and rewards are valid: observation 0 in a train task lies outside",
    NoNumber: "observations and rewards are valid: a reward in a train task is not finite",
    PaysTheFinished: "episodes end: a finished lane continues",
    Broadcast: "transition must return a reward of shape (8,), not (8, 1)",
    Numbers: "transition must return bools of shape (8,) for terminated, not torch.float64",
    Mixing: "lanes match single lanes: lane 0 of six differs from a single lane",
    lambda: Unnormalised(Config()): "an observation in a train task is no element of Registers(1, 2, entangled=False)",
    OtherSpaces: "single environments fit: the spaces of make's environments differ from",
}


def test_sound_family_passes() -> None:
    assert envs.check(Sound()) == list(CHECKS)


def test_single_task_need_not_vary() -> None:
    assert envs.check(envs.make("quantum_memory")) == list(CHECKS)
    assert envs.make("quantum_memory").n_distinct() == 1


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda cls: cls.__name__)
def test_faults_are_detected(faulty: Callable[[], TorchTasks]) -> None:
    with pytest.raises(UsageError) as caught:
        envs.check(faulty())
    assert FAULTS[faulty] in str(caught.value) and "\n" not in str(caught.value)


def test_every_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {message.partition(":")[0] for message in FAULTS.values() if ":" in message}
    assert set(CHECKS) - found == {"tasks round trip json"}
    monkeypatch.setattr(Tasks, "to_json", lambda self: "[]")
    with pytest.raises(UsageError, match="tasks round trip json: Tasks"):
        envs.check(Sound())


@pytest.mark.parametrize("faulty", [Unseeded, Inert])
def test_checks_before_training(faulty: Callable[[], Sound]) -> None:
    check_before_training(Sound())
    with pytest.raises(UsageError):
        check_before_training(faulty())


def test_names_are_not_distributions(unchecked: None) -> None:
    with pytest.raises(UsageError, match=r"expected a task distribution, such as .*, not 'cartpole'"):
        envs.check("cartpole")  # type: ignore[arg-type]
