"""Steer one to three qubits of unknown calibration to a target state by piecewise-constant pulses.

## Description

The qubits of a device start in |0...0> and are to be in a target state after 20 slots of 25 ns. In each slot a drive of
constant amplitude and phase acts on every qubit. From task to task the device has drifted: qubits are detuned from
their drives, the drives' amplitudes are off and their axes turned, decay and coupling are others. No pulse is right for
all tasks, as nobody knows in which direction a drive turns its qubit; the first tries have to tell. What is to be
learned is how to calibrate a device anew in a few tries.

The frame rotates with the drives, in which the Hamiltonian of a slot is

    H = Σ_q [ω_q Z_q + Ω_q (x_q X_q + y_q Y_q)] / 2 + Σ_q J_q Z_q Z_q+1 / 4

ω_q = 2π detuning, J_q = 2π coupling, Ω_q = 2π · 1 MHz · (1 + amplitude); (x_q, y_q) is the action turned by `phase`.
A full drive along one axis turns a qubit by 9° in a slot, and by half a turn in all: not enough for composite pulses,
which bear errors at the price of several turns. The qubits are in a row. Their coupling is of the kind ZZ: qubits with
drives of their own differ in frequency by much more than what couples them, so that an exchange XX + YY averages out in
this frame, and what is left of it shifts one qubit by the state of the other. Decay is Markovian (the Lindblad
equation): from 1 to 0 at the rate 1 / t1, and of the coherence alone at 1 / t_phi, so that 1 / T2 = 1 / (2 t1) +
1 / t_phi. A slot is solved to 1e-13 (tests compare it with other solvers).

Of the 100 test tasks, who is told the device reaches a fidelity of 0.994 on average, and of 0.991 in the worst tenth,
by gradient ascent through the dynamics (agent `grape`); the pulse that is best for train tasks on average reaches 0.49
(`grape` with `told` off).

## Action space

`Box(-1, 1, (2,), float32)`: x and y of the first qubit's drive in units of the full amplitude, then those of the next
(2 for each of `n_qubits`). Larger actions are clipped.

## Observation space

| Num | Observation                                       | Min | Max | Unit |
|-----|---------------------------------------------------|-----|-----|------|
| 0   | <Z>, the expectation value after the slots so far | -1  | 1   |      |
| 1   | Time left, as a fraction of the episode           | 0   | 1   |      |

Of several qubits first <Z> of each, then <ZZ> of each pair, then the time. That is what reading a device out gives;
for the phase of a superposition it takes another pulse, of the very drive that is to be calibrated. With `observe`
`pauli` these are all Pauli words of one and two letters (X, Y, Z of each qubit, then XX, XY, ..., ZZ of each pair), as
if every basis could be read out without errors: within an episode a policy can then see where a drive has turned its
qubit, and has less to adapt. With `time` it is the time alone, and a policy is a pulse.

With `shots` each number is an estimate from so many shots of its own, and so is the fidelity that is paid (binomial; a
count of outcomes). On a device a measurement ends the experiment: what is seen after slot k takes `shots` runs of the
first k slots, for each number that cannot be read out together with others. An episode with `z` is thus one of
20 · `shots` runs (all Z are read out together, which correlates their errors: left out here), with `pauli` of 20 ·
3^`n_qubits` · `shots`, one set for each basis, with `time` of none; to which the fidelity adds `shots` runs, if it is
measured by turning the target back to |0...0>.

## Task parameters

| Parameter | Nominal | Train, test              | OOD              | Unit | Meaning                             |
|-----------|---------|--------------------------|------------------|------|-------------------------------------|
| detuning  | 0       | 1 × U[-1, 1]             | 1 × ±U[1, 1.5]   | MHz  | of a qubit from its drive           |
| amplitude | 0       | 1 × U[-0.2, 0.2]         | 1 × ±U[0.2, 0.3] |      | relative error of the drive         |
| phase     | 0       | 1 × U[-3.14159, 3.14159] | as in train      | rad  | by which the drive's axis is turned |
| t1        | 30      | 1 × logU[10, 50]         | 1 × logU[5, 10]  | us   | of the decay from 1 to 0            |
| t_phi     | 30      | 1 × logU[10, 50]         | 1 × logU[5, 10]  | us   | of the decay of the coherence alone |
| coupling  | 2       | U[1.5, 2.5]              | U[2.5, 3]        | MHz  | of each qubit to the next, if any   |

Each qubit has its own, and each pair of neighbours a coupling, if there are any. Frequencies are in turns: 1 MHz is 2π
rad/us. The phase is that of the drive against the frame in which the target is stated, such as another line's; it turns
nothing else, and is of no consequence to the target `flip`.

## Rewards

The fidelity <ψ|ρ|ψ> with the target after the last slot, and 0 before: the return is the fidelity. With `reward`
`every` it is paid after each slot.

Targets: `plus`, (|0> + |1>) / √2 on each qubit; `flip`, |1...1>; `ghz`, (|0...0> + |1...1>) / √2, of two qubits a Bell
state, of one the same as `plus`.

## Starting state

|0...0>. With `shots` a random number generator is drawn for each number that is measured.

## Episode end

Truncation: the horizon, 20 slots (0.5 us) by default. There is no termination.

## Pictures

A column for each qubit, its Bloch vector as seen along y, with z up, and below as seen along z, with y up: the qubit
red, the target green. A qubit that is entangled has a short one.

## Source

The control problem and its solution for a known device: N. Khaneja et al., "Optimal control of coupled spin dynamics:
design of NMR pulse sequences by gradient ascent algorithms", J. Magn. Reson. 172, 296 (2005). Calibrating in a closed
loop what is known inexactly: D. Egger and F. Wilhelm, "Adaptive hybrid optimal quantum control for imprecisely
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
    MOST_QUBITS,
    NamedState,
    evolve,
    generators,
    named_state,
    order_for,
    places_of_words,
    speed,
    vector_of,
)
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError

RABI = 1.0
"""Turns that a qubit does in a unit of time under a full drive along one axis [MHz]."""

SLOT = 0.025
"""Time between two actions [us]."""

MOST_SHOTS = 100_000
"""Beyond that an expectation value is known to 0.003, and shots take memory."""

MOST_TURN = 1.0
"""What a slot may do to the vector of a state [for each qubit], as a bound of the generator's norm times the time."""

