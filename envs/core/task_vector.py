"""Contract of vector environments over tasks: lanes in order of tasks, tensors, checks of the arguments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float32
from torch import Tensor

from envs.core.tasks import Tasks
from qrl.circuits.registers import Registers
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, suggest

ObsBatch = Float32[Tensor, "lane obs"]
StepResult = tuple[ObsBatch, Float32[Tensor, " lane"], Bool[Tensor, " lane"], Bool[Tensor, " lane"], dict[str, Any]]


@runtime_checkable
class Family(Protocol):
    """Task distribution, as far as a vector environment uses it."""

    name: str
    horizon: int
    observation_space: gym.spaces.Box | Registers
    action_space: gym.spaces.Box | gym.spaces.Discrete
    invalid_action_slice: slice | None

    def nominal_tasks(self, n: int) -> Tasks:
        """Return the nominal task, `n` times."""

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Return `tasks`, or raise UsageError unless they are `n_tasks` tasks of this family."""


def check_env_seed(seed: object) -> None:
    """Raise UsageError unless `seed` is None or a seed that every generator accepts."""
    # NumPy accepts no negative seeds, and torch no seeds of more than 64 bits.
    if seed is not None and (not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63):
        raise UsageError(f"reset: seed must be a non-negative integer below 2**63, not {seed!r}")


