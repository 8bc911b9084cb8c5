"""Returns of an agent on the tasks of a split, from which an adaptation curve is computed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from agents.core.agent import Agent, InContextAgent, MemoryBoundAgent, State
from agents.core.context import seed_shots, torch_generator
from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Shard
from agents.experiment.certificate import count_successes
from agents.experiment.memory import check_rollouts
from agents.experiment.rollouts import collect_and_adapt
from envs import TaskDistribution
from envs.core.quantum_data import QuantumDataFamily
from envs.core.task_vector import TaskVectorEnv
from qrl.common.errors import UsageError
from qrl.common.memory import check_fits

RETURN_BYTES = 100
"""Memory of a mean return in a curve: an array's entry, a Python number, and its text in evaluation.json [bytes]."""
MAX_LANES = 2_000
"""Maximum number of environments stepped in parallel; tasks beyond it are evaluated in turn to bound the memory."""

Vectorise = Callable[[int, int, str], TaskVectorEnv]
"""Function that makes an environment for a number of tasks, of episodes per task, and a torch device."""
FRESH = 0xF2E5_2026
"""Key of the random streams of fresh episodes; no other stream has it."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Evaluation protocol: tasks, adaptation and seed."""

    n_tasks: int = 100
    steps: int = 3
    """Updates [gradient steps]."""
    episodes: int = 40
    """Episodes per task and update [episodes]; for an in-context agent, trials per task [trials]."""
    split: str = "test"
    seed: int = 0
    device: str = "cpu"
    stream: int | None = None
    """Key of random streams of their own, which no other stream has; without it, evaluations have them in common."""
    training_seed: int | None = None
    """Seed of training, if the episodes must be fresh: their random streams then differ from those of training with any
    seed, from those of validations, and between training seeds. Without it, they depend on `seed` only, which agents
    have in common."""

    @property
    def streams(self) -> list[np.random.SeedSequence]:
        """Random streams of train tasks, environments, actions and shots."""
        own = () if self.stream is None else (self.stream,)
        fresh = () if self.training_seed is None else (FRESH, self.training_seed)
        return np.random.SeedSequence(self.seed, spawn_key=(*own, *fresh)).spawn(4)


