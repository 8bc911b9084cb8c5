"""Meta-iterations, shared by all learners and resumable from every checkpoint."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import numpy as np
import torch

from agents.core.agent import ChecksTraining, Learner
from agents.core.collect import agent_errors
from agents.core.context import backend_of, build_agent
from agents.core.divergence import not_finite
from agents.core.plain import from_plain, to_plain
from agents.core.spec import Spec
from agents.experiment.memory import check_rollouts
from agents.experiment.replica import Replica
from agents.experiment.restoring import restore_learner
from agents.experiment.returns import EvaluationPlan, EvaluationReturns, Vectorise, evaluate_returns
from agents.runs.checkpoints import Checkpoint
from agents.runs.folder import RunFolder
from agents.runs.interrupt import ignored
from agents.shards.team import Team
from envs import TaskDistribution
from envs.core.task_vector import TaskVectorEnv
from qrl.common.divergence import REMEDY
from qrl.common.errors import TrainingError


def check_trainable(agent: Learner[object], distribution: TaskDistribution, spec: Spec) -> None:
    """Raise UsageError if the agent refuses to train with its options, or its rollouts do not fit into memory."""
    if isinstance(agent, ChecksTraining):
        agent.check_training(spec.iterations)
    check_rollouts("training", agent, distribution, agent.n_tasks, agent.n_envs, agent.n_rollouts, spec.device)


class Training:
    """State of a training run: the agent, random generators and counters, all saved in checkpoints.

    A training in shards (`agents.core.shard`) has a replica of the agent for each shard of this process; `agent` is the
    first one. One process leads: it decides what is done next, and the others follow.
    """

    def __init__(
        self, spec: Spec, distribution: TaskDistribution, agent: Learner[object], team: Team | None = None
    ) -> None:
        self.spec, self.distribution, self.team = spec, distribution, team or Team(spec.shards)
        if spec.shards > 1:
            backend = backend_of(spec)
            agents = [build_agent(spec, distribution, backend, shard) for shard in self.team.shards]
        else:
            agents = [agent]
        self.replicas: list[Replica] = []
        for each, shard in zip(agents, self.team.shards, strict=True):
            assert isinstance(each, Learner)
            check_trainable(each, distribution, spec)
            self.replicas.append(Replica(spec, distribution, each, shard))
        self.iteration = self.env_steps = 0
        self.seconds = 0.0

    @property
    def agent(self) -> Learner[object]:
        """The learner."""
        return self.replicas[0].agent

    @property
    def env(self) -> TaskVectorEnv:
        """Environments of all tasks of the first replica."""
        return self.replicas[0].env

    @property
    def rngs(self) -> dict[str, np.random.Generator]:
        """NumPy's generators."""
        return self.replicas[0].rngs

    @property
    def generator(self) -> torch.Generator:
        """Generator of actions."""
        return self.replicas[0].generator

    # --- with the other processes ------------------------------------------------------------------------------------

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Lead the other processes, which have called `follow`, inside the context."""
        self._share()
        try:
            yield
        finally:
            with suppress(TrainingError):  # of a process that has ended: then there is an error already
                self._order({"end": True})

    def follow(self) -> None:
        """Do what the leading process does, until it ends."""
        with ignored():
            self._share()
            while "end" not in (order := self._receive()):
                if "evaluate" in order:
                    self._evaluate(from_plain(EvaluationPlan, order["evaluate"], "plan"), None)
                else:
                    self._step()

    def _order(self, order: dict[str, object]) -> None:
        """Tell the other processes what is done next."""
        if self.team.world.size > 1:
            self.team.broadcast_json(order)

    def _receive(self) -> dict[str, object]:
        """Return the order of the leading process."""
        return cast(dict[str, object], self.team.broadcast_json(None))

    def _share(self) -> None:
        """Give the state of the leading process's first replica to all others."""
        if self.spec.shards == 1:
            return
        counters = cast(list[int], self.team.broadcast_json([self.iteration, self.env_steps]))
        self.iteration, self.env_steps = counters
        state = self.team.broadcast_tensors(self.agent.state_dict())
        for replica in self.replicas[self.team.leads :]:
            with agent_errors(replica.agent):
                replica.agent.load_state_dict({name: value.clone() for name, value in state.items()})

    # --- what is done ------------------------------------------------------------------------------------------------

    def step(self) -> dict[str, object]:
        """Take one meta-iteration and return its row of metrics, without wall-clock times.

        The entry `circuits` counts the circuits that a device would have executed for rollouts and gradients. With
        shots, each shot counts as one circuit. Rows of episodes that have ended count, too: where episodes end early,
        the count is an upper bound.
        """
        self._order({"step": True})
        return self._step()

    def _step(self) -> dict[str, object]:
        start = time.perf_counter()
        row, *_ = self.team.run([partial(replica.step, self.iteration) for replica in self.replicas])
        self.iteration += 1
        self.env_steps += row.env_steps
        self.seconds += time.perf_counter() - start
        return {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "return_by_step": row.return_by_step,
            **row.metrics,
            **({} if row.circuits is None else {"circuits": row.circuits}),
        }

    def evaluate(self, plan: EvaluationPlan, vectorise: Vectorise | None = None) -> EvaluationReturns:
        """Evaluate the agent, each shard on a part of the tasks; see `evaluate_returns`."""
        self._order({"evaluate": to_plain(plan)})
        return self._evaluate(plan, vectorise)

    def _evaluate(self, plan: EvaluationPlan, vectorise: Vectorise | None) -> EvaluationReturns:
        evaluations = [
            partial(evaluate_returns, replica.agent, self.distribution, plan, vectorise, replica.shard)
            for replica in self.replicas
        ]
        return self.team.run(evaluations)[0]

    # --- checkpoints -------------------------------------------------------------------------------------------------

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
        replica = self.replicas[0]
        meta = {
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "rngs": {name: rng.bit_generator.state for name, rng in replica.saved_rngs.items()},
        }
        states = {name: generator.get_state() for name, generator in replica.saved_generators.items()}
        return tensors | states, meta

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Raises UsageError, without any change, as `restore_learner` does."""
        replica = self.replicas[0]
        saved = restore_learner(self.agent, replica.saved_generators, checkpoint)
        for name, generator in replica.saved_generators.items():
            generator.set_state(checkpoint.tensors[name])
        self.iteration = checkpoint.iteration
        self.env_steps, self.seconds = saved.env_steps, saved.seconds
        for name, rng in replica.saved_rngs.items():
            rng.bit_generator.state = saved.rngs[name]
