"""The best pulses for qubits by gradient ascent through their exact dynamics: what is to be had on a known device.

GRAPE (Khaneja et al. 2005, Optimal control of coupled spin dynamics), with the gradient of the fidelity through all the
slots at once, and Adam (Kingma and Ba 2015) in place of a fixed step size. Told the task, it has a pulse of its own for
each: a bound for all that have to find out, but for local optima. With `told` off there is one pulse, the best on
average over train tasks: what those reach who neither find out nor look.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.references.shared.trial import known_family
from envs import Tasks
from envs.qubit_control import QubitControl

FAMILIES = ("qubit_control",)


@dataclass(frozen=True)
class Config(Options):
    """Options of the ascent."""

    told: bool = True
    """A pulse for each task, of which it is told; else one for all."""
    iterations: int = 100
    """Steps of the ascent [gradient steps] (ours)."""
    step_size: float = 0.1
    """Adam's at the first step, from where it decays linearly to 0 [full drive] (ours)."""
    starts: int = 2
    """Random pulses that the ascent begins from; the best end counts, task by task (ours)."""
    train_tasks: int = 100
    """Tasks that the one pulse is to be good for on average; without effect if told (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("iterations", "starts", "train_tasks"), lambda value: value >= 1, "at least 1")
        self.require(("step_size",), lambda value: 0 < value < math.inf, "finite and positive")


@dataclass(frozen=True)
class Pulse:
    """The drive of each slot [task, time, act], and slots of the episode so far."""

    drive: Tensor
    step: int


class Grape:
    """A privileged adapter: `reveal_tasks` shows it the tasks; it acts by the step of the episode
    (`agents.core.rollout`)."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        family = known_family("grape", context, QubitControl)
        self.config, self.device, self.horizon = config, context.device, family.horizon
        (self.n_controls,) = family.action_space.shape or ()
        # Estimates from shots have no gradient; their mean has.
        self.family = QubitControl(replace(family.config, shots=0))

    def begin(self, n_tasks: int, n_envs: int) -> Pulse:
        """No drive."""
        return Pulse(torch.zeros(n_tasks, self.horizon, self.n_controls, device=self.device), 0)

    def reveal_tasks(self, state: Pulse, tasks: Tasks) -> Pulse:
        """The pulses for these tasks."""
        if self.config.told:
            drive = self.best_pulses(tasks.to(self.device), shared=False)
        else:
            train = self.family.sample(self.config.train_tasks, "train", np.random.default_rng(0))
            drive = self.best_pulses(train.to(self.device), shared=True).expand(len(tasks), -1, -1)
        return Pulse(drive.float(), 0)

    def best_pulses(self, tasks: Tasks, *, shared: bool) -> Tensor:
        """The drives [task, time, act] of the largest return in each task, or [1, time, act] on average."""
        generator = torch.Generator().manual_seed(0)
        ends = [self._ascend(tasks, 1 if shared else len(tasks), generator) for _ in range(self.config.starts)]
        returns = torch.stack([value for _, value in ends])  # [start, pulse]
        best = returns.argmax(0)
        return torch.stack([ends[int(start)][0][i] for i, start in enumerate(best)])

    def _ascend(self, tasks: Tasks, n_pulses: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where an ascent ends: the drives [pulse, time, act], and their returns [pulse]."""
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
                drive.clamp_(-1, 1)  # beyond that there is no gradient
        with torch.no_grad():
            return drive.detach(), self.returns(drive, tasks).reshape(n_pulses, -1).mean(1)

    def returns(self, drive: Tensor, tasks: Tasks) -> Tensor:
        """Of an episode of each task [task] under its drive, or under the only one."""
        state = self.family.initial_state(tasks, torch.Generator(self.device))
        total = torch.zeros(len(tasks), dtype=torch.float64, device=self.device)
        for slot in drive.expand(len(tasks), -1, -1).unbind(1):
            state, reward, _ = self.family.transition(state, slot, tasks)
            total = total + reward
        return total

    def on_episode_start(self, state: Pulse) -> Pulse:
        """The same pulses from their start."""
        return Pulse(state.drive, 0)

    def act(self, state: Pulse, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Pulse]:
        """The drives of the slot."""
        now = state.drive[:, min(state.step, self.horizon - 1), None]
        return now.expand(-1, observation.shape[1], -1), Pulse(state.drive, state.step + 1)

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def adapt(self, state: Pulse, rollout: Rollout) -> Pulse:
        """Return the state unchanged."""
        return state


def build(config: Config, context: BuildContext) -> Grape:
    """The reference."""
    return Grape(config, context)
