"""Quantum memory: decide about simulated qubit registers that arrive one after another and that no agent can read.

## Description

The environment hands over a simulated quantum register in each step; no agent can read its amplitudes, only act on the
register and measure it. At the last register the agent answers which of two cases holds. A register that is not kept in
a coherent memory has to be measured before the next one arrives. The success rate of every agent with a classical
memory, of any size and training, is therefore limited below the optimum of a coherent memory.

| Mode       | Answer 0                           | Answer 1                               | Registers |
|------------|------------------------------------|----------------------------------------|-----------|
| `symmetry` | a vector of the symmetric subspace | a vector of the antisymmetric subspace | 2         |
| `match`    | ψ, ψ                               | ψ, φ with φ orthogonal to ψ            | 2         |
| `same`     | ψ, ψ                               | ψ, φ independent of each other         | 2         |
| `one_shot` | a, b, a                            | a, b, b                                | 3         |
| `purity`   | ψ in all `copies`                  | all `copies` maximally mixed           | `copies`  |

All vectors are Haar-random and drawn anew in each episode, and so is the case, by a fair coin. A maximally mixed
register is drawn as a random vector independent of all others, which no measurement can distinguish from it. The best
success rates, with d = 2^n the dimension of a register of n qubits and T the number of copies:

| Mode       | Coherent memory             | Classical memory                  |
|------------|-----------------------------|-----------------------------------|
| `symmetry` | 1                           | 1/2 + 1/(d + 1)                   |
| `match`    | 3/4                         | 1/2 + 1/(2(d + 1))                |
| `same`     | 1/2 + (d - 1)/(4d)          | 1/2 + (d - 1)/(2d(d + 1))         |
| `one_shot` | 1/2 + √3 (d - 1)/(6d)       | 1/2 + √(1 - 1/d)/(2(d + 1))       |
| `purity`   | 1 - C(d + T - 1, T)/(2 d^T) | as `same` for T = 2, else a bound |

The bound for T > 2 copies is the largest success rate of a test that has, as its complement has, a positive partial
transpose for every bipartition of the copies. Such tests include all measurements by local operations and classical
communication, so every classical memory; whether one attains the bound is not known.

With `frame` rz, the second register is turned by RZ of a hidden angle that is fixed in a task. A classical memory is
limited as without a frame, even if it knows the angle, since the turn is local. The optimum of a coherent memory that
does not know the angle is not known.

## Action space

`Discrete(2)`: the case. Only the action at the last register is the answer; earlier actions have no effect.

## Observation space

`qrl.circuits.registers.Registers`, for 1 qubit and 2 registers that are not entangled:

| Num  | Observation                                             | Min | Max | Unit |
|------|---------------------------------------------------------|-----|-----|------|
| 0-3  | the register that arrives, opaque: 2 complex amplitudes | -1  | 1   | -    |
| 4, 5 | 1 for the number of the arriving register, else 0       | 0   | 1   | -    |

In `symmetry` the registers are entangled: the simulation delivers the joint amplitudes of both with the first one, and
zeros with the second. Only models that act on registers can be built for this family.

## Task parameters

| Parameter | Nominal | Train, test | OOD          | Unit | Meaning                            |
|-----------|---------|-------------|--------------|------|------------------------------------|
| frame     | 0       | {0}         | no ood split | rad  | angle of RZ on the second register |

With `frame` rz the angle is U[-π, π]; otherwise there is a single task, and only the cases vary.

## Rewards

1 at the last register for the right answer, else 0.

## Starting state

The case and the state of all registers of the episode; the observation is the first register.

## Episode end

Termination after the answer: 2 steps, in `one_shot` 3, in `purity` the number of copies. The last observation is zero.

## Source

Learning from quantum data with and without a quantum memory, and `purity`: S. Chen, J. Cotler, H.-Y. Huang, J. Li,
arXiv:2111.05881 (2021); H.-Y. Huang et al., "Quantum advantage in learning from experiments", Science 376 (2022).
Limits from positive partial transposes, as for `symmetry`: D. DiVincenzo, D. Leung, B. Terhal, "Quantum data hiding",
arXiv:quant-ph/0103098. Discrimination from examples, as in `one_shot`: G. Sentís et al., arXiv:1106.2742. The
distributions of tasks, the hidden frame and the success rates were derived for this library; its tests verify them.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Complex128, Float64
from torch import Tensor
from torch.nn.functional import one_hot

from envs import Choice, Range, Tasks, TorchTasks, Uniform
from envs.core.quantum_data import Ceiling
from envs.dynamics import registers
from envs.dynamics.bloch import draw_bloch_vectors
from envs.dynamics.drawing import RED, Picture
from envs.dynamics.memory_limits import Mode, classical_ceiling, coherent_optimum, most_copies, storage_threshold
from qrl.circuits.registers import Registers
from qrl.common.checks import check_count, check_in_unit_interval
from qrl.common.errors import UsageError
from qrl.common.options import check_literals, only_with
from qrl.simulator.kernels import as_complex, as_parts

Frame = Literal["none", "rz"]

MAX_QUBITS = 3
"""Largest number of qubits of a register."""

MODEL = "coherent"
"""Default model of all agents."""

EVAL_TASKS = 500
"""Default number of test tasks; with 40 trials of each, an evaluation has the 20,000 episodes of a certificate."""

DEFAULT_CURRICULUM = 0.35
"""Fraction of the training in which hidden angles grow, unless the option says otherwise."""

DEFAULT_COPIES = 2
"""Registers of an episode of `purity`, unless the option says otherwise."""


@dataclass(frozen=True)
class Config:
    """Options of the tasks on quantum data."""

    mode: Mode = "match"
    """Decision: symmetry of a pair under exchange; match, equal or orthogonal; same, equal or independent; one_shot,
    which of two examples; purity, copies of a pure state or mixed (Chen et al. 2021). The default is ours."""
    n_qubits: int = 1
    """Qubits of each register, at most 3 [qubits]; ours."""
    copies: int | None = field(default=None, metadata=only_with(mode="purity"))
    """Registers of an episode of purity [registers]; none given: 2. Other modes fix the number. Ours."""
    frame: Frame = "none"
    """Hidden turn of the second register, fixed in a task: none, or rz (mode symmetry with one qubit only); ours."""
    curriculum: float = field(default=DEFAULT_CURRICULUM, metadata=only_with(frame="rz"))
    """Fraction of the training in which the hidden angles of train tasks grow from 0 to their full range, in [0, 1]
    (curriculum learning, Bengio et al. 2009; the value is ours). Test tasks always have the full range."""
    horizon: int | None = None
    """Length of an episode [steps]: one step for each register. The mode fixes it; no other value is accepted."""

    def __post_init__(self) -> None:
        check_literals(self, "quantum_memory")
        check_count("quantum_memory: n_qubits", self.n_qubits, most=MAX_QUBITS)
        if self.copies is not None:
            self._check_copies(self.copies)
        if self.frame != "none" and (self.mode, self.n_qubits) != ("symmetry", 1):
            found = f"mode {self.mode} with n_qubits {self.n_qubits}"
            raise UsageError(f"quantum_memory: frame {self.frame} needs mode symmetry with n_qubits 1, not {found}")
        check_in_unit_interval("quantum_memory: curriculum", self.curriculum)
        if self.frame == "none" and self.curriculum not in (0, DEFAULT_CURRICULUM):
            raise UsageError("quantum_memory: curriculum needs a hidden frame to vary; use frame rz")
        if self.horizon is not None:
            steps = check_count("quantum_memory: horizon [steps]", self.horizon)
            if steps != self.n_registers:
                fixed = f"{self.n_registers}, one step for each register of mode {self.mode}"
                raise UsageError(f"quantum_memory: horizon [steps] must be {fixed}, not {steps}")

    def _check_copies(self, copies: int) -> None:
        if self.mode != "purity":
            raise UsageError(f"quantum_memory: copies applies to mode purity only; mode {self.mode} fixes the number")
        check_count("quantum_memory: copies", copies, least=2)
        most = most_copies(self.n_qubits)
        if copies > most:
            why = "beyond which no bound on classical memories has been computed"
            raise UsageError(
                f"quantum_memory: copies must be at most {most} with n_qubits {self.n_qubits}, {why}, not {copies}"
            )

    @property
    def n_registers(self) -> int:
        """Registers of an episode, one per step."""
        match self.mode:
            case "purity":
                return DEFAULT_COPIES if self.copies is None else self.copies
            case "one_shot":
                return 3
            case _:
                return 2


def default_agent(config: Config) -> tuple[str, str]:
    """Return RL^2 with a coherent memory, which keeps registers unmeasured."""
    return "rl2", "coherent"


def default_run(config: Config, agent: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return default options of runs and of the agent, by the mode and the frame (ours)."""
    fields: dict[str, object] = {"eval_tasks": EVAL_TASKS, "iterations": 120}
    if agent == "maml":
        options: dict[str, object] = {"episodes": 40, "meta_batch": 40, "inner_steps": 2, "lr_angles": 0.02}
        return fields | {"iterations": 200}, options
    if agent == "rl2" and config.frame != "none":
        # A lambda of 1 credits outcomes with the noise of all later episodes, a small one not with what they tell about
        # the angle. Without an entropy bonus, answers are certain before the angles grow, and do not change afterwards.
        trials: dict[str, object] = {"episodes": 10, "meta_batch": 1000, "minibatches": 2}
        return fields | {"iterations": 600}, trials | {
            "gae_lambda": 0.9,
            "entropy_bonus": 0.3,
            "entropy_schedule": "linear",
        }
    if agent == "rl2" and config.n_registers > 2:
        # Rewards begin to rise only after the iterations of a restart.
        return fields | {"iterations": 240}, {"minibatches": 2, "restarts": 1}
    return fields, {}


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return QuantumMemory(config)


