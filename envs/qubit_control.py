"""Qubit control: steer 1 to 3 qubits of unknown calibration to a target state by piecewise-constant pulses.

## Description

The qubits of a device start in |0...0> and should be in a target state after 20 slots of 25 ns. In each slot a drive of
constant amplitude and phase acts on every qubit. The device drifts from task to task: the qubits are detuned from their
drives, the drives have amplitude errors and rotated axes, and decay and coupling change. No pulse is right for all
tasks, as the axis of each drive is unknown; the first episodes have to identify it. The agent thus has to learn to
recalibrate a device within a few episodes.

In the frame that rotates with the drives, the Hamiltonian of a slot is

    H = Σ_q [ω_q Z_q + Ω_q (x_q X_q + y_q Y_q)] / 2 + Σ_q J_q Z_q Z_q+1 / 4

ω_q = 2π detuning, J_q = 2π coupling, Ω_q = 2π · 1 MHz · (1 + amplitude); (x_q, y_q) is the action rotated by `phase`.
A full drive along one axis rotates a qubit by 9° in a slot, and by 180° in an episode. This is not enough for composite
pulses, which achieve robustness at the cost of several turns. The qubits form a chain. Their coupling is ZZ: qubits
with separate drives differ in frequency by much more than their coupling strength, so that an exchange XX + YY averages
out in this frame, and the residual interaction shifts one qubit's frequency by the state of the other. Decay is
Markovian (Lindblad equation): relaxation from 1 to 0 at the rate 1 / t1, and pure dephasing at 1 / t_phi, so that
1 / T2 = 1 / (2 t1) + 1 / t_phi. A slot is solved to 1e-13 (tests compare with other solvers).

On the 100 test tasks, gradient ascent through the dynamics of the known device (agent `grape`) reaches a mean fidelity
of 0.994, and of 0.991 in the worst tenth; the pulse with the best mean fidelity on train tasks reaches 0.49 (`grape`
with `per_task` off).

## Action space

`Box(-1, 1, (2,), float32)`: x and y of the first qubit's drive in units of the full amplitude, then those of the next
(2 for each of `n_qubits`). Larger actions are clipped.

## Observation space

| Num | Observation                                       | Min | Max | Unit |
|-----|---------------------------------------------------|-----|-----|------|
| 0   | <Z>, the expectation value after the slots so far | -1  | 1   |      |
| 1   | Time left, as a fraction of the episode           | 0   | 1   |      |

With several qubits the observation has <Z> of each qubit, then <ZZ> of each pair, then the time. These are the values
that the readout of a device gives; reading out the phase of a superposition needs another pulse, of the drive that is
to be calibrated. With `observe` `pauli` the observation has all Pauli words of one and two letters (X, Y, Z of each
qubit, then XX, XY, ..., ZZ of each pair), as if every basis could be read out without errors: within an episode a
policy can then observe the rotation of a qubit by its drive, and has less to adapt. With `time` the observation is the
time alone, and a policy is a pulse.

With `shots` each observed number, and the fidelity in the reward, is an estimate from its own `shots` shots (a binomial
count of outcomes). On a device a measurement ends the experiment: an observation after slot k takes `shots` runs of the
first k slots, for each number that cannot be read out together with others. An episode with `z` thus stands for
20 · `shots` runs (all Z are read out together, which correlates their errors; this correlation is not simulated), with
`pauli` for 20 · 3^`n_qubits` · `shots` runs, one set for each basis, with `time` for none. The fidelity adds `shots`
runs, if measured by rotating the target back to |0...0>.

## Task parameters

| Parameter | Nominal | Train, test              | OOD              | Unit | Meaning                             |
|-----------|---------|--------------------------|------------------|------|-------------------------------------|
| detuning  | 0       | 1 × U[-1, 1]             | 1 × ±U[1, 1.5]   | MHz  | of a qubit from its drive           |
| amplitude | 0       | 1 × U[-0.2, 0.2]         | 1 × ±U[0.2, 0.3] |      | relative error of the drive         |
| phase     | 0       | 1 × U[-3.14159, 3.14159] | as in train      | rad  | by which the drive's axis is turned |
| t1        | 30      | 1 × logU[10, 50]         | 1 × logU[5, 10]  | us   | of the decay from 1 to 0            |
| t_phi     | 30      | 1 × logU[10, 50]         | 1 × logU[5, 10]  | us   | of the decay of the coherence alone |
| coupling  | 2       | U[1.5, 2.5]              | U[2.5, 3]        | MHz  | of each qubit to the next, if any   |

Each qubit has its own parameters, and each pair of neighbours, if any, has a coupling. Frequencies are in turns: 1 MHz
is 2π rad/us. The phase is the phase of the drive relative to the frame in which the target is stated, such as the frame
of another drive line. The phase has no other effect, and no effect on the target `flip`.

## Rewards

The fidelity <ψ|ρ|ψ> with the target after the last slot, and 0 before: the return is the fidelity. With `reward`
`every` the reward is the fidelity after each slot.

Targets: `plus`, (|0> + |1>) / √2 on each qubit; `flip`, |1...1>; `ghz`, (|0...0> + |1...1>) / √2, which is a Bell state
for two qubits and equals `plus` for one.

## Starting state

|0...0>. With `shots` the state of a random number generator is drawn for each measured number.

## Episode end

Truncation: the horizon, 20 slots (0.5 us) by default. There is no termination.

## Pictures

A column for each qubit shows its Bloch vector, seen along y with z up, and below seen along z with y up: the qubit red,
the target green. The Bloch vector of an entangled qubit is short.

## Source

The control problem and its solution for a known device: N. Khaneja et al., "Optimal control of coupled spin dynamics:
design of NMR pulse sequences by gradient ascent algorithms", J. Magn. Reson. 172, 296 (2005). Closed-loop calibration
of an inexactly known device: D. Egger and F. Wilhelm, "Adaptive hybrid optimal quantum control for imprecisely
characterized systems", Phys. Rev. Lett. 112, 240503 (2014). The family of tasks is this library's own.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import LogUniform, Range, SignedUniform, Tasks, TorchTasks, Uniform
from envs.dynamics.bloch import draw_bloch_vectors
from envs.dynamics.drawing import GREEN, RED, Picture
from envs.dynamics.measurement import estimates
from envs.dynamics.per_lane_rng import init_rng_state
from envs.dynamics.qubits import (
    MAX_QUBITS,
    NamedState,
    bloch_vectors,
    evolve,
    generators,
    named_state,
    norm_bound,
    taylor_order,
    vector_of,
    word_indices,
)
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError

RABI = 1.0
"""Rabi frequency: turns of a qubit per unit of time under a full drive along one axis [MHz]."""

SLOT = 0.025
"""Time between two actions [us]."""

MAX_SHOTS = 100_000
"""Upper bound: an expectation value is then known to 0.003, and more shots would only take memory [shots]."""

MAX_STEP_NORM = 1.0
"""Largest change of a state's vector in a slot [per qubit]: bound on the generator's norm times the slot's duration."""

