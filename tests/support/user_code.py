"""User code: a custom environment, model and agent, and runs with them, by name and as objects. Only public names.

Checked by mypy --strict as part of `make check`, and against an installed wheel.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import torch
from torch import Tensor, nn

import agents
import envs
import qrl
from agents import Agent, BuildContext, Rollout, Run, returns_to_go
from envs import Tasks, TorchTasks, Uniform
from qrl import Frame, QuantumLayer, UsageError


@dataclass(frozen=True)
class DriftOptions:
    """Options of the environment."""

    horizon: int = 5
    """Longest episode [steps]."""


class Drift(TorchTasks):
    """Stay at the origin of a line against an unknown drift. State: the position [m]."""

    def __init__(self, config: DriftOptions) -> None:
        super().__init__(
            name="drift",
            horizon=config.horizon,
            observation_space=gymnasium.spaces.Box(-100.0, 100.0, (1,)),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (1,)),
            observation_scale=[1.0],
            parameters={"drift": Uniform(-0.5, 0.5)},
            nominal={"drift": 0.0},
        )

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Tensor:
        """Start at the origin."""
        return torch.zeros(len(tasks), 1, dtype=torch.float64)

    def observe(self, state: Tensor, tasks: Tasks) -> Tensor:
        """Observe the position."""
        return state.clamp(-100, 100)

    def transition(self, state: Tensor, action: Tensor, tasks: Tasks) -> tuple[Tensor, Tensor, Tensor]:
        """Move by the action and the drift."""
        state = state + action.clamp(-1, 1) + tasks.drift[:, None]
        return state, -state.abs()[:, 0], torch.zeros(len(state), dtype=torch.bool)


@dataclass(frozen=True)
class WideOptions:
    """Options of the model."""

    n_features: int = 3
    """Width [units]."""


class Wide(nn.Module):
    """[batch, n_inputs] -> [batch, n_features]."""

    def __init__(self, n_inputs: int, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.weight = nn.Parameter(torch.ones(n_inputs, n_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Mix the inputs."""
        return torch.tanh(inputs @ self.weight)


def build_model(config: WideOptions, frame: Frame, generator: torch.Generator) -> Wide:
    """Build the features of a policy."""
    return Wide(frame.n_inputs, config.n_features)


@dataclass(frozen=True)
class AgainstOptions:
    """Options of the agent."""

    gain: float = 1.0
    """Share of the last drift that is taken back."""

    def __post_init__(self) -> None:
        if self.gain < 0:
            raise UsageError(f"agent against: gain must be at least 0, not {self.gain}")


class Against:
    """Move back to the origin. Its state is the sum of rewards of the last rollout of each task."""

    def __init__(self, config: AgainstOptions, context: BuildContext) -> None:
        self.config, self.horizon = config, context.horizon

    def begin(self, n_tasks: int, n_envs: int) -> Tensor:
        """Start from a zero sum."""
        return torch.zeros(n_tasks, n_envs)

    def act(self, state: Tensor, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Move back by the observed position."""
        return -self.config.gain * observation, state

    def to_environment(self, action: Tensor) -> Tensor:
        """Actions are in the environment's units."""
        return action

    def adapt(self, state: Tensor, rollout: Rollout) -> Tensor:
        """Store the sum of rewards."""
        return returns_to_go(rollout.reward)[0]


def build_agent(config: AgainstOptions, context: BuildContext) -> Agent[Tensor]:
    """Build the agent."""
    return Against(config, context)


def run_all(out: Path) -> Run:
    """Register all three, and train and evaluate."""
    envs.register("drift", SimpleNamespace(Config=DriftOptions, build=Drift))
    qrl.register_model("wide", SimpleNamespace(Config=WideOptions, build=build_model))
    agents.register("against", SimpleNamespace(Config=AgainstOptions, build=build_agent))
    agents.train(out / "mine", env="drift", agent="against", eval_tasks=2, eval_episodes=2, progress=False)
    return agents.train(
        out / "policy", env="drift", model="wide", iterations=1, eval_tasks=2, eval_episodes=2, progress=False
    )


def train_objects(out: Path) -> Run:
    """Train with objects in place of names, load the run and continue training."""
    env, model = Drift(DriftOptions()), Wide(1, 3)
    small = {"meta_batch": 2, "episodes": 3}
    agents.train(
        out, env=env, model=model, agent_config=small, iterations=1, eval_tasks=2, eval_episodes=2, progress=False
    )
    assert agents.load(out, env=env, model=model).iteration == 1
    return agents.resume(out, iterations=2, progress=False, env=env, model=model)


def layer() -> nn.Module:
    """A quantum layer in a torch network."""
    return nn.Sequential(nn.Linear(3, 2), QuantumLayer("reuploading", n_wires=2, n_layers=1))
