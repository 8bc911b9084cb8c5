"""Rollouts: episodes of many tasks side by side, as tensors with axes time, task, env."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from envs.core.task_vector import TaskVectorEnv
from qrl.common.errors import TrainingError


@dataclass(frozen=True)
class Rollout:
    """One episode of each lane, or a trial of several; rows after its end are padding, `valid` False, reward 0.

    `action` is in the adapter's own units. `terminated` and `truncated` mark an episode's last step and stay apart.
    `episode` numbers a lane's episodes from 0; the next one begins in the row after the last step of the one before.
    `final` is what was observed after the last step of a lane; collecting always gives it.
    """

    observation: Float[Tensor, "time task env obs"]
    action: Shaped[Tensor, "time task env *act"]
    reward: Float[Tensor, "time task env"]
    valid: Bool[Tensor, "time task env"]
    terminated: Bool[Tensor, "time task env"]
    truncated: Bool[Tensor, "time task env"]
    episode: Int[Tensor, "time task env"]
    final: Float[Tensor, "task env obs"] | None = None

    @property
    def returns(self) -> Float[Tensor, "task env"]:
        """Undiscounted return of each lane: of its episode, or the sum over its trial."""
        return self.reward.sum(0)

    def returns_by_episode(self, n_episodes: int) -> Float[Tensor, "episode task env"]:
        """Undiscounted return of each of the episodes of a trial."""
        return self._by_episode(self.reward, n_episodes)

    def n_steps_by_episode(self, n_episodes: int) -> Float[Tensor, "episode task env"]:
        """Environment steps taken in each of the episodes of a trial."""
        return self._by_episode(self.valid.to(self.reward.dtype), n_episodes)

    def _by_episode(self, values: Tensor, n_episodes: int) -> Tensor:
        zeros = values.new_zeros(n_episodes, *values.shape[1:])
        return zeros.scatter_add(0, self.episode, values)

    @property
    def n_steps(self) -> int:
        """Environment steps taken, padding not counted."""
        return int(self.valid.sum())


@runtime_checkable
class Agent(Protocol):
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


@runtime_checkable
class InContextAgent(Agent, Protocol):
    """An adapter that learns while it acts, in a state that lasts over the episodes of a trial."""

    trial_episodes: int
    """Episodes of a trial."""

    def observe(
        self,
        state: Any,
        action: Tensor,
        reward: Float[Tensor, "task env"],
        ended: Bool[Tensor, "task env"],
        observation: Float[Tensor, "task env obs"],
    ) -> Any:
        """The state after what came of the action, the observation included.

        `ended`: that was the last step of an episode, and what `act` sees next is the first observation of another one.
        Also called after the last step of a trial; rows of padding have a reward of 0.
        """


@runtime_checkable
class OracleAgent(Protocol):
    """An adapter that is shown the tasks: a reference for what is to be had, not an agent."""

    def reveal_tasks(self, state: Any, tasks: Any) -> Any:
        """The state of one who knows the tasks, `envs.Tasks` [task]."""


@runtime_checkable
class OpenLoopAgent(Protocol):
    """An adapter that acts by the step of the episode, so that it has to be told where one begins."""

    def on_episode_start(self, state: Any) -> Any:
        """The state at the start of an episode of every lane."""


@torch.no_grad()
def collect(
    env: gymnasium.vector.VectorEnv,
    adapter: Agent,
    state: Any,
    generator: torch.Generator,
    *,
    seed: int,
    n_tasks: int,
    n_episodes: int = 1,
    options: dict[str, Any] | None = None,
) -> tuple[Rollout, Any]:
    """A trial of `n_episodes` in every lane of a vector environment (lane = task * envs per task + env), and the state.

    A lane goes on to its next episode by itself and is done when its last one is. `seed` seeds the environment,
    `options` goes to its reset. Raises TrainingError for a non-finite reward or observation, naming the step and the
    task.
    """
    observation, _ = env.reset(seed=seed, options={**(options or {}), "per_lane_rng": True})
    shape = (n_tasks, env.num_envs // n_tasks)
    episode = torch.zeros(env.num_envs, dtype=torch.int64, device=observation.device)
    rows: list[tuple[Tensor, ...]] = []
    memory = adapter if isinstance(adapter, InContextAgent) else None  # asked once: it looks up every attribute
    state = adapter.on_episode_start(state) if isinstance(adapter, OpenLoopAgent) else state
    while bool((alive := episode < n_episodes).any()):
        seen = observation.unflatten(0, shape)
        action, state = adapter.act(state, seen, generator)
        if not bool(action.isfinite().all()):
            raise TrainingError(f"the policy's actions are not finite at step {len(rows)}: its outputs diverged")
        observation, reward, terminated, truncated, _ = env.step(adapter.to_environment(action).flatten(0, 1))
        step = (reward * alive, alive, terminated & alive, truncated & alive, episode.clamp_max(n_episodes - 1))
        rows.append((seen, action, *(x.unflatten(0, shape) for x in step)))
        ended = (terminated | truncated) & alive
        if memory is not None:
            outcome = (reward * alive, ended, observation)
            state = memory.observe(state, action, *(x.unflatten(0, shape) for x in outcome))
        episode = episode + ended
        again = ended & (episode < n_episodes)
        if n_episodes > 1 and bool(again.any()):
            observation, _ = env.reset(options={"reset_mask": again})
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    # A lane that is done holds still: what it shows now is what followed its last step.
    columns.append(observation.unflatten(0, shape))
    rollout = Rollout(*columns)
    _check_finite(rollout, env)
    return rollout, state


@torch.no_grad()
def collect_episodes(
    env: gymnasium.Env,
    adapter: Agent,
    state: Any,
    generator: torch.Generator,
    *,
    n_episodes: int,
    max_steps: int,
    seed: int | None,
) -> tuple[Rollout, Any]:
    """`n_episodes` episodes of one ordinary Gymnasium environment, one after the other, as lanes of one task.

    An episode that reaches `max_steps` is truncated, as it was in training, also if the environment has no time limit.
    """
    episodes: list[list[tuple[Tensor, ...]]] = []
    final: list[Tensor] = []
    memory = adapter if isinstance(adapter, InContextAgent) else None
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        rows: list[tuple[Tensor, ...]] = []
        over = False
        state = adapter.on_episode_start(state) if isinstance(adapter, OpenLoopAgent) else state
        while not over:
            seen = torch.as_tensor(observation, dtype=torch.float32, device=generator.device)
            action, state = adapter.act(state, seen[None, None], generator)
            observation, reward, terminated, truncated, _ = env.step(single_action(adapter, action))
            truncated = truncated or len(rows) + 1 == max_steps
            over = terminated or truncated
            scalars = (float(reward), True, bool(terminated), bool(truncated), 0)
            rows.append((seen, action[0, 0], *(torch.tensor(x, device=generator.device) for x in scalars)))
            after = torch.as_tensor(observation, dtype=torch.float32, device=generator.device)
            if memory is not None:
                earned, ended = (torch.tensor([[x]], device=generator.device) for x in (float(reward), over))
                state = memory.observe(state, action, earned, ended, after[None, None])
        episodes.append(rows)
        final.append(after)
    length = max(map(len, episodes))
    columns = []
    for column in range(len(episodes[0][0])):
        stacked = [torch.stack([row[column] for row in rows]) for rows in episodes]
        padded = [torch.cat([x, x.new_zeros(length - len(x), *x.shape[1:])]) for x in stacked]
        columns.append(torch.stack(padded, dim=1).unsqueeze(1))
    columns.append(torch.stack(final).unsqueeze(0))
    rollout = Rollout(*columns)
    _check_finite(rollout, env)
    return rollout, state


def single_action(adapter: Agent, action: Tensor) -> Any:
    """The only action of [1, 1, ...] as one Gymnasium environment takes it: an array, or an int if discrete."""
    numbers = adapter.to_environment(action)[0, 0].cpu().numpy()
    return numbers if numbers.ndim else numbers.item()


def _check_finite(rollout: Rollout, env: Any) -> None:
    for name, values in (("reward", rollout.reward), ("observation", rollout.observation)):
        if not bool(values.isfinite().all()):
            step, task, *_ = (~values.isfinite()).nonzero()[0].tolist()
            row = env.tasks.rows()[task] if isinstance(env, TaskVectorEnv) else {}
            which = f", {', '.join(f'{key}={value}' for key, value in row.items())}" if row else ""
            raise TrainingError(f"the environment gave a non-finite {name} at step {step} of task {task}{which}")
