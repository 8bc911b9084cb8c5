"""Policies on registers in double precision, and all histories of a trial as recorded trials."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qrl.circuits.registers import Registers
from qrl.models.coherent import Config
from qrl.models.shared.register_cell import RegisterCell, Storage
from qrl.policies.coherent import CoherentPolicy, make_coherent_policy
from qrl.policies.heads import Distribution
from qrl.policies.policy import bind
from qrl.policies.registers import Evolved
from qrl.simulator.kernels import as_parts
from tests.support.double_precision import seeded
from tests.support.register_povm import Matrix, Outcomes, Unitary, branches

PAIR = Registers(1, 2, entangled=True)


def policy(
    registers: Registers = PAIR, *, episodes: int = 0, seed: int = 0, depolarising: float = 0.0, **options: Any
) -> CoherentPolicy:
    """Build a policy in double precision; with `episodes`, one that observes transitions and has a critic."""
    made = make_coherent_policy(
        "coherent",
        Config(**options),
        registers,
        gymnasium.spaces.Discrete(2),
        trial_steps=episodes * registers.n_registers,
        generator=seeded(seed),
    ).double()
    cell = cell_of(made)
    cell.storage = Storage(cell.storage.dephasing, depolarising)
    return made


def cell_of(made: CoherentPolicy) -> RegisterCell:
    """Cell of a policy."""
    assert isinstance(made.cell, RegisterCell)
    return made.cell


def answer_table(cell: RegisterCell) -> Tensor:
    """Parameter with the logits of the answers after each outcome [outcome, answer]."""
    return next(value for name, value in cell.named_parameters() if name.endswith("table"))


# --- exact probabilities of an episode -------------------------------------------------------------------------------


def static_unitary(cell: RegisterCell) -> Unitary:
    """Unitaries of a cell whose angles do not depend on outcomes."""
    unitaries = cell.circuit.unitary(cell.angles).detach().numpy()
    return lambda step, past: unitaries[step]


def elements(cell: RegisterCell, unitary: Unitary | None = None) -> dict[Outcomes, Matrix]:
    """POVM element on all registers of an episode, of every history of outcomes."""
    registers, measured = cell.registers, cell.measured
    sizes = (cell.circuit.n_memory, registers.dim, registers.n_registers)
    return dict(branches(unitary or static_unitary(cell), *sizes, measured, cell.storage))


def answer_probabilities(cell: RegisterCell) -> NDArray[np.float64]:
    """Probability of each answer after each outcome of the last step [outcome, answer]."""
    outcome = torch.arange(cell.n_outcomes)
    nothing = torch.zeros(cell.n_outcomes, 0, dtype=torch.float64)
    evolved = Evolved(torch.zeros(cell.n_outcomes, 1, 1, 1, dtype=torch.complex128), nothing, nothing)
    logits: Tensor = cell.logits(cell.bind(), cell.registers.n_registers - 1, outcome, evolved.hidden)
    return logits.detach().softmax(-1).numpy()


def answer_elements(cell: RegisterCell) -> tuple[Matrix, Matrix]:
    """POVM elements of the answers 0 and 1 of a cell without classical memory."""
    answers = answer_probabilities(cell)
    found = elements(cell)
    return tuple(sum(answers[past[-1], a] * each for past, each in found.items()) for a in (0, 1))


def success_rate(cell: RegisterCell, cases: tuple[Matrix, Matrix]) -> float:
    """Exact success rate on two equally likely cases, of a cell without classical memory."""
    return float(sum(np.trace(m @ rho).real / 2 for m, rho in zip(answer_elements(cell), cases, strict=True)))


# --- recorded trials -------------------------------------------------------------------------------------------------


def haar_states(registers: Registers, n: int, seed: int = 0) -> Tensor:
    """Random joint states of all registers [n, D]; products where the registers are not entangled."""

    def draw(dim: int) -> Tensor:
        vectors = torch.randn(n, dim, dtype=torch.complex128, generator=generator)
        return vectors / vectors.norm(dim=-1, keepdim=True)

    generator = seeded(seed)
    if registers.entangled:
        return draw(registers.dim**registers.n_registers)
    total = draw(registers.dim)
    for _ in range(registers.n_registers - 1):
        total = (total[:, :, None] * draw(registers.dim)[:, None, :]).flatten(1)
    return total


def observations(registers: Registers, state: Tensor) -> Tensor:
    """Observations of an episode [time, lane, obs] of joint states [lane, D] (products, unless entangled)."""
    n, lanes = registers.n_registers, len(state)
    seen = torch.zeros(n, lanes, registers.shape[-1], dtype=torch.float64)
    seen[..., registers.arriving] = torch.eye(n, dtype=torch.float64)[:, None]
    if registers.entangled:
        seen[0, :, registers.amplitudes] = as_parts(state)
        return seen
    for t in range(n):
        matrix = state.unflatten(1, (registers.dim**t, registers.dim, -1)).movedim(2, 1).flatten(2)
        # A product state has rank 1: its factor is the left singular vector, up to a phase.
        seen[t, :, registers.amplitudes] = as_parts(torch.linalg.svd(matrix, full_matrices=False).U[..., 0])
    return seen


@dataclass(frozen=True)
class Recorded:
    """Recorded trials [time, lane, ...]; all registers of an episode have the state `state[episode, lane]`."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    ended: Tensor


