"""One shard's part of a training: a replica of the learner, its environment and its random streams."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from agents.core.agent import Learner
from agents.core.collect import agent_errors, env_errors
from agents.core.context import find_execution, seed_sequences, torch_generator
from agents.core.shard import Shard
from agents.core.spec import Spec
from agents.experiment.restoring import RNGS, generators
from agents.experiment.rollouts import collect_and_adapt
from envs import TaskDistribution
from envs.core.curriculum import Curriculum
from qrl.common.divergence import REMEDY, diverging
from qrl.common.errors import TrainingError
from qrl.common.files import to_json


@dataclass(frozen=True)
class Row:
    """Outcome of an iteration, over all shards."""

    env_steps: int
    return_by_step: list[float]
    """Mean return after 0, 1, ... updates, or of a trial."""
    metrics: Mapping[str, object]
    """Metrics of the learner's update."""
    circuits: int | None
    """Circuits that a device would have executed; None without circuits."""


class Replica:
    """Replica of a learner.

    The streams of a training that is not split run through all of it, and are saved in checkpoints. Those of a shard
    are seeded anew for each iteration, so that a checkpoint is that of any shard.
    """

    def __init__(self, spec: Spec, distribution: TaskDistribution, agent: Learner[object], shard: Shard) -> None:
        self.spec, self.distribution, self.agent, self.shard = spec, distribution, agent, shard
        self.rngs = {name: np.random.Generator(np.random.PCG64(self._stream(name, 0))) for name in RNGS}
        self.generator = torch_generator(self._stream("actions", 0), spec.device)
        self.env = distribution.vectorise(agent.n_tasks, agent.n_envs, spec.device)

    @property
    def saved_rngs(self) -> dict[str, np.random.Generator]:
        """NumPy's generators whose states are saved in checkpoints, by name."""
        return self.rngs if self.shard.count == 1 else {}

    @property
    def saved_generators(self) -> dict[str, torch.Generator]:
        """Generators of torch whose states are saved in checkpoints, by name."""
        return generators(self.agent, self.generator) if self.shard.count == 1 else {}

    def step(self, iteration: int) -> Row:
        """Take one meta-iteration: collect rollouts, then take the outer step. Raises TrainingError if it diverges."""
        if self.shard.count > 1:
            self._seed(iteration)
        execution = find_execution(self.agent)
        before = 0 if execution is None else execution.counter.circuits
        progress = iteration / self.spec.iterations
        tasks = self.distribution.sample(self.agent.n_tasks, "train", self.rngs["tasks"])
        if isinstance(self.distribution, Curriculum):
            with env_errors(self.distribution.name):
                tasks = self.distribution.ease(tasks, progress)
        rollouts, states = collect_and_adapt(
            self.env, self.agent, tasks, self.agent.n_rollouts, self.rngs["environment"], self.generator
        )
        with agent_errors(self.agent), diverging("an update of the agent"):
            metrics = self.agent.update(rollouts, states, 1 - progress)
        if not isinstance(metrics, Mapping):
            raise TrainingError(f"agent {self.spec.agent!r}: update returned {metrics!r}, not a dict of metrics")
        if bad := [name for name, value in metrics.items() if isinstance(value, float) and not math.isfinite(value)]:
            raise TrainingError(f"the metric {bad[0]} is not finite: {REMEDY}")
        with agent_errors(self.agent):
            to_json(metrics)  # raises for values that no file of metrics can hold
        circuits = 0 if execution is None else (execution.counter.circuits - before) * execution.repeats
        returns = [float(rollout.returns.mean()) for rollout in rollouts]
        n_steps, n_circuits, *sums = self.shard.totals(
            [float(sum(r.n_steps for r in rollouts)), float(circuits), *returns]
        )
        by_step = [total / self.shard.count for total in sums]
        return Row(int(n_steps), by_step, metrics, None if execution is None else int(n_circuits))

    def _seed(self, iteration: int) -> None:
        """Seed all streams for an iteration."""
        for name in RNGS:
            self.rngs[name] = np.random.Generator(np.random.PCG64(self._stream(name, iteration)))
        for name, generator in generators(self.agent, self.generator).items():
            stream = self._stream("actions" if name == "generator" else name, iteration)
            generator.set_state(torch_generator(stream, generator.device).get_state())

    def _stream(self, name: str, iteration: int) -> np.random.SeedSequence:
        """Return a random stream: the run's own, or that of this shard in an iteration."""
        whole = seed_sequences(self.spec.seed)[name]
        if self.shard.count == 1:
            return whole
        return np.random.SeedSequence(whole.entropy, spawn_key=(*whole.spawn_key, iteration, self.shard.index))