Observe = Literal["z", "pauli", "time"]
Reward = Literal["final", "every"]

LETTERS: dict[Observe, tuple[int, ...]] = {"z": (3,), "pauli": (1, 2, 3), "time": ()}
"""Pauli letters of the words whose expectation values are observed."""


@dataclass(frozen=True)
class Config:
    """Options of qubit control."""

    n_qubits: int = 1
    """Number of qubits in the chain, at most 3 [qubits]; ours."""
    target: NamedState = "plus"
    """Target state: plus, (|0> + |1>) / √2 on each qubit; flip, |1...1>; ghz, (|0...0> + |1...1>) / √2; ours."""
    observe: Observe = "z"
    """Observed expectation values: z, of Z and ZZ; pauli, of Pauli words of one and two letters; time, none; ours."""
    reward: Reward = "final"
    """Slots with the fidelity as reward: final, the last slot only; every, each slot; ours."""
    shots: int = 0
    """Shots for each measured number, including the reward [shots]; 0: exact values; ours."""
    horizon: int = 20
    """Length of an episode [slots of 25 ns]; ours."""

    def __post_init__(self) -> None:
        check_count("qubit_control: horizon [slots]", self.horizon)
        check_count("qubit_control: n_qubits", self.n_qubits, most=MAX_QUBITS)
        check_count("qubit_control: shots", self.shots, least=0, most=MAX_SHOTS)
        check_choice("qubit_control", "target", self.target, get_args(NamedState))
        check_choice("qubit_control", "observe", self.observe, get_args(Observe))
        check_choice("qubit_control", "reward", self.reward, get_args(Reward))


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return QubitControl(config)