def check_options(options: Mapping[str, object] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a reset; raise UsageError for an option that is not `known`."""
    for name in options or {}:
        if name not in known:
            raise UsageError(f"reset: unknown option {name!r}{suggest(str(name), known)}")
    return dict(options or {})


def _as_tensor(values: object, device: torch.device, what: str) -> Tensor:
    try:
        return torch.as_tensor(values, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what} cannot be converted to a tensor: {error}") from None


class TaskVectorEnv(gym.vector.VectorEnv[Tensor, Tensor, Tensor], ABC):
    """Vector environment of `n_tasks` tasks times `envs_per_task` independent environments, stepped together.

    Lane `task · envs_per_task + env` is environment `env` of task `task`. Everything returned is a tensor on `device`:
    observations and rewards float32, flags bool.

    - **Tasks** are given to `reset(options={"tasks": tasks})` and stay until the next such reset; before the first one
      every lane has the nominal task.
    - **There is no autoreset.** A finished lane is frozen until its reset: it repeats the last observation with reward
      0 and the flags of its last step. Rollouts mask such rows.
    - **Termination and truncation stay apart.** A lane is truncated at step `horizon`; if it terminates in that very
      step, both flags are set, as by Gymnasium's `TimeLimit`. In a family with `ends_at_horizon` it terminates there.

    Args:
        distribution: the family.
        n_tasks: number of tasks, at least 1.
        envs_per_task: number of environments of each task, at least 1.
        device: device of the tensors.

    Raises:
        UsageError: a count below 1.
    """

    def __init__(
        self, distribution: Family, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}
        self._family = distribution
        self.name = distribution.name
        """Name of the family."""
        self.horizon = distribution.horizon
        """Longest episode [steps]."""
        self.invalid_action_slice = distribution.invalid_action_slice
        """Slice of the observation with one entry per discrete action, 1 if the action is invalid; None: no such."""
        self.n_tasks = check_count(f"{distribution.name}: n_tasks", n_tasks)
        self.envs_per_task = check_count(f"{distribution.name}: envs_per_task", envs_per_task)
        self.num_envs = self.n_tasks * self.envs_per_task
        self.device = torch.device(device)
        self.single_observation_space = distribution.observation_space
        self.single_action_space = distribution.action_space
        self.observation_space = batch_space(distribution.observation_space, self.num_envs)
        self.action_space = batch_space(distribution.action_space, self.num_envs)
        self._discrete = isinstance(distribution.action_space, gym.spaces.Discrete)
        if isinstance(distribution.action_space, gym.spaces.Discrete):
            start = int(distribution.action_space.start)
            self._action_limits: tuple[float, float] = (start, start + int(distribution.action_space.n) - 1)
        else:  # only NaN and infinity are errors here: actions beyond the bounds are clipped
            self._action_limits = (-float(np.finfo(np.float64).max), float(np.finfo(np.float64).max))
        self._action_shape = (self.num_envs, *(distribution.action_space.shape or ()))
        self._per_lane_rng = False
        self._defer_checks = self.device.type != "cpu"
        self._actions_valid = torch.ones((), dtype=torch.bool, device=self.device)
        self.set_tasks(distribution.nominal_tasks(self.n_tasks))

    @property
    def tasks(self) -> Tasks:
        """The current tasks, one row per task."""
        return self._tasks

    def set_tasks(self, tasks: object) -> None:
        """Change the tasks of all lanes, n_tasks `Tasks`, from the next reset of all lanes on.

        Raises:
            UsageError: tasks of another family or number.
        """
        self._tasks = self._family.check_tasks(tasks, self.n_tasks).to(self.device)
        self._lane_tasks = self._tasks.repeat_interleave(self.envs_per_task)

    @abstractmethod
    def single_lane(self, lane: int) -> "TaskVectorEnv":
        """Return an environment of one lane in the state of lane `lane` after the last reset of all lanes.

        Call it before the first step.
        """

    def _begin_reset(self, seed: int | None, options: dict[str, Any] | None) -> Bool[Tensor, " lane"] | None:
        """Check the arguments of `reset` and set the tasks; return the mask of lanes to reset, None for all."""
        check_env_seed(seed)
        options = check_options(options, ("tasks", "reset_mask", "per_lane_rng"))
        self._raise_deferred_errors()
        mask = self._as_mask(options["reset_mask"]) if options.get("reset_mask") is not None else None
        if options.get("tasks") is not None:
            if mask is not None:
                raise UsageError("reset: tasks cannot change with reset_mask, because other lanes are in mid-episode")
            self.set_tasks(options["tasks"])
        if mask is None:
            self._per_lane_rng = bool(options.get("per_lane_rng"))
        elif "per_lane_rng" in options:
            raise UsageError("reset: per_lane_rng requires a reset of all lanes")
        super().reset(seed=seed)
        return mask

    def _as_mask(self, values: object) -> Bool[Tensor, " lane"]:
        mask = _as_tensor(values, self.device, "reset: reset_mask")
        if mask.dtype != torch.bool or mask.shape != (self.num_envs,):
            shape = tuple(mask.shape)
            raise UsageError(f"reset: reset_mask must be bool of shape ({self.num_envs},), not {mask.dtype} {shape}")
        return mask

    def _as_action(self, action: Tensor | np.ndarray) -> Tensor:
        """Check an action and convert it to int64 or float64 on the environment's device."""
        action = _as_tensor(action, self.device, f"{self._family.name}: action").detach()
        numeric = action.dtype not in (torch.bool, torch.complex64, torch.complex128)
        if action.shape != self._action_shape or not numeric or action.is_floating_point() == self._discrete:
            kind = "integers" if self._discrete else "floats"
            raise UsageError(
                f"{self._family.name}: action must be {kind} of shape {self._action_shape}, "
                f"not {action.dtype} of shape {tuple(action.shape)}"
            )
        smallest, largest = torch.aminmax(action)
        if not self._defer_checks:
            # Negated comparisons, so that NaN, which aminmax propagates, raises too.
            if not (smallest.item() >= self._action_limits[0] and largest.item() <= self._action_limits[1]):
                self._raise_invalid_actions()
        else:
            valid = (smallest >= self._action_limits[0]) & (largest <= self._action_limits[1])
            self._actions_valid = self._actions_valid & valid
        return action.long() if self._discrete else action.double()

    def _raise_deferred_errors(self) -> None:
        if self._defer_checks and not bool(self._actions_valid):
            self._actions_valid = torch.ones_like(self._actions_valid)
            self._raise_invalid_actions()

    def _raise_invalid_actions(self) -> None:
        low, high = self._action_limits
        wanted = f"integers from {low:g} to {high:g}" if self._discrete else "finite"
        raise UsageError(f"{self._family.name}: actions must be {wanted}")
