"""Rollouts: episodes of many tasks side by side, as tensors with axes time, task, env."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from qrl.errors import TrainingError


@dataclass(frozen=True)
class Rollout:
    """One episode of each lane; rows after its end are padding, `valid` False, reward 0.

    `action` is in the adapter's own units. `terminated` and `truncated` mark an episode's last step and stay apart.
    """

    observation: Float[Tensor, "time task env obs"]
    action: Shaped[Tensor, "time task env *act"]
    reward: Float[Tensor, "time task env"]
    valid: Bool[Tensor, "time task env"]
    terminated: Bool[Tensor, "time task env"]
    truncated: Bool[Tensor, "time task env"]

    @property
    def returns(self) -> Float[Tensor, "task env"]:
        """Undiscounted return of each episode."""
        return self.reward.sum(0)

    @property
    def n_steps(self) -> int:
        """Environment steps taken, padding not counted."""
        return int(self.valid.sum())


@runtime_checkable
class Adapter(Protocol):
    """All that collecting and evaluating need of an agent. A state is a value: passed in, returned, never kept."""

    def begin(self, n_tasks: int, n_envs: int) -> Any:
        """The state before anything was seen of the tasks."""

    def act(
        self, state: Any, observation: Float[Tensor, "task env obs"], generator: torch.Generator
    ) -> tuple[Tensor, Any]:
        """Actions [task, env, ...] in the adapter's units, and the next state."""

    def to_environment(self, action: Tensor) -> Tensor:
        """The adapter's actions in the environment's units."""

    def adapt(self, state: Any, rollout: Rollout) -> Any:
        """The state after learning from a rollout of the same tasks."""


@torch.no_grad()
def collect(
    env: gymnasium.vector.VectorEnv,
    adapter: Adapter,
    state: Any,
    generator: torch.Generator,
    *,
    seed: int,
    n_tasks: int,
    options: dict[str, Any] | None = None,
) -> tuple[Rollout, Any]:
    """One episode in every lane of a vector environment (lane = task * envs per task + env), and the next state.

    `seed` seeds the environment, `options` goes to its reset. Raises TrainingError for a non-finite reward or
    observation, naming the step and the task.
    """
    observation, _ = env.reset(seed=seed, options=options)
    shape = (n_tasks, env.num_envs // n_tasks)
    over = torch.zeros(env.num_envs, dtype=torch.bool, device=observation.device)
    rows: list[tuple[Tensor, ...]] = []
    while not bool(over.all()):
        seen = observation.unflatten(0, shape)
        action, state = adapter.act(state, seen, generator)
        if not bool(action.isfinite().all()):
            raise TrainingError(f"the policy's actions are not finite at step {len(rows)}: its outputs diverged")
        observation, reward, terminated, truncated, _ = env.step(adapter.to_environment(action).flatten(0, 1))
        alive = ~over
        step = (reward * alive, alive, terminated & alive, truncated & alive)
        rows.append((seen, action, *(x.unflatten(0, shape) for x in step)))
        over = over | terminated | truncated
    rollout = Rollout(*(torch.stack(column) for column in zip(*rows, strict=True)))
    _check_finite(rollout)
    return rollout, state


@torch.no_grad()
def collect_episodes(
    env: gymnasium.Env,
    adapter: Adapter,
    state: Any,
    generator: torch.Generator,
    *,
    n_episodes: int,
    max_steps: int,
    seed: int | None,
) -> tuple[Rollout, Any]:
    """`n_episodes` episodes of one ordinary Gymnasium environment, one after the other, as a rollout of one task.

    An episode that reaches `max_steps` is truncated, as it was in training, also if the environment has no time limit.
    """
    episodes: list[list[tuple[Tensor, ...]]] = []
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        rows: list[tuple[Tensor, ...]] = []
        over = False
        while not over:
            seen = torch.as_tensor(observation, dtype=torch.float32, device=generator.device)
            action, state = adapter.act(state, seen[None, None], generator)
            observation, reward, terminated, truncated, _ = env.step(single_action(adapter, action))
            truncated = truncated or len(rows) + 1 == max_steps
            scalars = (float(reward), True, bool(terminated), bool(truncated))
            rows.append((seen, action[0, 0], *(torch.tensor(x, device=generator.device) for x in scalars)))
            over = terminated or truncated
        episodes.append(rows)
    length = max(map(len, episodes))
    columns = []
    for column in range(6):
        stacked = [torch.stack([row[column] for row in rows]) for rows in episodes]
        padded = [torch.cat([x, x.new_zeros(length - len(x), *x.shape[1:])]) for x in stacked]
        columns.append(torch.stack(padded, dim=1).unsqueeze(1))
    rollout = Rollout(*columns)
    _check_finite(rollout)
    return rollout, state


def single_action(adapter: Adapter, action: Tensor) -> Any:
    """The only action of [1, 1, ...] as one Gymnasium environment takes it: an array, or an int if discrete."""
    numbers = adapter.to_environment(action)[0, 0].cpu().numpy()
    return numbers if numbers.ndim else numbers.item()


def _check_finite(rollout: Rollout) -> None:
    for name, values in (("reward", rollout.reward), ("observation", rollout.observation)):
        if not bool(values.isfinite().all()):
            step, task, *_ = (~values.isfinite()).nonzero()[0].tolist()
            raise TrainingError(f"the environment gave a non-finite {name} at step {step} of task {task}")