class QubitControl(TorchTasks):
    """Qubit control; the datasheet is at the top of the file.

    State: slots so far, then the vector of the density matrix (see `envs.dynamics.qubits`). With shots the state also
    has the estimates of the measured numbers, the fidelity last, and for each estimate the state of a random number
    generator, two numbers.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.config, self.n_qubits = config, config.n_qubits
        self.words = word_indices(LETTERS[config.observe], config.n_qubits)
        self.order = taylor_order(MAX_STEP_NORM * config.n_qubits)
        each, pairs = (config.n_qubits,), (config.n_qubits - 1,)
        parameters: dict[str, Range] = {
            "detuning": Uniform(-1.0, 1.0, shape=each),
            "amplitude": Uniform(-0.2, 0.2, shape=each),
            "phase": Uniform(-math.pi, math.pi, shape=each),
            "t1": LogUniform(10.0, 50.0, shape=each),
            "t_phi": LogUniform(10.0, 50.0, shape=each),
        }
        ood: dict[str, Range] = {
            "detuning": SignedUniform(1.0, 1.5, shape=each),
            "amplitude": SignedUniform(0.2, 0.3, shape=each),
            "t1": LogUniform(5.0, 10.0, shape=each),
            "t_phi": LogUniform(5.0, 10.0, shape=each),
        }
        nominal = {"detuning": 0.0, "amplitude": 0.0, "phase": 0.0, "t1": 30.0, "t_phi": 30.0}
        if config.n_qubits > 1:
            parameters["coupling"], ood["coupling"] = Uniform(1.5, 2.5, shape=pairs), Uniform(2.5, 3.0, shape=pairs)
            nominal["coupling"] = 2.0
        high = np.ones(len(self.words) + 1, dtype=np.float32)
        low = np.append(-high[1:], np.float32(0.0))
        # Rotating all drives about z rotates the state about z, without effect on <Z> and the fidelity with |1...1>.
        phase_unobservable = config.target == "flip" and config.observe != "pauli"
        super().__init__(
            name="qubit_control",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(low, high),
            action_space=gym.spaces.Box(-1.0, 1.0, (2 * config.n_qubits,)),
            observation_scale=[1.0] * len(high),
            parameters=parameters,
            ood=ood,
            nominal=nominal,
            positive=("t1", "t_phi"),
            skip_sensitivity_check=("phase",) if phase_unobservable else (),
        )
        start = torch.zeros(2**config.n_qubits, dtype=torch.complex128)
        start[0] = 1.0
        self._start = vector_of(start)
        self.target = vector_of(named_state(config.target, config.n_qubits)) / 2**config.n_qubits
        """Vector of the target [word]; its inner product with a state's vector is the fidelity."""

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for rates too large to solve a slot precisely."""
        tasks = super().check_tasks(tasks, n_tasks)
        full = torch.ones(n_tasks, 2 * self.n_qubits, dtype=torch.float64, device=tasks.phase.device)
        step_norm = SLOT * norm_bound(*self.rates(full, tasks))
        most = MAX_STEP_NORM * self.n_qubits
        if bool((step_norm > most).any()):
            i = int(step_norm.argmax())
            raise UsageError(
                f"qubit_control: task {i}: detuning, amplitude, coupling, 1/t1 and 1/t_phi change the state by "
                f"{float(step_norm[i]):.3g} rad in a slot of {1000 * SLOT:g} ns; at most {most:g} can be solved"
            )
        return tasks

    # -- dynamics ------------------------------------------------------------------------------------------------------

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return the state |0...0>."""
        lanes, device = len(tasks), generator.device
        vector = self._start.to(device).expand(lanes, -1)
        rng_state = vector[:, :0]
        if self.config.shots:
            shape = (lanes * self.n_measured, 2)
            drawn = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
            rng_state = init_rng_state(drawn).reshape(lanes, -1)
        return self._measured(torch.zeros_like(vector[:, :1]), vector, rng_state)

    @property
    def n_measured(self) -> int:
        """Number of measured quantities after each slot: the observed expectation values, and the fidelity."""
        return len(self.words) + 1

    def _measured(self, slots: Tensor, vector: Tensor, rng_state: Tensor) -> Float64[Tensor, "lane state"]:
        """Return the environment's state; with shots, including the estimates of the measured quantities."""
        if not self.config.shots:
            return torch.cat([slots, vector], dim=1)
        probability = torch.cat([(1 + vector[:, self.words]) / 2, self.fidelity(vector)[:, None]], dim=1).clamp(0, 1)
        frequency, rng_state = estimates(probability, self.config.shots, rng_state)
        measured = torch.cat([2 * frequency[:, :-1] - 1, frequency[:, -1:]], dim=1)
        return torch.cat([slots, vector, measured, rng_state], dim=1)

    def vector(self, state: Float64[Tensor, "lane state"]) -> Float64[Tensor, "lane word"]:
        """Return the vector of the density matrix."""
        return state[:, 1 : 1 + 4**self.n_qubits]

    def fidelity(self, vector: Float64[Tensor, "lane word"]) -> Float64[Tensor, " lane"]:
        """Return the exact fidelity with the target."""
        return vector @ self.target.to(vector.device)

    def _results(self, state: Float64[Tensor, "lane state"]) -> Float64[Tensor, "lane measured"]:
        """Return the observed expectation values, then the fidelity: exact, or estimated if there are shots."""
        vector = self.vector(state)
        if self.config.shots:
            first = 1 + vector.shape[1]
            return state[:, first : first + self.n_measured]
        return torch.cat([vector[:, self.words], self.fidelity(vector)[:, None]], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the expectation values and the time left, without the device's parameters."""
        # Finished lanes are stepped too, and their results ignored; without the clamp their time left is negative.
        time_left = (1 - state[:, :1] / self.horizon).clamp_min(0)
        return torch.cat([self._results(state)[:, :-1], time_left], dim=1)

    def rates(
        self, action: Float64[Tensor, "lane act"], tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane qubit rate"], Float64[Tensor, "lane pair"]]:
        """Return the rates of each qubit and of each coupling, the arguments of `envs.dynamics.qubits.generators`."""
        x, y = action.clamp(-1, 1).unflatten(1, (self.n_qubits, 2)).unbind(-1)
        cos, sin = tasks.phase.cos(), tasks.phase.sin()
        full = 2 * math.pi * RABI * (1 + tasks.amplitude)
        turns = [full * (cos * x - sin * y), full * (sin * x + cos * y), 2 * math.pi * tasks.detuning]
        local = torch.stack([*turns, 1 / tasks.t1, 1 / tasks.t_phi], dim=-1)
        return local, 2 * math.pi * tasks.coupling if self.n_qubits > 1 else x[:, :0]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Evolve the state for one slot; the reward is the fidelity.

        The result is differentiable with respect to the action unless estimated from shots.
        """
        generator = generators(*self.rates(action.to(state.dtype), tasks))
        vector = evolve(self.vector(state), generator, SLOT, self.order)
        rng_state = state[:, 1 + vector.shape[1] + self.n_measured :]
        state = self._measured(state[:, :1] + 1, vector, rng_state)
        reward = self._results(state)[:, -1]
        if self.config.reward == "final":
            reward = torch.where(state[:, 0] == self.horizon, reward, 0.0)
        return state, reward, torch.zeros_like(reward, dtype=torch.bool)

    # -- rendering -----------------------------------------------------------------------------------------------------

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the qubits' Bloch vectors, seen along y and along z."""
        states = {GREEN: 2**self.n_qubits * self.target, RED: self.vector(state)[0]}
        vectors = {colour: bloch_vectors(vector, self.n_qubits) for colour, vector in states.items()}
        return draw_bloch_vectors(vectors, self.n_qubits)
