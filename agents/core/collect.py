"""Rollout collection: episodes of many tasks in parallel, or of a single Gymnasium environment."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.core.agent import Agent, InContextAgent, OpenLoopAgent, State
from agents.core.context import find_execution
from agents.core.rollout import Rollout
from envs.core.task_vector import TaskVectorEnv
from envs.core.tasks import Tasks
from qrl.common.errors import TrainingError, wrap_errors

AHEAD = 16
"""Most steps between two looks at the flags of a trial on an accelerator [steps]."""


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
    run_ahead: bool | None = None,
) -> tuple[Rollout, State]:
    """Collect a trial of `n_episodes` in every lane of a vector environment (lane = task * envs per task + env).

    Return the rollout and the state after it. Each lane starts its next episode independently of the others and stops
    after its last episode. The `seed` seeds the environment; the `options` are passed to its reset. Raises
    TrainingError for a non-finite action, reward or observation, naming the step and, for the latter two, the task; and
    for any exception of the agent or the environment.

    On an accelerator, or with `run_ahead`, the flags of the steps are looked at once in several steps; what is
    collected does not depend on it.
    """
    with env_errors(env.name):
        observation, _ = env.reset(seed=seed, options={**(options or {}), "per_lane_rng": True})
    trial = _Trial(env, agent, state, generator, observation, n_tasks, n_episodes)
    if env.device.type != "cpu" if run_ahead is None else run_ahead:
        trial.run_ahead()
    else:
        while trial.is_running():
            trial.step()
    return trial.rollout(), trial.state


@dataclass(frozen=True)
class _Snapshot(Generic[State]):
    """Everything that steps change except the environment, which `collect` resets before its next use."""

    state: State
    observation: Tensor
    generators: list[Tensor]
    circuits: int


class _Trial(Generic[State]):
    """Trial in progress: the rows so far, and what the next step starts from."""

    def __init__(
        self,
        env: TaskVectorEnv,
        agent: Agent[State],
        state: State,
        generator: torch.Generator,
        observation: Tensor,
        n_tasks: int,
        n_episodes: int,
    ) -> None:
        self.env, self.agent, self.generator, self.observation = env, agent, generator, observation
        self.n_episodes, self.shape = n_episodes, (n_tasks, env.num_envs // n_tasks)
        self.episode = torch.zeros(env.num_envs, dtype=torch.int64, device=observation.device)
        self.alive = self.episode < n_episodes
        self.rows: list[tuple[Tensor, ...]] = []
        # Once: `isinstance` looks up every attribute.
        self.memory: InContextAgent[State] | None = agent if isinstance(agent, InContextAgent) else None
        self.execution = find_execution(agent)
        with agent_errors(agent):
            self.state = agent.on_episode_start(state) if isinstance(agent, OpenLoopAgent) else state

    def is_running(self) -> bool:
        """Return whether a lane has episodes left."""
        return bool(self.alive.any())

    def step(self) -> None:
        """Take one step in all lanes; check the actions before the environment receives them."""
        again = self._advance(_require_finite_actions)
        if self.n_episodes > 1 and bool(again.any()):
            self._restart(again)

    def run_ahead(self) -> None:
        """Run the trial to its end on an accelerator, where to read a flag is to wait for the device.

        Take up to `AHEAD` steps between two looks at the flags. Steps after the end of the trial are taken back: the
        rollout, the state, all generators and the count of circuits are those of `step`. With several episodes, a look
        follows each step, as the next one depends on which lanes start another episode.
        """
        running = True
        while running:
            left = max(1, self.env.horizon - len(self.rows))  # the horizon ends every episode
            running = self._run_block(min(AHEAD, left) if self.n_episodes == 1 else 1)

    def _run_block(self, n_steps: int) -> bool:
        """Take up to `n_steps` steps, then look at their flags; return whether the trial is running after them."""
        first, before = len(self.rows), [self._snapshot()]
        finite: list[Tensor] = []
        running: list[Tensor] = []
        again, failure = torch.zeros_like(self.alive), None
        try:
            for _ in range(n_steps):
                again = self._advance(lambda action, _: finite.append(action.isfinite().all()))
                running.append(self.alive.any())
                before.append(self._snapshot())
        except TrainingError as error:  # an earlier step may be its cause, or the trial may have ended before
            failure = error
        flags: list[bool] = torch.stack([again.any(), *running, *finite]).tolist()
        after, were_finite = flags[1 : 1 + len(running)], flags[1 + len(running) :]
        n_taken = after.index(False) + 1 if False in after else len(before)
        for step, is_finite in enumerate(were_finite[:n_taken]):
            if not is_finite:
                self._blame_observation(before[step], first + step)
                _raise_not_finite(first + step)
        if False in after:
            self._return_to(before[n_taken], first + n_taken)
            return False
        if failure is not None:
            raise failure
        if flags[0]:
            self._restart(again)
        return True

    def _advance(self, check: Callable[[Tensor, int], object]) -> Tensor:
        """Take one step in all lanes; return the lanes whose next episode is to be started.

        `check` is called with the agent's actions and the number of the step.
        """
        alive, observed, n_episodes = self.alive, self.observation.unflatten(0, self.shape), self.n_episodes
        try:
            with agent_errors(self.agent):
                action, self.state = self.agent.act(self.state, observed, self.generator)
                numbers = _to_environment(self.agent, action, self.shape, partial(check, action, len(self.rows)))
        except TrainingError:
            _require_finite("observation", observed[None], self.env.name, self.env.tasks, len(self.rows))
            raise  # the observation was not its cause
        with env_errors(self.env.name):
            self.observation, reward, terminated, truncated, _ = self.env.step(numbers.flatten(0, 1))
        episode = self.episode.clamp_max(n_episodes - 1)
        step = (reward * alive, alive, terminated & alive, truncated & alive, episode)
        self.rows.append((observed, action, *(x.unflatten(0, self.shape) for x in step)))
        ended = (terminated | truncated) & alive
        if self.memory is not None:
            outcome = (reward * alive, ended, self.observation)
            with agent_errors(self.agent):
                self.state = self.memory.observe(self.state, action, *(x.unflatten(0, self.shape) for x in outcome))
        self.episode = self.episode + ended
        self.alive = self.episode < n_episodes
        return ended & self.alive

    def _restart(self, lanes: Tensor) -> None:
        """Start the next episode of these lanes."""
        with env_errors(self.env.name):
            self.observation, _ = self.env.reset(options={"reset_mask": lanes})

    def rollout(self) -> Rollout:
        """Return the rows as a rollout, whose rewards and observations are finite."""
        columns = [torch.stack(column) for column in zip(*self.rows, strict=True)]
        # A finished lane keeps its state: its current observation is the one after its last step.
        columns.append(self.observation.unflatten(0, self.shape))
        rollout = Rollout(*columns)
        _check_finite(rollout, self.env.name, self.env.tasks)
        return rollout

    def _generators(self) -> list[torch.Generator]:
        shots = [self.execution.generator] if self.execution is not None and self.execution.shots else []
        return [self.generator, *shots]

    def _snapshot(self) -> _Snapshot[State]:
        circuits = 0 if self.execution is None else self.execution.counter.circuits
        return _Snapshot(self.state, self.observation, [each.get_state() for each in self._generators()], circuits)

    def _return_to(self, earlier: _Snapshot[State], n_rows: int) -> None:
        """Take back all steps after the first `n_rows`, which are padding."""
        del self.rows[n_rows:]
        self.state, self.observation = earlier.state, earlier.observation
        for generator, state in zip(self._generators(), earlier.generators, strict=True):
            generator.set_state(state)
        if self.execution is not None:
            self.execution.counter.circuits = earlier.circuits

    def _blame_observation(self, before: _Snapshot[State], step: int) -> None:
        """Raise TrainingError if an observation before this step is not finite, which may be the cause of an error."""
        observed = before.observation.unflatten(0, self.shape)[None]
        _require_finite("observation", observed, self.env.name, self.env.tasks, step)


def _require_finite_actions(action: Tensor, step: int) -> None:
    if not bool(action.isfinite().all()):
        _raise_not_finite(step)


def _raise_not_finite(step: int) -> NoReturn:
    raise TrainingError(f"the policy's actions are not finite at step {step}: its outputs diverged")


def _to_environment(agent: Agent[State], action: object, shape: tuple[int, int], check: Callable[[], object]) -> Tensor:
    """Return the actions in the environment's units, for every lane; `check` is called once they are a tensor.

    Raises TrainingError for anything else.
    """
    name = f"agent {type(agent).__name__}"
    if not isinstance(action, Tensor):
        raise TrainingError(f"{name}: act returned {type(action).__name__} as the actions, not a tensor")
    check()
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