class QuantumMemory(TorchTasks):
    """Tasks on quantum data; the datasheet is at the top of the file.

    State: steps so far, the right answer, then the parts of the amplitudes of each delivery.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.registers = Registers(config.n_qubits, config.n_registers, entangled=config.mode == "symmetry")
        frames: Range = Uniform(-math.pi, math.pi) if config.frame == "rz" else Choice((0.0,))
        super().__init__(
            name="quantum_memory",
            horizon=config.n_registers,
            observation_space=self.registers,
            action_space=gym.spaces.Discrete(2),
            observation_scale=[1.0] * self.registers.shape[0],
            parameters={"frame": frames},
            nominal={"frame": 0.0},
            skip_sensitivity_check=("frame",) if config.frame == "none" else (),
        )

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for a frame that would have no effect."""
        tasks = super().check_tasks(tasks, n_tasks)
        if self.config.frame == "none" and bool((tasks.frame != 0).any()):
            raise UsageError("quantum_memory: frame of a task must be 0 [rad] with the option frame none; use frame rz")
        return tasks

    def ease(self, tasks: Tasks, progress: float) -> Tasks:
        """Return train tasks with the angles of this progress of training, in [0, 1]; see `Config.curriculum`."""
        share = 1.0 if progress >= self.config.curriculum else progress / self.config.curriculum
        return Tasks({"frame": share * tasks.frame})

    # -- the best success rates ----------------------------------------------------------------------------------------

    def case_states(self) -> tuple[Complex128[np.ndarray, "D D"], Complex128[np.ndarray, "D D"]]:
        """Return the mean density matrix of all registers of an episode in each case, at frame 0; D = d^registers."""
        dim, n = self.registers.dim, self.registers.n_registers
        pair, all_mixed = registers.copies_state(dim, 2), registers.mixed(dim**n)
        match self.config.mode:
            case "symmetry":
                antisymmetric = np.eye(dim**2) - registers.symmetric_projector(dim, 2)
                return pair, antisymmetric / antisymmetric.trace()
            case "match":
                return pair, (dim * all_mixed - pair) / (dim - 1)
            case "one_shot":
                return registers.insert_mixed(pair, dim, 1), registers.insert_mixed(pair, dim, 0)
            case "same" | "purity":
                return registers.copies_state(dim, n), all_mixed

    @property
    def quantum_optimum(self) -> float | None:
        """Success rate of the best agent with a coherent memory; None with a hidden frame, where it is not known."""
        if self.config.frame != "none":
            return None
        return coherent_optimum(self.config.mode, self.registers.n_qubits, self.registers.n_registers)

    @property
    def classical_ceiling(self) -> Ceiling:
        """Largest success rate of any agent with a classical memory, in every episode, even if it knows the frame."""
        return classical_ceiling(self.config.mode, self.registers.n_qubits, self.registers.n_registers)

    @property
    def storage_threshold(self) -> float | None:
        """Noise of the stored register at which the best coherent memory reaches the ceiling, for a pair."""
        return storage_threshold(self.registers.n_qubits, self.registers.n_registers)

    # -- dynamics ------------------------------------------------------------------------------------------------------

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the case and the registers of an episode."""
        uniform = torch.rand(len(tasks), dtype=torch.float64, generator=generator, device=generator.device)
        answer = (uniform < 0.5).to(torch.float64)
        parts = as_parts(self.draw(answer == 1, tasks, generator)).flatten(1)
        return torch.cat([torch.zeros_like(answer)[:, None], answer[:, None], parts], dim=1)

    def draw(
        self, second: Bool[Tensor, " lane"], tasks: Tasks, generator: torch.Generator
    ) -> Complex128[Tensor, "lane delivery amplitude"]:
        """Draw the amplitudes of each delivery, in the second case where `second`, else in the first."""
        lanes, dim, n = len(second), self.registers.dim, self.registers.n_registers
        choose = second[:, None]
        if self.config.mode == "symmetry":
            sign = torch.where(second, -1.0, 1.0).double()
            pairs = registers.exchange_eigenvectors(registers.gaussian_vectors((lanes, dim, dim), generator), sign)
            if self.config.frame == "rz":
                pairs = registers.turn_second_qubit(pairs, tasks.frame)
            return pairs.flatten(1)[:, None]
        drawn = registers.haar_vectors((lanes, n, dim), generator)
        first, rest = drawn[:, 0], drawn[:, 1:]
        match self.config.mode:
            case "match":
                other = registers.orthogonal_part(rest[:, 0], first)
                return torch.stack([first, torch.where(choose, other, first)], dim=1)
            case "one_shot":
                return torch.stack([first, rest[:, 0], torch.where(choose, rest[:, 0], first)], dim=1)
            case _:
                return torch.cat([first[:, None], torch.where(choose[..., None], rest, first[:, None])], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return what arrives in this step; zeros after the last register."""
        n, deliveries = self.registers.n_registers, self.registers.n_deliveries
        # Finished lanes are stepped too, and their results ignored; without the clamp the index would be out of range.
        flags = one_hot(state[:, 0].long().clamp_max(n), n + 1)[:, :n].to(state.dtype)
        parts = state[:, 2:].unflatten(1, (deliveries, -1))
        return torch.cat([(flags[:, :deliveries, None] * parts).sum(1), flags], dim=1)

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Go to the next register; the action at the last register is the answer."""
        step = state[:, 0] + 1
        ended = step >= self.horizon
        reward = (ended & (action == state[:, 1])).to(torch.float64)
        return torch.cat([step[:, None], state[:, 1:]], dim=1), reward, ended

    # -- rendering -----------------------------------------------------------------------------------------------------

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the Bloch vector of each qubit of the arriving register, seen along y and along z.

        After the last register there are none.
        """
        step, n_qubits = int(state[0, 0]), self.registers.n_qubits
        if step >= self.registers.n_registers:
            return draw_bloch_vectors({}, n_qubits)
        delivered = as_complex(state[0, 2:].unflatten(0, (self.registers.n_deliveries, -1)))
        delivery, first = (0, step * n_qubits) if self.registers.entangled else (step, 0)
        vectors = registers.bloch_vectors(delivered[delivery])[first : first + n_qubits]
        return draw_bloch_vectors({RED: vectors}, n_qubits)
