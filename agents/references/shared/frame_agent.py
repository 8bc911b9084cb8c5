"""Agent that learns the hidden frame of `quantum_memory` over the episodes of a trial."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex128, Float64, Int
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.frame import MAX_EPISODES, Moments, Rule, triplet_is_likelier, uniform_moments, updated
from agents.references.shared.registers import Held, hold, joint_state, last_arrives, measure, no_registers
from agents.references.shared.trial import TrialConfig
from envs.dynamics.registers import turn_second_qubit
from envs.quantum_memory import QuantumMemory
from qrl.common.errors import UsageError

EVEN, TRIPLET, SINGLET = 0, 1, 2
"""Outcomes of the measurement of a pair."""


@dataclass(frozen=True)
class Belief:
    """Registers of the episode, posterior of the frame, and the last measurement."""

    held: Held
    moments: Moments
    """Fourier moments of the posterior [task, env, order]."""
    episode: Int[Tensor, "task env"]
    """Episodes completed."""
    angle: Float64[Tensor, "task env"]
    """Frame in which the last pair was measured [rad]."""
    outcome: Int[Tensor, "task env"]


class FrameAgent:
    """Agent that measures each pair in a frame of its choice, an `agents.core.agent.InContextAgent`.

    After the end of the trial, the posterior no longer changes.

    Args:
        rule: choice of the frame.
        line: expected return of each episode of a trial, to draw in pictures.
        family: task family, with a frame.
        config: length of a trial.
        context: the run's device.
        name: name of the agent.
        label: name in pictures.

    Raises:
        UsageError: the trial is longer than `MAX_EPISODES`.
    """

    def __init__(
        self,
        rule: Rule,
        line: Callable[[int], list[float]],
        family: QuantumMemory,
        config: TrialConfig,
        context: BuildContext,
        *,
        name: str,
        label: str,
    ) -> None:
        if config.episodes > MAX_EPISODES:
            raise UsageError(
                f"agent {name}: with a frame, a trial has at most {MAX_EPISODES} episodes, not {config.episodes}"
            )
        self.rule, self.space, self.device, self.label = rule, family.registers, context.device, label
        self.trial_episodes, self.expected_returns = config.episodes, line(config.episodes)
        self.effects = _effects().to(self.device)

    def begin(self, n_tasks: int, n_envs: int) -> Belief:
        """Return the prior."""
        lanes = (n_tasks, n_envs)
        integers = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return Belief(
            held=no_registers(self.space, n_tasks, n_envs, self.device),
            moments=uniform_moments(lanes, self.trial_episodes + 1, self.device),
            episode=integers,
            angle=torch.zeros(lanes, dtype=torch.float64, device=self.device),
            outcome=integers,
        )

    def act(
        self, state: Belief, observation: Tensor, generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], Belief]:
        """Keep what arrives; with the last register, measure both and return the likelier answer.

        Actions before the last register do not count and are 0. The outcome that is drawn there is ignored.
        """
        held = hold(self.space, state.held, observation)
        mean = state.moments[..., 1]
        offset = self.rule(mean.abs(), state.episode == self.trial_episodes - 1)
        angle = mean.angle() + offset
        pairs = joint_state(held)
        turned_back = turn_second_qubit(pairs.reshape(-1, 2, 2), -angle.flatten()).reshape(pairs.shape)
        outcome = measure(self.effects, turned_back, generator)
        symmetric = (outcome == EVEN) | (outcome == TRIPLET) & triplet_is_likelier(mean.abs() * offset.cos())
        answer = torch.where(last_arrives(self.space, observation) & ~symmetric, 1, 0)
        return answer, replace(state, held=held, angle=angle, outcome=outcome)

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(self, state: Belief, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Belief:
        """Learn from the case, which the reward reveals, whether the outcome of an odd pair agreed with it."""
        was_singlet = (action == 1) == (reward > 0.5)
        agrees = torch.where((state.outcome == SINGLET) == was_singlet, 1.0, -1.0).double()
        learns = ended & (state.outcome != EVEN) & (state.episode < self.trial_episodes)
        moments = torch.where(learns[..., None], updated(state.moments, state.angle, agrees), state.moments)
        return replace(state, moments=moments, episode=state.episode + ended)

    def adapt(self, state: Belief, rollout: Rollout) -> Belief:
        """Return the state unchanged: `observe` has already learned from every episode."""
        return state


def _effects() -> Complex128[Tensor, "outcome D D"]:
    """Return the projectors on the triplet and the singlet of odd parity; the remaining outcome is even parity."""
    triplet = torch.tensor([0, 1, 1, 0], dtype=torch.complex128) / 2**0.5
    singlet = torch.tensor([0, 1, -1, 0], dtype=torch.complex128) / 2**0.5
    return torch.stack([torch.outer(triplet, triplet), torch.outer(singlet, singlet)])
