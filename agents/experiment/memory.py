"""Memory of rollouts, estimated before anything is allocated."""

from agents.core.agent import InContextAgent, NetworkAgent
from envs import TaskDistribution
from qrl.common.memory import check_fits


def check_rollouts(
    user: str, agent: object, distribution: TaskDistribution, n_tasks: int, n_envs: int, n_rollouts: int, device: str
) -> None:
    """Raise UsageError if the rollouts of these tasks and the weights adapted to them exceed the device's memory.

    The estimate is a lower bound. The message begins with `user`, such as "training".
    """
    trial = agent.trial_episodes if isinstance(agent, InContextAgent) else 1
    lanes, steps = n_tasks * n_envs, trial * distribution.horizon
    # Observation, action, reward, three flags and the episode number. While a rollout is being collected, it exists
    # twice: as a list of steps and as one tensor.
    size = 4 * distribution.observation_space.shape[0] + 4 * max(1, *(distribution.action_space.shape or ()), 1) + 15
    rollouts = float(size) * lanes * steps * (n_rollouts + 1)
    check_fits(
        user, f"collecting {n_rollouts:,} × {steps:,} steps of {n_tasks:,} × {n_envs:,} environments", rollouts, device
    )
    if isinstance(agent, NetworkAgent) and not isinstance(agent, InContextAgent):
        n_parameters = sum(parameter.numel() for parameter in agent.policy.parameters())
        weights = 4.0 * n_parameters * n_tasks * n_rollouts
        check_fits(user, f"{n_parameters:,} adapted weights for each of {n_tasks:,} tasks", weights + rollouts, device)
