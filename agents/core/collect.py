"""Rollout collection: episodes of many tasks in parallel, or of a single Gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.core.agent import Agent, InContextAgent, OpenLoopAgent, State
from agents.core.rollout import Rollout
from envs.core.task_vector import TaskVectorEnv
from envs.core.tasks import Tasks
from qrl.common.errors import TrainingError, wrap_errors


def agent_errors(agent: object) -> wrap_errors:
    """Turn any exception of an agent, or of its model, into a TrainingError of one line that names the agent."""
    return wrap_errors(f"agent {type(agent).__name__}", TrainingError)


def env_errors(name: str) -> wrap_errors:
    """Turn any exception of an environment into a TrainingError of one line that names the environment.

    A UsageError there is about what the environment returned, or about the actions that it received.
    """
    return wrap_errors(name, TrainingError, usage_errors=True)


@torch.no_grad()
def collect(
    env: TaskVectorEnv,
    agent: Agent[State],
    state: State,
    generator: torch.Generator,
    *,
    seed: int,
    n_tasks: int,
    n_episodes: int = 1,
    options: dict[str, object] | None = None,
) -> tuple[Rollout, State]:
    """Collect a trial of `n_episodes` in every lane of a vector environment (lane = task * envs per task + env).

    Return the rollout and the state after it. Each lane starts its next episode independently of the others and stops
    after its last episode. The `seed` seeds the environment; the `options` are passed to its reset. Raises
    TrainingError for a non-finite action, reward or observation, naming the step and, for the latter two, the task; and
    for any exception of the agent or the environment.
    """
    with env_errors(env.name):
        observation, _ = env.reset(seed=seed, options={**(options or {}), "per_lane_rng": True})
    shape = (n_tasks, env.num_envs // n_tasks)
    episode = torch.zeros(env.num_envs, dtype=torch.int64, device=observation.device)
    rows: list[tuple[Tensor, ...]] = []
    memory = agent if isinstance(agent, InContextAgent) else None  # once: `isinstance` looks up every attribute
    with agent_errors(agent):
        state = agent.on_episode_start(state) if isinstance(agent, OpenLoopAgent) else state
    while bool((alive := episode < n_episodes).any()):
        observed = observation.unflatten(0, shape)
        try:
            with agent_errors(agent):
                action, state = agent.act(state, observed, generator)
                numbers = _to_environment(agent, action, shape, len(rows))
        except TrainingError:
            _require_finite("observation", observed[None], env.name, env.tasks, len(rows))  # It may be the cause.
            raise
        with env_errors(env.name):
            observation, reward, terminated, truncated, _ = env.step(numbers.flatten(0, 1))
        step = (reward * alive, alive, terminated & alive, truncated & alive, episode.clamp_max(n_episodes - 1))
        rows.append((observed, action, *(x.unflatten(0, shape) for x in step)))
        ended = (terminated | truncated) & alive
        if memory is not None:
            outcome = (reward * alive, ended, observation)
            with agent_errors(agent):
                state = memory.observe(state, action, *(x.unflatten(0, shape) for x in outcome))
        episode = episode + ended
        again = ended & (episode < n_episodes)
        if n_episodes > 1 and bool(again.any()):
            with env_errors(env.name):
                observation, _ = env.reset(options={"reset_mask": again})
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    # A finished lane keeps its state: its current observation is the one after its last step.
    columns.append(observation.unflatten(0, shape))
    rollout = Rollout(*columns)
    _check_finite(rollout, env.name, env.tasks)
    return rollout, state


def _to_environment(agent: Agent[State], action: object, shape: tuple[int, int], step: int) -> Tensor:
    """Return the actions in the environment's units. Raise TrainingError unless they are finite, for every lane."""
    name = f"agent {type(agent).__name__}"
    if not isinstance(action, Tensor):
        raise TrainingError(f"{name}: act returned {type(action).__name__} as the actions, not a tensor")
    if not bool(action.isfinite().all()):
        raise TrainingError(f"the policy's actions are not finite at step {step}: its outputs diverged")
    numbers = agent.to_environment(action)
    for method, tensor in (("act", action), ("to_environment", numbers)):
        if tensor.shape[:2] != shape:
            found = f"{list(tensor.shape)}, not [{shape[0]} tasks, {shape[1]} envs, ...]"
            raise TrainingError(f"{name}: the actions that {method} returned have shape {found}")
    return numbers


@torch.no_grad()
def collect_episodes(
    env: gymnasium.Env[Any, Any],
    agent: Agent[State],
    state: State,
    generator: torch.Generator,
    *,
    n_episodes: int,
    max_steps: int,
    seed: int | None,
) -> tuple[Rollout, State]:
    """Collect `n_episodes` episodes of one Gymnasium environment in sequence, as lanes of one task.

    Return the rollout and the state after it. An episode that reaches `max_steps` is truncated, as in training, even if
    the environment has no time limit. Raises TrainingError for a non-finite reward or observation, and for any
    exception of the agent or the environment.
    """
    name = type(env.unwrapped).__name__
    episodes: list[list[tuple[Tensor, ...]]] = []
    final: list[Tensor] = []
    memory = agent if isinstance(agent, InContextAgent) else None
    for episode in range(n_episodes):
        with env_errors(name):
            observation, _ = env.reset(seed=seed if episode == 0 else None)
        rows: list[tuple[Tensor, ...]] = []
        over = False
        state = agent.on_episode_start(state) if isinstance(agent, OpenLoopAgent) else state
        while not over:
            observed = torch.as_tensor(observation, dtype=torch.float32, device=generator.device)
            with agent_errors(agent):
                action, state = agent.act(state, observed[None, None], generator)
            with env_errors(name):
                observation, reward, terminated, truncated, _ = env.step(single_action(agent, action))
            truncated = truncated or len(rows) + 1 == max_steps
            over = terminated or truncated
            scalars = (float(reward), True, bool(terminated), bool(truncated), 0)
            rows.append((observed, action[0, 0], *(torch.tensor(x, device=generator.device) for x in scalars)))
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
    _check_finite(rollout, name)
    return rollout, state


def single_action(agent: Agent[State], action: Tensor) -> NDArray[np.generic] | int | float:
    """Return the only action of [1, 1, ...] for a single Gymnasium environment: an array, or an int if discrete."""
    numbers = agent.to_environment(action)[0, 0].cpu().numpy()
    return numbers if numbers.ndim else numbers.item()


def _check_finite(rollout: Rollout, name: str, tasks: Tasks | None = None) -> None:
    assert rollout.final is not None
    observations = torch.cat([rollout.observation, rollout.final[None]])
    for what, values in (("reward", rollout.reward), ("observation", observations)):
        _require_finite(what, values, name, tasks)


def _require_finite(what: str, values: Tensor, name: str, tasks: Tasks | None, first_step: int = 0) -> None:
    """Raise TrainingError, with step and task, unless all values [time, task, ...] are finite."""
    if not bool(values.isfinite().all()):
        step, task, *_ = (~values.isfinite()).nonzero()[0].tolist()
        row = {} if tasks is None else tasks.rows()[task]
        place = f"step {first_step + step} of task {task}"
        where = ", ".join([place, *(f"{key}={value}" for key, value in row.items())])
        raise TrainingError(f"{name}: the environment returned a non-finite {what} at {where}")
