"""Adapted policy: acts in a single environment, or predicts actions for Stable-Baselines3."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from agents.core.agent import Agent, DeterministicAgent, InContextAgent, OpenLoopAgent
from agents.core.collect import single_action
from agents.rl.acting import FastWeights
from qrl.common.checks import shown
from qrl.common.errors import UsageError


class AdaptedPolicy:
    """Policy after adaptation: `act(observation)` returns an action for the environment.

    An in-context agent keeps adapting: report each transition with `observe`. An open-loop agent needs `observe` at the
    end of each episode. For other agents, `observe` does nothing.
    """

    def __init__(
        self, agent: Agent[object], state: object, generator: torch.Generator, shape: tuple[int, ...] | None
    ) -> None:
        self._agent, self._state, self._generator, self._shape = agent, state, generator, shape
        self._action: Tensor | None = None

    @property
    def state(self) -> object:
        """State of the agent after adaptation and the transitions reported since."""
        return self._state

    @torch.no_grad()
    def act(self, observation: ArrayLike) -> NDArray[np.generic] | int | float:
        """Draw an action from the policy, in the form that the environment's `step` takes.

        Raises UsageError if an in-context agent has not observed the transition of its last action.
        """
        if self._action is not None:
            raise UsageError(
                "act: this agent adapts in context: report the last transition first, with "
                "observe(observation, reward, terminated or truncated)"
            )
        action, self._state = self._agent.act(self._state, self._seen(observation), self._generator)
        if isinstance(self._agent, InContextAgent):
            self._action = action
        return single_action(self._agent, action)

    @torch.no_grad()
    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Predict actions as a Stable-Baselines3 model does, for one observation or one per environment.

        The policy therefore works with that library's `evaluate_policy`. The argument `state` is returned unchanged,
        and `episode_start` has no effect, because between updates the policy depends on the observation alone. Raises
        UsageError for other agents (an in-context agent needs rewards, an open-loop agent the ends of episodes), for a
        policy with a memory, for an invalid observation, and for `deterministic` without a most likely action.
        """
        if isinstance(self._agent, InContextAgent | OpenLoopAgent):
            why = "adapts from rewards" if isinstance(self._agent, InContextAgent) else "counts steps"
            raise UsageError(f"predict: this agent {why}, which predict does not receive; use act and observe")
        if isinstance(self._state, FastWeights) and self._state.memory.shape[-1]:
            raise UsageError(
                "predict: this policy has a memory within an episode, which predict does not keep; use act"
            )
        given = _finite_numbers(observation)
        single = given is not None and given.shape == self._shape
        rows = given[None] if given is not None and single else given
        if rows is None or rows.shape[1:] != self._shape:
            raise self._unusable(observation)
        observed = torch.as_tensor(rows, device=self._generator.device)[None]
        if not deterministic:
            action, _ = self._agent.act(self._state, observed, self._generator)
        elif isinstance(self._agent, DeterministicAgent):
            action = self._agent.mode(self._state, observed)
        else:
            raise UsageError(
                f"predict: a {type(self._agent).__name__} has no most probable action: use deterministic=False"
            )
        actions = self._agent.to_environment(action)[0].cpu().numpy()
        return (actions.squeeze(0) if single else actions), state

    @torch.no_grad()
    def peek(self, observation: object) -> None:
        """Evaluate the network on an observation, without acting and without any change of the state."""
        generator = torch.Generator(self._generator.device)
        self._agent.act(self._state, self._seen(observation), generator)

    @torch.no_grad()
    def observe(self, observation: ArrayLike, reward: float, ended: bool) -> None:
        """Report the result of the environment's `step` for the last action; an in-context agent adapts to it.

        The argument `ended` is `terminated or truncated`. For an in-context agent, raises UsageError without a previous
        action and for a non-finite reward.
        """
        if isinstance(self._agent, InContextAgent):
            if self._action is None:
                raise UsageError("observe: call act first")
            if not np.isfinite(reward):
                raise UsageError(f"observe: the reward must be finite, not {reward}")
            earned, over = (torch.tensor([[x]], device=self._generator.device) for x in (float(reward), bool(ended)))
            self._state = self._agent.observe(self._state, self._action, earned, over, self._seen(observation))
            self._action = None
        elif isinstance(self._agent, OpenLoopAgent) and ended:
            self._state = self._agent.on_episode_start(self._state)

    def _seen(self, observation: object) -> Tensor:
        array = _finite_numbers(observation)
        if array is None or array.shape != self._shape:
            raise self._unusable(observation)
        return torch.as_tensor(array, device=self._generator.device)[None, None]

    def _unusable(self, observation: object) -> UsageError:
        return UsageError(f"policy: an observation is {self._shape} finite numbers, not {shown(observation)}")


def _finite_numbers(observation: object) -> NDArray[np.float32] | None:
    """Return an observation as an array; None if it is not an array of numbers that are finite in single precision."""
    try:
        array = np.asarray(observation)
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32) if array.dtype.kind in "biuf" else None
    except (TypeError, ValueError):  # lists of different lengths, or anything else
        return None
    return numbers if numbers is not None and np.isfinite(numbers).all() else None
