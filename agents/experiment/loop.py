"""Meta-iterations, shared by all learners and resumable from every checkpoint."""

import math
import time
from collections.abc import Mapping

import numpy as np
import torch

from agents.core.agent import Agent, ChecksTraining, InContextAgent, Learner, OracleAgent, State
from agents.core.collect import agent_errors, collect, env_errors
from agents.core.context import find_execution, seed_sequences, torch_generator
from agents.core.divergence import adapted, not_finite
from agents.core.rollout import Rollout
from agents.core.spec import Spec
from agents.experiment.memory import check_rollouts
from agents.experiment.restoring import RNGS, generators, restore_learner
from agents.runs.checkpoints import Checkpoint
from agents.runs.folder import RunFolder
from envs import TaskDistribution, Tasks
from envs.core.curriculum import Curriculum
from envs.core.task_vector import TaskVectorEnv
from qrl.common.divergence import REMEDY, diverging
from qrl.common.errors import TrainingError
from qrl.common.files import to_json


def collect_and_adapt(
    env: TaskVectorEnv,
    agent: Agent[State],
    tasks: Tasks,
    n_rollouts: int,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[list[Rollout], list[State]]:
    """Collect rollouts after 0, 1, ... updates in the same tasks; return the rollouts and the states before each.

    For an in-context agent, a rollout is a whole trial. Raises TrainingError if the agent diverges.
    """
    n_episodes = agent.trial_episodes if isinstance(agent, InContextAgent) else 1
    with agent_errors(agent):
        state = agent.begin(len(tasks), env.num_envs // len(tasks))
        if isinstance(agent, OracleAgent):
            state = agent.reveal_tasks(state, tasks)
    rollouts: list[Rollout] = []
    states: list[State] = []
    for index in range(n_rollouts):
        states.append(state)
        rollout, state = collect(
            env,
            agent,
            state,
            generator,
            seed=int(rng.integers(2**63)),
            n_tasks=len(tasks),
            n_episodes=n_episodes,
            options={"tasks": tasks},
        )
        rollouts.append(rollout)
        if index < n_rollouts - 1:
            with agent_errors(agent):
                state = adapted(agent, state, rollout)
    return rollouts, states


def check_trainable(agent: Learner[object], distribution: TaskDistribution, spec: Spec) -> None:
    """Raise UsageError if the agent refuses to train with its options, or its rollouts do not fit into memory."""
    if isinstance(agent, ChecksTraining):
        agent.check_training(spec.iterations)
    check_rollouts("training", agent, distribution, agent.n_tasks, agent.n_envs, agent.n_rollouts, spec.device)


class Training:
    """State of a training run: the agent, random generators and counters, all saved in checkpoints."""

    def __init__(self, spec: Spec, distribution: TaskDistribution, agent: Learner[object]) -> None:
        check_trainable(agent, distribution, spec)
        self.spec, self.distribution, self.agent = spec, distribution, agent
        streams = seed_sequences(spec.seed)
        self.rngs = {name: np.random.Generator(np.random.PCG64(streams[name])) for name in RNGS}
        self.generator = torch_generator(streams["actions"], spec.device)
        self.env = distribution.vectorise(agent.n_tasks, agent.n_envs, spec.device)
        self.iteration = self.env_steps = 0
        self.seconds = 0.0

    def step(self) -> dict[str, object]:
        """Take one meta-iteration and return its row of metrics, without wall-clock times.

        The entry `circuits` counts the circuits that a device would have executed for rollouts and gradients. With
        shots, each shot counts as one circuit. Rows of episodes that have ended count, too: where episodes end early,
        the count is an upper bound.
        """
        start = time.perf_counter()
        execution = find_execution(self.agent)
        before = 0 if execution is None else execution.counter.circuits
        progress = self.iteration / self.spec.iterations
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
        self.iteration += 1
        self.env_steps += sum(rollout.n_steps for rollout in rollouts)
        self.seconds += time.perf_counter() - start
        return {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "return_by_step": [float(rollout.returns.mean()) for rollout in rollouts],
            **metrics,
            **({} if execution is None else {"circuits": (execution.counter.circuits - before) * execution.repeats}),
        }

    def save(self, run: RunFolder) -> None:
        """Write a checkpoint.

        Raises:
            TrainingError: a tensor of the agent is not finite; nothing is written, and the last checkpoint is kept.
        """
        run.save(self.iteration, *self._state())

    def save_best(self, run: RunFolder) -> None:
        """Write the checkpoint with the best score so far on validation tasks. Raises TrainingError as `save` does."""
        run.best.write(self.iteration, *self._state())

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        """Return the tensors and the JSON part of a checkpoint."""
        with agent_errors(self.agent):
            tensors = dict(self.agent.state_dict())
        if (name := not_finite(tensors.items())) is not None:
            raise TrainingError(f"{name} is not finite after iteration {self.iteration}: {REMEDY}")
        meta = {
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "rngs": {name: rng.bit_generator.state for name, rng in self.rngs.items()},
        }
        states = {name: generator.get_state() for name, generator in generators(self.agent, self.generator).items()}
        return tensors | states, meta

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Raises UsageError, without any change, as `restore_learner` does."""
        saved = restore_learner(self.agent, self.generator, checkpoint)
        for name, generator in generators(self.agent, self.generator).items():
            generator.set_state(checkpoint.tensors[name])
        self.iteration = checkpoint.iteration
        self.env_steps, self.seconds = saved.env_steps, saved.seconds
        for name, state in saved.rngs.items():
            self.rngs[name].bit_generator.state = state
