"""Rollouts: parallel episodes of many tasks, as tensors with axes time, task, env."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Rollout:
    """One episode in each lane, or a trial of several episodes; padding after its end has `valid` False and reward 0.

    The tensor `action` is in the agent's units. The tensors `terminated` and `truncated` mark an episode's last step
    and are kept separate. The tensor `episode` numbers a lane's episodes from 0; each episode begins in the row after
    the last step of the previous one. The tensor `final` is the observation after the last step of a lane; collected
    rollouts always have it.
    """

    observation: Float[Tensor, "time task env obs"]
    action: Shaped[Tensor, "time task env *act"]
    reward: Float[Tensor, "time task env"]
    valid: Bool[Tensor, "time task env"]
    terminated: Bool[Tensor, "time task env"]
    truncated: Bool[Tensor, "time task env"]
    episode: Int[Tensor, "time task env"]
    final: Float[Tensor, "task env obs"] | None = None

    @property
    def returns(self) -> Float[Tensor, "task env"]:
        """Undiscounted return of each lane: of its episode, or the sum over its trial."""
        return self.reward.sum(0)

    def returns_by_episode(self, n_episodes: int) -> Float[Tensor, "episode task env"]:
        """Undiscounted return of each episode of a trial."""
        return self._by_episode(self.reward, n_episodes)

    def n_steps_by_episode(self, n_episodes: int) -> Float[Tensor, "episode task env"]:
        """Number of environment steps in each episode of a trial [steps]."""
        return self._by_episode(self.valid.to(self.reward.dtype), n_episodes)

    def _by_episode(self, values: Tensor, n_episodes: int) -> Tensor:
        zeros = values.new_zeros(n_episodes, *values.shape[1:])
        return zeros.scatter_add(0, self.episode, values)

    @property
    def n_steps(self) -> int:
        """Number of environment steps, without padding [steps]."""
        return int(self.valid.sum())