def every_history(made: CoherentPolicy, states: Tensor, correct: Sequence[int]) -> Recorded:
    """Record every history of a trial [time, history]: outcomes, answers and, if there are any, errors.

    Args:
        made: policy.
        states: joint state of the registers of each episode [episode, D].
        correct: right answer of each episode.
    """
    cell, n = cell_of(made), made.registers.n_registers
    errors = range(4**cell.circuit.n_memory) if cell.storage != Storage() else range(1)
    early = [(0, o, e) for o in range(len(cell.outcome_bits)) for e in errors]
    late = [(a, o, 0) for a in (0, 1) for o in range(cell.n_outcomes)]
    steps = [*[early] * (n - 1), late] * len(correct)
    action = torch.tensor(list(itertools.product(*steps))).movedim(0, 1)
    one = torch.cat([observations(made.registers, state[None]) for state in states])
    last = torch.arange(len(action)) % n == n - 1
    right = torch.tensor(correct).repeat_interleave(n)
    reward = (last & (action[..., 0] == right[:, None]).T).T.double()
    ended = last[:, None].expand(reward.shape)
    return Recorded(one.expand(-1, action.shape[1], -1), action, reward, ended)


def replayed(made: CoherentPolicy, recorded: Recorded, theta: dict[str, Tensor] | None = None) -> Distribution:
    """Distributions at all steps of recorded trials, with transitions as inputs if the policy observes them."""
    bound = bind(made, dict(made.named_parameters()) if theta is None else theta)
    inputs = inputs_of(made, recorded) if made.has_critic else recorded.observation
    return made.evaluate(bound, inputs, recorded.action).distribution


def inputs_of(made: CoherentPolicy, recorded: Recorded) -> Tensor:
    """Inputs of every step: the observation and the transition before it."""
    after = made.transition_input(recorded.observation, recorded.action, recorded.reward, recorded.ended)
    first = made.initial_transition_input(*after.shape[1:2])
    return made.inputs(recorded.observation, torch.cat([first[None], after[:-1]]))


def error_law(cell: RegisterCell, error: Tensor) -> Tensor:
    """Probability of each error: Z on each wire with half the dephasing, or any Pauli alike if depolarised."""
    n, storage = cell.circuit.n_memory, cell.storage
    flips, phases = error >> n, error & (2**n - 1)
    n_phases = torch.stack([(phases >> w) & 1 for w in range(n)]).sum(0).double()
    dephased = (storage.dephasing / 2) ** n_phases * (1 - storage.dephasing / 2) ** (n - n_phases)
    return (1 - storage.depolarising) * (flips == 0).double() * dephased + storage.depolarising / 4**n


# --- exact success rate as a function of the parameters ---------------------------------------------------------------


@dataclass(frozen=True)
class ExactSuccess:
    """Success rate on two equally likely cases, by the policy's own log-probabilities of every history.

    Entangled registers only, since eigenvectors of the cases are delivered; no errors of the storage.
    """

    made: CoherentPolicy
    recorded: Recorded
    weight: Tensor
    """Probability of the eigenvector, if the answer is right, else 0; times the number of unrecorded answers."""

    def log_probs(self, theta: dict[str, Tensor] | None = None) -> Tensor:
        """Log-probability of every step [time, lane]."""
        distribution = replayed(self.made, self.recorded, theta)
        result: Tensor = self.made.head.log_prob(distribution, self.recorded.action)
        return result

    def __call__(self, theta: dict[str, Tensor] | None = None) -> Tensor:
        return (self.weight * self.log_probs(theta).sum(0).exp()).sum()


def exact_success(made: CoherentPolicy, cases: tuple[Matrix, Matrix]) -> ExactSuccess:
    """Record every history on every eigenvector of the mean states of both cases."""
    parts, weights = [], []
    for right, rho in enumerate(cases):
        values, vectors = np.linalg.eigh(rho)
        for value, vector in zip(values, vectors.T, strict=True):
            recorded = every_history(made, torch.as_tensor(vector, dtype=torch.complex128)[None], [right])
            parts.append(recorded)
            weights.append(value / 2 * recorded.reward[-1])
    fields = [torch.cat([getattr(p, f.name) for p in parts], 1) for f in dataclasses.fields(Recorded)]
    scale = 2 ** (made.registers.n_registers - 1)
    return ExactSuccess(made, Recorded(*fields), scale * torch.cat(weights))


def maximise_success(made: CoherentPolicy, cases: tuple[Matrix, Matrix], steps: int) -> None:
    """Train the policy by gradient ascent on its exact success rate."""
    success = exact_success(made, cases)
    adam = torch.optim.Adam(made.parameters(), lr=0.1)
    for _ in range(steps):
        adam.zero_grad()
        (-success()).backward()
        adam.step()
