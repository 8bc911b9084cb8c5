"""GRAPE: optimal control pulses for qubits by gradient ascent through the exact dynamics of a known device.

GRAPE (Khaneja et al. 2005, Optimal control of coupled spin dynamics), with the gradient of the fidelity through all
slots at once, and Adam (Kingma and Ba 2015) in place of a fixed step size. By default, the agent observes the task
parameters and optimises one pulse per task: up to local optima, an upper bound for agents that have to identify the
device. With `per_task` off, the agent optimises a single robust pulse, the best on average over train tasks: the bound
for agents that neither identify the device nor use their observations.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.references.shared.trial import require_family
from envs import Tasks
from envs.qubit_control import QubitControl

FAMILIES = ("qubit_control",)


@dataclass(frozen=True)
class Config(Options):
    """Options of GRAPE."""

    per_task: bool = True
    """Optimise one pulse per task, with known task parameters; otherwise a single robust pulse for all tasks."""
    iterations: int = 100
    """Length of the gradient ascent [gradient steps] (ours)."""
    step_size: float = 0.1
    """Adam step size at the first step, with linear decay to 0 [full drive] (ours)."""
    starts: int = 2
    """Random initial pulses [pulses]; the best optimised pulse is kept, task by task (ours)."""
    train_tasks: int = 100
    """Train tasks over which the single robust pulse is optimised [tasks]; no effect with one pulse per task (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("iterations", "starts", "train_tasks"), lambda value: value >= 1, "at least 1")
        self.require(("iterations", "train_tasks"), lambda value: value <= 100_000, "at most 100000")
        self.require(("starts",), lambda value: value <= 1000, "at most 1000")
        self.require(("step_size",), lambda value: 0 < value < math.inf, "finite and positive")


@dataclass(frozen=True)
class Pulse:
    """Drive of each slot [task, time, act], and the number of slots of the episode so far."""

    drive: Tensor
    step: int


class Grape:
    """Oracle and open-loop agent (`agents.core.agent`): `reveal_tasks` gives it the task parameters.

    Raises UsageError for any family other than qubit control.
    """

    def __init__(self, config: Config, context: BuildContext) -> None:
        family = require_family("grape", context, QubitControl)
        self.config, self.device, self.horizon = config, context.device, family.horizon
        (self.n_controls,) = family.action_space.shape or ()
        # Shot estimates have no gradient; the exact expectation value has one.
        self.family = QubitControl(replace(family.config, shots=0))

    def begin(self, n_tasks: int, n_envs: int) -> Pulse:
        """Return zero drive."""
        return Pulse(torch.zeros(n_tasks, self.horizon, self.n_controls, device=self.device), 0)

    def reveal_tasks(self, state: Pulse, tasks: Tasks) -> Pulse:
        """Return the optimised pulses for these tasks."""
        if self.config.per_task:
            drive = self.best_pulses(tasks.to(self.device), shared=False)
        else:
            train = self.family.sample(self.config.train_tasks, "train", np.random.default_rng(0))
            drive = self.best_pulses(train.to(self.device), shared=True).expand(len(tasks), -1, -1)
        return Pulse(drive.float(), 0)

    def best_pulses(self, tasks: Tasks, *, shared: bool) -> Tensor:
        """Return the drives [task, time, act] with the largest return in each task.

        If `shared`, return the single drive [1, time, act] with the largest mean return over the tasks.
        """
        generator = torch.Generator().manual_seed(0)
        optima = [self._ascend(tasks, 1 if shared else len(tasks), generator) for _ in range(self.config.starts)]
        returns = torch.stack([value for _, value in optima])  # [start, pulse]
        best = returns.argmax(0)
        return torch.stack([optima[int(start)][0][i] for i, start in enumerate(best)])

    def _ascend(self, tasks: Tasks, n_pulses: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Ascend from random pulses; return the optimised drives [pulse, time, act] and their returns [pulse]."""
        shape = (n_pulses, self.horizon, self.n_controls)
        start = 0.3 * torch.randn(shape, dtype=torch.float64, generator=generator)
        drive = start.to(self.device).requires_grad_()
        adam = torch.optim.Adam([drive], lr=self.config.step_size)
        for i in range(self.config.iterations):
            adam.param_groups[0]["lr"] = self.config.step_size * (1 - i / self.config.iterations)
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(-self.returns(drive, tasks).sum(), [drive])
            drive.grad = gradient
            adam.step()
            with torch.no_grad():
                drive.clamp_(-1, 1)  # the gradient vanishes outside this range
        with torch.no_grad():
            return drive.detach(), self.returns(drive, tasks).reshape(n_pulses, -1).mean(1)

    def returns(self, drive: Tensor, tasks: Tasks) -> Tensor:
        """Return of an episode of each task [task] under its own drive, or under the single shared drive."""
        state = self.family.initial_state(tasks, torch.Generator(self.device))
        total = torch.zeros(len(tasks), dtype=torch.float64, device=self.device)
        for slot in drive.expand(len(tasks), -1, -1).unbind(1):
            state, reward, _ = self.family.transition(state, slot, tasks)
            total = total + reward
        return total

    def on_episode_start(self, state: Pulse) -> Pulse:
        """Return the same pulses at the first slot."""
        return Pulse(state.drive, 0)

    def act(self, state: Pulse, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Pulse]:
        """Return the drives of the current slot."""
        drive = state.drive[:, min(state.step, self.horizon - 1), None]
        return drive.expand(-1, observation.shape[1], -1), Pulse(state.drive, state.step + 1)

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def adapt(self, state: Pulse, rollout: Rollout) -> Pulse:
        """Return the state unchanged."""
        return state


def build(config: Config, context: BuildContext) -> Grape:
    """Return the reference agent."""
    return Grape(config, context)