Observe = Literal["z", "pauli", "time"]
Reward = Literal["final", "every"]

LETTERS: dict[Observe, tuple[int, ...]] = {"z": (3,), "pauli": (1, 2, 3), "time": ()}
"""Pauli letters of the words whose expectation values are observed."""


@dataclass(frozen=True)
class Config:
    """Options of the control of qubits."""

    n_qubits: int = 1
    """Qubits, in a row, at most 3 [qubits]; ours."""
    target: NamedState = "plus"
    """State to reach: plus, (|0> + |1>) / √2 on each; flip, |1...1>; ghz, (|0...0> + |1...1>) / √2; ours."""
    observe: Observe = "z"
    """Expectation values that are seen: z, of Z and ZZ; pauli, of words of one and two letters; time, none; ours."""
    reward: Reward = "final"
    """When the fidelity is paid: after the last slot, or after every one; ours."""
    shots: int = 0
    """Shots for each number that is measured, of which the reward is one [shots]; 0: exact values; ours."""
    horizon: int = 20
    """Length of an episode [slots of 25 ns]; ours."""

    def __post_init__(self) -> None:
        check_count("qubit_control: horizon [slots]", self.horizon)
        check_count("qubit_control: n_qubits", self.n_qubits, most=MOST_QUBITS)
        check_count("qubit_control: shots", self.shots, least=0, most=MOST_SHOTS)
        check_choice("qubit_control", "target", self.target, get_args(NamedState))
        check_choice("qubit_control", "observe", self.observe, get_args(Observe))
        check_choice("qubit_control", "reward", self.reward, get_args(Reward))


def build(config: Config) -> TorchTasks:
    """The task distribution of `config`."""
    return QubitControl(config)


