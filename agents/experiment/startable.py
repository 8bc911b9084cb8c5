"""Checks that a run of a spec would start, without a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from agents.core.agent import Learner, NetworkAgent
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.evaluation import check_evaluation
from agents.experiment.loop import check_trainable
from agents.runs import origins
from envs.core.check import check_before_training


@dataclass(frozen=True)
class Startable:
    """Properties of a run that would start."""

    trains: bool
    """Whether the agent learns."""
    uses_model: bool
    """Whether the agent has a policy network."""


def check_start(spec: Spec, *, check_env: bool = True) -> Startable:
    """Build the environment and the agent of a spec and make the checks of `run_training`; write nothing.

    Args:
        spec: spec of the run.
        check_env: whether to check an environment outside this library, which takes a while.

    Raises:
        UsageError: the run would not start.
    """
    with _same_threads():
        distribution, agent = build(spec)
        check_evaluation(agent, distribution, spec.eval_tasks, spec.eval_steps, spec.eval_episodes, spec.device)
        if not isinstance(agent, Learner):
            return Startable(trains=False, uses_model=isinstance(agent, NetworkAgent))
        check_trainable(agent, distribution, spec.device)
        if check_env and origins.of(spec)["env"]["from"] != "this library":
            check_before_training(distribution)
        return Startable(trains=True, uses_model=isinstance(agent, NetworkAgent))


@contextmanager
def _same_threads() -> Iterator[None]:
    """Keep this process's number of torch threads, which `build` sets."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
