"""The training loop: the same for every learner, resumable at every checkpoint."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.core.context import find_execution, seed_sequences, torch_generator
from agents.core.rollout import InContextAgent, OracleAgent, Rollout, collect
from agents.core.spec import Spec
from agents.runs.folder import Checkpoint, RunFolder
from agents.runs.interrupt import Interrupts
from agents.runs.program import program
from agents.runs.progress import Progress


def adaptation(
    env: Any, agent: Any, tasks: Any, n_rollouts: int, rng: np.random.Generator, generator: torch.Generator
) -> tuple[list[Rollout], list[Any]]:
    """Rollouts after 0, 1, ... updates in the same tasks, and the states that made them.

    For an agent that learns in its memory a rollout is a trial of all its episodes.
    """
    n_episodes = agent.trial_episodes if isinstance(agent, InContextAgent) else 1
    state = agent.begin(len(tasks), env.num_envs // len(tasks))
    if isinstance(agent, OracleAgent):
        state = agent.reveal_tasks(state, tasks)
    rollouts: list[Rollout] = []
    states = []
    for index in range(n_rollouts):
        states.append(state)
        seed = int(rng.integers(2**63))
        rollout, state = collect(
            env,
            agent,
            state,
            generator,
            seed=seed,
            n_tasks=len(tasks),
            n_episodes=n_episodes,
            options={"tasks": tasks},
        )
        rollouts.append(rollout)
        if index < n_rollouts - 1:
            state = agent.adapt(state, rollout)
    return rollouts, states


class Training:
    """A run in progress: the agent, its generators and counters; all of it is in the checkpoint."""

    def __init__(self, spec: Spec, distribution: Any, agent: Any) -> None:
        self.spec, self.distribution, self.agent = spec, distribution, agent
        streams = seed_sequences(spec.seed)
        self.rngs = {name: np.random.Generator(np.random.PCG64(streams[name])) for name in ("tasks", "environment")}
        self.generator = torch_generator(streams["actions"], spec.device)
        self.env = distribution.vectorise(agent.n_tasks, agent.n_envs, spec.device)
        self.iteration = self.env_steps = 0
        self.seconds = 0.0

    def step(self) -> dict[str, Any]:
        """One meta-iteration; its row of metrics, which the clock has no part in.

        `circuits` are those of rollouts and gradients that a device would have run, each once or for each shot.
        """
        start = time.perf_counter()
        execution = find_execution(self.agent)
        before = 0 if execution is None else execution.counter.circuits
        tasks = self.distribution.sample(self.agent.n_tasks, "train", self.rngs["tasks"])
        rollouts, states = adaptation(
            self.env, self.agent, tasks, self.agent.n_rollouts, self.rngs["environment"], self.generator
        )
        metrics = self.agent.update(rollouts, states, 1 - self.iteration / self.spec.iterations)
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
        """Write a checkpoint."""
        meta = {
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "rngs": {name: rng.bit_generator.state for name, rng in self.rngs.items()},
        }
        states = {name: generator.get_state() for name, generator in self._generators().items()}
        run.save(self.iteration, self.agent.state_dict() | states, meta)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        tensors = dict(checkpoint.tensors)
        for name, generator in self._generators().items():
            generator.set_state(tensors.pop(name))
        self.agent.load_state_dict(tensors)
        self.iteration = checkpoint.iteration
        self.env_steps, self.seconds = checkpoint.meta["env_steps"], checkpoint.meta["seconds"]
        for name, state in checkpoint.meta["rngs"].items():
            self.rngs[name].bit_generator.state = state

    def _generators(self) -> dict[str, torch.Generator]:
        """Those of actions and, if circuits have finite shots, of these."""
        execution = find_execution(self.agent)
        shots = {"shots": execution.generator} if execution is not None and execution.shots else {}
        return {"generator": self.generator} | shots


def train(training: Training, run: RunFolder, progress: Progress) -> int:
    """Train to the end or to a signal, with a checkpoint every few iterations; the exit code.

    SIGINT and SIGTERM finish the iteration, save, and give 130 and 143. A TrainingError passes through; the last
    checkpoint is kept.
    """
    spec = training.spec
    with Interrupts() as stop:
        while training.iteration < spec.iterations and not stop:
            row = training.step()
            run.log(row)
            progress.update(row | {"seconds": training.seconds})
            if stop or training.iteration % spec.checkpoint_every == 0 or training.iteration == spec.iterations:
                training.save(run)
        if stop:
            command = f"{program()} resume {_shown(run.path)}"
            progress.note(f"stopped after iteration {training.iteration}; go on with: {command}")
    return stop.exit_code


def _shown(path: Path) -> str:
    return f"'{path}'" if " " in str(path) else str(path)
