"""Checks that a run of a spec would start, without a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from agents.core.agent import Agent, Learner, NetworkAgent
from agents.core.context import backend_of, build, build_agent
from agents.core.shard import Shard
from agents.core.spec import Spec
from agents.experiment.loop import Training, check_trainable
from agents.experiment.returns import check_evaluation
from agents.experiment.weights import Origin, read_weights, start_from
from agents.runs import origins
from envs import TaskDistribution
from envs.core.check import check_before_training
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class Startable:
    """Properties of a run that would start."""

    trains: bool
    """Whether the agent learns."""
    uses_model: bool
    """Whether the agent has a policy network."""
    origin: Origin | None = None
    """Origin of the initial weights; None for random ones."""


def check_start(spec: Spec, *, check_env: bool = True, weights: Path | None = None) -> Startable:
    """Build the environment and the agent of a spec and make the checks of `run_training`; write nothing.

    Args:
        spec: spec of the run.
        check_env: whether to check an environment outside this library, which takes a while.
        weights: run from whose trained weights to start.

    Raises:
        UsageError: the run would not start.
    """
    with _same_threads():
        distribution, agent = build(spec)
        check_evaluations(spec, agent, distribution)
        if not isinstance(agent, Learner):
            if weights is not None:
                raise untrained(spec)
            return Startable(trains=False, uses_model=isinstance(agent, NetworkAgent))
        check_trainable(agent, distribution, spec)
        if spec.shards > 1:
            build_agent(spec, distribution, backend_of(spec), Shard(0, spec.shards))
        if check_env and origins.of(spec)["env"]["from"] != "this library":
            check_before_training(distribution)
        origin = None
        if weights is not None:
            origin, trained = read_weights(weights)
            start_from(Training(spec, distribution, agent), trained, str(weights))
        return Startable(trains=True, uses_model=isinstance(agent, NetworkAgent), origin=origin)


def check_evaluations(spec: Spec, agent: Agent[object], distribution: TaskDistribution) -> None:
    """Raise UsageError if the evaluation at the end, or one on validation tasks, would exceed the memory."""
    # One check of the larger of the two: a check may draw shots, whose stream must not depend on the validation.
    n_tasks = max(spec.eval_tasks, spec.validate_tasks if spec.validate_every else 0)
    check_evaluation(agent, distribution, n_tasks, spec.eval_steps, spec.eval_episodes, spec.device)


def untrained(spec: Spec) -> UsageError:
    """Return the error of an agent that cannot start from the weights of another run, because it has none."""
    return UsageError(f"agent {spec.agent} does not train, and starts from no weights")


@contextmanager
def _same_threads() -> Iterator[None]:
    """Keep this process's number of torch threads, which `build` sets."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
