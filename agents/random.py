"""Uniformly random actions: the lower baseline for every curve; no learning."""

from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from qrl.common.errors import UsageError
from qrl.policies.spaces import action_units

LISTED_UNDER = "baselines"


@dataclass(frozen=True)
class Config:
    """No options."""


class Random:
    """Stateless agent with uniformly random actions, valid ones where invalid ones fail.

    Args:
        action_space: of the environment.
        mask: slice of the observation with a flag for each invalid action; None: every action can be taken.

    Raises:
        UsageError: an unbounded action space.
    """

    def __init__(self, action_space: gymnasium.Space[object], mask: slice | None = None) -> None:
        self.mask = mask
        if isinstance(action_space, gymnasium.spaces.Box) and not action_space.is_bounded():
            raise UsageError(f"agent random: uniform actions need a bounded action space, not {action_space}")
        self.action_space = action_space

    def begin(self, n_tasks: int, n_envs: int) -> None:
        """Return None: the agent has no state."""

    def act(self, state: None, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, None]:
        """Draw an action uniformly from the action space, or from its valid actions."""
        if self.mask is not None:
            valid = (observation[..., self.mask] <= 0.5).float().flatten(0, 1)
            return valid.multinomial(1, generator=generator).view(observation.shape[:2]), None
        shape, space = tuple(observation.shape[:2]), self.action_space
        if isinstance(space, gymnasium.spaces.Discrete):
            actions = torch.randint(int(space.n), shape, generator=generator, device=observation.device)
            return actions + int(space.start), None
        units = action_units(space, observation.device)
        uniform = torch.rand(shape + units["low"].shape, generator=generator, device=observation.device)
        return units["low"] + (units["high"] - units["low"]) * uniform, None

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def adapt(self, state: None, rollout: Rollout) -> None:
        """Return None: the agent never learns."""


def build(config: Config, context: BuildContext) -> Random:
    """Return the agent for the family's action space; the model is not used."""
    family = context.distribution
    return Random(context.action_space, family.invalid_action_slice if family.invalid_actions_fail else None)
