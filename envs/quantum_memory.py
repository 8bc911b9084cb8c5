"""Quantum memory: decide from qubit registers that arrive one after another, none of which can be read.

Datasheet follows.

## Task parameters

| Parameter | Nominal | Train, test | OOD          | Unit | Meaning |
|-----------|---------|-------------|--------------|------|---------|
| frame     | 0       | {0}         | no ood split | rad  | angle of RZ on register B |

## Source

See docs.
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
from qrl.circuits.registers import Registers
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.options import check_literals, only_with
from qrl.simulator.kernels import as_parts

Mode = Literal["symmetry", "match", "same", "one_shot", "purity"]
Frame = Literal["none", "rz"]

MAX_QUBITS = 3
"""Largest number of qubits of a register."""

DEFAULT_COPIES = 2
"""Registers of an episode of `purity`, unless the option says otherwise."""

MAX_DIMENSION = 2**10
"""Largest dimension of all registers of an episode together: exact density matrices then take 16 MiB each."""

PURITY_BOUNDS: dict[tuple[int, int], float] = {}


@dataclass(frozen=True)
class Config:
    """Options of the tasks on quantum data."""

    mode: Mode = "match"
    """What to decide."""
    n_qubits: int = 1
    """Qubits of each register, at most 3 [qubits]."""
    copies: int | None = field(default=None, metadata=only_with(mode="purity"))
    """Registers of an episode of purity, at least 2 [registers]; 2 if not given. Other modes fix the number."""
    frame: Frame = "none"
    """Frame."""
    horizon: int | None = None
    """Length of an episode [steps]; the mode fixes it, one step per register, and no other value is accepted."""

    def __post_init__(self) -> None:
        check_literals(self, "quantum_memory")
        check_count("quantum_memory: n_qubits", self.n_qubits, most=MAX_QUBITS)
        if self.copies is not None:
            if self.mode != "purity":
                raise UsageError(f"quantum_memory: copies applies to mode purity only, not to {self.mode}")
            check_count("quantum_memory: copies", self.copies, least=2)
        if self.frame != "none" and (self.mode, self.n_qubits) != ("symmetry", 1):
            found = f"{self.mode} with {self.n_qubits} qubits"
            raise UsageError(f"quantum_memory: frame {self.frame} needs mode symmetry with 1 qubit, not {found}")
        if self.n_qubits * self.n_registers > math.log2(MAX_DIMENSION):
            raise UsageError("quantum_memory: too large")
        if self.horizon is not None:
            most = check_count("quantum_memory: horizon [steps]", self.horizon)
            if most != self.n_registers:
                raise UsageError(f"quantum_memory: horizon must be {self.n_registers} in mode {self.mode}, not {most}")

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


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return QuantumMemory(config)


class QuantumMemory(TorchTasks):
    """Tasks on quantum data; the datasheet is at the top of the file.

    State: steps so far, the right answer, then the parts of the amplitudes of each delivery.
    """

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

    # -- the best success rates ----------------------------------------------------------------------------------------

    def case_states(self) -> tuple[Complex128[np.ndarray, "D D"], Complex128[np.ndarray, "D D"]]:
        """Return the mean density matrix of all registers of an episode in each case, without a frame; D = d^n."""
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
    def quantum_optimum(self) -> float:
        """Success rate of the best agent with a coherent memory (Helstrom bound), told the frame if there is one."""
        d, n = self.registers.dim, self.registers.n_registers
        match self.config.mode:
            case "symmetry":
                return 1.0
            case "match":
                return 0.75
            case "same":
                return 1 / 2 + (d - 1) / (4 * d)
            case "one_shot":
                return 1 / 2 + math.sqrt(3) * (d - 1) / (6 * d)
            case "purity":
                return 1 - math.comb(d + n - 1, n) / (2 * d**n)

    @property
    def classical_ceiling(self) -> Ceiling:
        """Largest success rate of any agent with a classical memory, in every episode, even if told the frame."""
        d, n = self.registers.dim, self.registers.n_registers
        match self.config.mode:
            case "symmetry":
                return Ceiling(1 / 2 + 1 / (d + 1), "exact")
            case "match":
                return Ceiling(1 / 2 + 1 / (2 * (d + 1)), "exact")
            case "one_shot":
                return Ceiling(1 / 2 + math.sqrt(1 - 1 / d) / (2 * (d + 1)), "exact")
            case "purity" if n > 2:
                return Ceiling(PURITY_BOUNDS[self.config.n_qubits, n], "bound")
            case _:
                return Ceiling(1 / 2 + (d - 1) / (2 * d * (d + 1)), "exact")

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