def check_evaluation(
    agent: object, distribution: TaskDistribution, n_tasks: int, steps: int, episodes: int, device: str
) -> None:
    """Raise UsageError if an evaluation would exceed the memory of its torch device, or its returns this machine's."""
    trial = agent.trial_episodes if isinstance(agent, InContextAgent) else None
    together = min(n_tasks, max(1, MAX_LANES // episodes))
    check_rollouts("evaluate", agent, distribution, together, episodes, 1 if trial else steps + 1, device)
    n_x = trial or steps + 1
    check_fits("evaluate", f"the returns of {n_tasks:,} tasks at {n_x:,} points", RETURN_BYTES * n_tasks * n_x)
    if isinstance(agent, MemoryBoundAgent):
        agent.check_memory(episodes)


@dataclass(frozen=True)
class EvaluationReturns:
    """Returns and numbers of steps from which a curve is computed."""

    per_task: np.ndarray
    """Mean return over episodes, or over trials [task, x]."""
    steps: np.ndarray
    """Environment steps per task at each x, averaged over tasks [steps]; for a trial, steps of one lane."""
    axis: str
    """Unit of x: gradient_steps; for an in-context agent, episodes of a trial, or evaluations in its one episode."""
    n_successes: tuple[int, ...] = ()
    """Number of successful episodes at each x, on quantum data."""

    @property
    def scores(self) -> np.ndarray:
        """Score of each task [task], whose mean is that of the curve: the return after all updates, or over all x."""
        return self.per_task[:, -1] if self.axis == "gradient_steps" else self.per_task.mean(1)


def evaluate_returns(
    agent: Agent[State],
    distribution: TaskDistribution,
    plan: EvaluationPlan,
    vectorise: Vectorise | None = None,
    shard: Shard = WHOLE,
) -> EvaluationReturns:
    """Evaluate the returns of `adaptation_curve`, without intervals. Raises UsageError as `adaptation_curve` does.

    Each of several shards evaluates a part of the tasks, with random streams of its own, and returns the whole.
    """
    steps, episodes, split, device = plan.steps, plan.episodes, plan.split, plan.device
    count = distribution.n_distinct(split) if split != "train" else None
    n_tasks = min(plan.n_tasks, count) if count and count > 1 else plan.n_tasks
    if n_tasks < 2:
        raise UsageError(f"evaluate: an interval over tasks needs at least 2 tasks, not {n_tasks}")
    if steps < 1 or episodes < 1:
        raise UsageError(f"evaluate: steps and episodes must be at least 1, not {steps} and {episodes}")
    check_evaluation(agent, distribution, n_tasks, steps, episodes, device)
    drawing, *streams = plan.streams
    if shard.count > 1:
        streams = [stream.spawn(shard.count)[shard.index] for stream in streams]
    seed_shots(agent, streams[2])
    tasks = distribution.sample(n_tasks, split, np.random.default_rng(drawing))
    rng, generator = np.random.default_rng(streams[0]), torch_generator(streams[1], device)
    sizes = [len(part) for part in np.array_split(np.arange(n_tasks), shard.count)]
    begin = sum(sizes[: shard.index])
    end = begin + sizes[shard.index]
    together = max(1, MAX_LANES // episodes)
    trial = agent.trial_episodes if isinstance(agent, InContextAgent) else None
    by_evaluation = trial == 1 and distribution.steps_are_evaluations
    returns: list[np.ndarray] = []
    successes: list[Tensor] = []
    taken = np.zeros(distribution.horizon if by_evaluation else trial or steps + 1)
    for first in range(begin, end, together):
        part = tasks[first : min(first + together, end)]
        env = (vectorise or distribution.vectorise)(len(part), episodes, device)
        rollouts, _ = collect_and_adapt(env, agent, part, 1 if trial else steps + 1, rng, generator)
        by_x, lengths = _by_evaluation(rollouts[0], distribution.horizon) if by_evaluation else _by_x(rollouts, trial)
        returns.append(by_x.mean(-1).mT.double().cpu().numpy())
        if isinstance(distribution, QuantumDataFamily):
            successes.append(count_successes(distribution.name, by_x))
        taken += lengths.double().sum((1, 2)).cpu().numpy() / (episodes if trial else 1)
    axis = "evaluations" if by_evaluation else "episodes" if trial else "gradient_steps"
    per_task = np.concatenate(returns) if returns else np.zeros((0, len(taken)))
    n_successes = torch.stack(successes).sum(0) if successes else torch.zeros(len(taken), dtype=torch.int64)
    (taken_by_all, n_successes) = shard.sum([torch.as_tensor(taken), n_successes])
    counts = tuple(map(int, n_successes)) if isinstance(distribution, QuantumDataFamily) else ()
    return EvaluationReturns(_of_all(per_task, sizes, shard), taken_by_all.numpy() / n_tasks, axis, counts)


def _of_all(per_task: np.ndarray, sizes: list[int], shard: Shard) -> np.ndarray:
    """Return the returns [task, x] of all shards, which have so many tasks each."""
    padded = np.zeros((max(sizes), per_task.shape[1]))
    padded[: len(per_task)] = per_task
    parts = shard.gather(torch.as_tensor(padded))
    return np.concatenate([part.numpy()[:size] for part, size in zip(parts, sizes, strict=True)])


def _by_evaluation(rollout: Rollout, horizon: int) -> tuple[Tensor, Tensor]:
    """Return of an episode up to each step, and whether that step was taken [horizon, task, env]."""
    after_the_last = (0, 0, 0, 0, 0, horizon - len(rollout.reward))
    return pad(rollout.reward, after_the_last).cumsum(0), pad(rollout.valid, after_the_last)


def _by_x(rollouts: list[Rollout], trial: int | None) -> tuple[Tensor, Tensor]:
    """Return the returns and the numbers of steps [x, task, env]."""
    if trial:
        return rollouts[0].returns_by_episode(trial), rollouts[0].n_steps_by_episode(trial)
    return torch.stack([r.returns for r in rollouts]), torch.stack([r.valid.sum(0) for r in rollouts])
