"""Rollouts of a learner in the tasks of an iteration or of an evaluation, with an adaptation between two of them."""

import numpy as np
import torch

from agents.core.agent import Agent, InContextAgent, OracleAgent, State
from agents.core.collect import agent_errors, collect
from agents.core.divergence import adapted
from agents.core.rollout import Rollout
from envs import Tasks
from envs.core.task_vector import TaskVectorEnv


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