class QubitControl(TorchTasks):
    """The control of qubits; the datasheet is at the top of the file.

    State: slots so far, then the vector of the density matrix (see `envs.dynamics.qubits`). With shots also the
    estimates that were made of it, that of the fidelity last, and for each of them the state of a random number
    generator, two numbers.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.config, self.n_qubits = config, config.n_qubits
        self.words = places_of_words(LETTERS[config.observe], config.n_qubits)
        self.order = order_for(MOST_TURN * config.n_qubits)
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
        # Turning all drives about z turns the state about z, which |1...1> and Z do not feel.
        blind = config.target == "flip" and config.observe != "pauli"
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
            unproved=("phase",) if blind else (),
        )
        start = torch.zeros(2**config.n_qubits, dtype=torch.complex128)
        start[0] = 1.0
        self._start = vector_of(start)
        self.target = vector_of(named_state(config.target, config.n_qubits)) / 2**config.n_qubits
        """Its product with a state's vector is the fidelity [word]."""

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Also refuses what changes too much within a slot for it to be solved to full precision."""
        tasks = super().check_tasks(tasks, n_tasks)
        full = torch.ones(n_tasks, 2 * self.n_qubits, dtype=torch.float64, device=tasks.phase.device)
        turn = SLOT * speed(*self.rates(full, tasks))
        most = MOST_TURN * self.n_qubits
        if bool((turn > most).any()):
            i = int(turn.argmax())
            raise UsageError(
                f"qubit_control: task {i}: detuning, amplitude, coupling, 1/t1 and 1/t_phi change the state by "
                f"{float(turn[i]):.3g} rad in a slot of {1000 * SLOT:g} ns; at most {most:g} can be solved"
            )
        return tasks

    # -- dynamics ------------------------------------------------------------------------------------------------------

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """All qubits in 0."""
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
        """Numbers that are measured after each slot: those that are seen, and the fidelity."""
        return len(self.words) + 1

    def _measured(self, slots: Tensor, vector: Tensor, rng_state: Tensor) -> Float64[Tensor, "lane state"]:
        """The state, with estimates of what is measured if there are shots."""
        if not self.config.shots:
            return torch.cat([slots, vector], dim=1)
        probability = torch.cat([(1 + vector[:, self.words]) / 2, self.fidelity(vector)[:, None]], dim=1).clamp(0, 1)
        share, rng_state = estimates(probability, self.config.shots, rng_state)
        seen = torch.cat([2 * share[:, :-1] - 1, share[:, -1:]], dim=1)
        return torch.cat([slots, vector, seen, rng_state], dim=1)

    def vector(self, state: Float64[Tensor, "lane state"]) -> Float64[Tensor, "lane word"]:
        """That of the density matrix."""
        return state[:, 1 : 1 + 4**self.n_qubits]

    def fidelity(self, vector: Float64[Tensor, "lane word"]) -> Float64[Tensor, " lane"]:
        """With the target, exactly."""
        return vector @ self.target.to(vector.device)

    def _results(self, state: Float64[Tensor, "lane state"]) -> Float64[Tensor, "lane measured"]:
        """What is seen, then the fidelity: exact, or as it was estimated."""
        vector = self.vector(state)
        if self.config.shots:
            first = 1 + vector.shape[1]
            return state[:, first : first + self.n_measured]
        return torch.cat([vector[:, self.words], self.fidelity(vector)[:, None]], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Expectation values and the time left, but nothing of the device."""
        # A finished lane is stepped, too, though not heeded: it would be a slot too many.
        left = (1 - state[:, :1] / self.horizon).clamp_min(0)
        return torch.cat([self._results(state)[:, :-1], left], dim=1)

    def rates(
        self, action: Float64[Tensor, "lane act"], tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane qubit rate"], Float64[Tensor, "lane pair"]]:
        """Of each qubit and of each coupling, as `envs.dynamics.qubits.generators` takes them."""
        x, y = action.clamp(-1, 1).unflatten(1, (self.n_qubits, 2)).unbind(-1)
        cos, sin = tasks.phase.cos(), tasks.phase.sin()
        full = 2 * math.pi * RABI * (1 + tasks.amplitude)
        turns = [full * (cos * x - sin * y), full * (sin * x + cos * y), 2 * math.pi * tasks.detuning]
        local = torch.stack([*turns, 1 / tasks.t1, 1 / tasks.t_phi], dim=-1)
        return local, 2 * math.pi * tasks.coupling if self.n_qubits > 1 else x[:, :0]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """A slot, then be paid for the fidelity. Differentiable by the action where it is not estimated from shots."""
        generator = generators(*self.rates(action.to(state.dtype), tasks))
        vector = evolve(self.vector(state), generator, SLOT, self.order)
        rng_state = state[:, 1 + vector.shape[1] + self.n_measured :]
        state = self._measured(state[:, :1] + 1, vector, rng_state)
        reward = self._results(state)[:, -1]
        if self.config.reward == "final":
            reward = torch.where(state[:, 0] == self.horizon, reward, 0.0)
        return state, reward, torch.zeros_like(reward, dtype=torch.bool)

    # -- a picture -----------------------------------------------------------------------------------------------------

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Bloch vectors as seen along y and along z."""
        target = 2**self.n_qubits * self.target
        return draw_bloch_vectors({GREEN: target, RED: self.vector(state)[0]}, self.n_qubits)
