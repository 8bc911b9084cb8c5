"""Labels by a random quantum circuit: classify points of a square by the sign of <ZZ> (Jerbi et al. 2021).

## Description

The agent observes a point of the square. One of two actions is right at each point, by the sign of <ZZ> of a
parametrized quantum circuit (PQC) on two wires that encodes the point. The weights of the circuit are the task. The
points of an episode are independent of each other and of the actions, so an action affects only its own reward. The
agent has to learn the labelled regions of the square from the rewards. With `cliff` the first mistake ends the episode.

The circuit has RY of a weight on each wire; then, `layers` times, CZ, RY and RZ of x0 on wire 0 and of x1 on wire 1,
and RZ and RY of a weight on each wire. The model `reuploading` with 2 wires, as many layers, the global observable, the
task's weights and input scales of 1 is the same circuit, so such a policy can be right everywhere. <ZZ> is a
trigonometric polynomial of degree at most 2 · `layers` in x0 and in x1; the natural classical control is `fourier`.

## Action space

`Discrete(2)`: 1 is right where <ZZ> > 0, 0 elsewhere.

## Observation space

| Num | Observation | Min | Max | Unit |
|-----|-------------|-----|-----|------|
| 0   | x0          | 0   | 2π  | rad  |
| 1   | x1          | 0   | 2π  | rad  |

The observations are angles, and policies receive them in rad without scaling (`observation_scale` is 1).

## Task parameters

| Parameter | Nominal | Train, test        | OOD          | Unit | Meaning                              |
|-----------|---------|--------------------|--------------|------|--------------------------------------|
| weights   | 1.5     | 18 × U[0, 6.28319] | no ood split | rad  | of the circuit, gate by gate, wire 0 |
|           |         |                    |              |      | first; 4 · `layers` + 2 of them      |

The weights cover the circle, so that no angles remain for an OOD split. In the nominal task action 1 is right at 48 %
of the points that are drawn.

Tasks are not selected for balance. The following numbers are from 10,000 tasks with 4 layers and a margin of 0.15. The
better one of the two constant actions is right at 58 % of the points: it has a return of 3.0 out of 20 on average over
tasks, and of 0.4 with `cliff`. The better action is right at more than 70 % of the points in 3.4 % of the tasks, at
more than 80 % in 0.1 %. The same action in all tasks has a mean return of 0 (0.1 with `cliff`), as a rotation of a last
RY by π swaps the labels.

## Rewards

1 for the right action, -1 for the wrong one.

## Starting state

The points of the episode: independent, uniform in [0, 2π)² without the margin, the region where |<ZZ>| < `margin`.
The default margin excludes 22 % of the square on average over tasks, and 35 % in the worst of 10,000 tasks.

## Episode end

1. Termination, with `cliff` only: the first wrong action.
2. Truncation: the horizon, 20 steps by default.

## Source

S. Jerbi, C. Gyurik, S. Marshall, H. Briegel, V. Dunjko, "Parametrized quantum policies for reinforcement learning",
NeurIPS 2021: environments SL-PQC and, with `cliff`, Cliffwalk-PQC. From the paper are two wires, 4 layers of weights
(RZ, RY, CZ) and encoding (RY, RZ), the square [0, 2π]², the sign of <ZZ>, a margin, 20 steps, the rewards, and the end
at the first mistake. The following are this library's own:

- a distribution of tasks, with weights uniform over the circle;
- new points in every episode; the paper has a fixed set, which Cliffwalk-PQC goes through in a fixed order;
- the width of the margin;
- input scales of 1 in the labelling circuit, and no gates without effect (RZs at the start, a CZ at the end).
"""

import math
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from envs import Tasks, TorchTasks, Uniform
from envs.dynamics.drawing import Picture, draw_disc
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.simulator.program import Bound, compile_circuit

SIDE = 2 * math.pi
"""Side of the square from which points are drawn [rad]."""

MAX_STEPS = 100_000
"""Upper bound of the horizon; larger values are rejected as typos, since a state holds the points of all steps [steps].
"""

MAX_LAYERS = 1000
"""Upper bound of the number of layers; larger values are rejected as typos."""

MAX_DRAWS = 7
"""Most draws of points until enough are outside the margin; each draw doubles the number, up to 128 per point."""

GRID, CELL, DOT = 100, 4, 8.0
"""Cells along a side of a picture, side of a cell [pixels], and radius of the dot at the current point [pixels]."""

ZERO_COLOUR, ONE_COLOUR, MARGIN_COLOUR, DOT_COLOUR = (76, 114, 176), (221, 132, 82), (225, 225, 225), (0, 0, 0)
"""Colours of the region of action 0, the region of action 1, the margin, and the current point (red, green, blue)."""


@dataclass(frozen=True)
class Config:
    """Options of the labels by a random quantum circuit."""

    horizon: int = 20
    """Longest episode [steps]. Default from Jerbi et al. 2021."""
    layers: int = 4
    """Encoding layers of the labelling circuit [layers]. Default from Jerbi et al. 2021."""
    margin: float = 0.15
    """Smallest |<ZZ>| of the points, in [0, 1); points below are excluded. The value is ours, the margin from Jerbi et
    al. 2021."""
    cliff: bool = False
    """End the episode at the first mistake, as Cliffwalk-PQC does (Jerbi et al. 2021)."""

    def __post_init__(self) -> None:
        check_count("pqc_labels: horizon [steps]", self.horizon, most=MAX_STEPS)
        check_count("pqc_labels: layers", self.layers, most=MAX_LAYERS)
        if not 0 <= self.margin < 1:
            raise UsageError(f"pqc_labels: margin must be at least 0 and below 1, not {self.margin}")


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return PQCLabels(config)


def labelling_circuit(layers: int) -> Circuit:
    """Return the circuit of two inputs whose <ZZ> gives the labels; the top of the file describes the circuit."""
    gates: list[Gate] = []
    n_weights = 0
    for layer in range(layers + 1):
        for name in ("RZ", "RY") if layer else ("RY",):
            for wire in (0, 1):
                gates.append(Gate(name, (wire,), Weight(n_weights)))
                n_weights += 1
        if layer < layers:
            gates.append(Gate("CZ", (0, 1)))
            gates += [Gate(name, (wire,), Input(wire)) for name in ("RY", "RZ") for wire in (0, 1)]
    return Circuit(2, tuple(gates), (Observable.of("Z0 Z1"),))


class PQCLabels(TorchTasks):
    """Labels by a random quantum circuit; the datasheet is at the top of the file.

    State: steps so far, then x0 and x1 [rad] of each of horizon + 1 points, then the right action at each point. The
    last point is the observation after the last step.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.circuit = labelling_circuit(config.layers)
        self.margin, self.cliff = config.margin, config.cliff
        super().__init__(
            name="pqc_labels",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(0.0, SIDE, (2,)),
            action_space=gym.spaces.Discrete(2),
            observation_scale=[1.0, 1.0],
            parameters={"weights": Uniform(0.0, SIDE, shape=(self.circuit.n_weights,))},
            nominal={"weights": 1.5},
        )

    # -- the circuit ---------------------------------------------------------------------------------------------------

    def bind(self, tasks: Tasks) -> Bound:
        """Bind the circuit to the weights, a row per lane; compute once for consecutive lanes that share a task."""
        weights, lane = torch.unique_consecutive(tasks.weights, dim=0, return_inverse=True)
        bound = compile_circuit(self.circuit).bind(weights, weights.new_zeros(len(weights), 0))
        return {name: tensor[lane] for name, tensor in bound.items()}

    def expectation(self, bound: Bound, points: Float64[Tensor, "lane point 2"]) -> Float64[Tensor, "lane point"]:
        """Return <ZZ> at each point, by each lane's own circuit."""
        return compile_circuit(self.circuit).run(bound, points).squeeze(-1)

    # -- dynamics ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the points of the episode, with the right actions; step 0."""
        points, value = self.draw(tasks, generator)
        return torch.cat([torch.zeros_like(value[:, :1]), points.flatten(1), (value > 0).to(value)], dim=1)

    def draw(
        self, tasks: Tasks, generator: torch.Generator
    ) -> tuple[Float64[Tensor, "lane point 2"], Float64[Tensor, "lane point"]]:
        """Draw the points of an episode, with <ZZ> there. Raise UsageError if hardly any are outside the margin."""
        bound, n_points, device = self.bind(tasks), self.horizon + 1, generator.device
        points = torch.empty(len(tasks), n_points, 2, dtype=torch.float64, device=device)
        value = torch.empty_like(points[..., 0])
        lanes = torch.arange(len(tasks), device=device)
        n_drawn = n_points if self.margin == 0 else 2 * n_points
        for _ in range(MAX_DRAWS):
            drawn = SIDE * torch.rand(len(lanes), n_drawn, 2, dtype=torch.float64, generator=generator, device=device)
            found = self.expectation({name: tensor[lanes] for name, tensor in bound.items()}, drawn)
            inside = found.abs() < self.margin
            # Take the first points outside the margin. Redraw all points of a lane with too few, to avoid a bias.
            chosen = inside.sort(dim=1, stable=True).indices[:, :n_points]
            points[lanes] = drawn.take_along_dim(chosen.unsqueeze(-1), dim=1)
            value[lanes] = found.take_along_dim(chosen, dim=1)
            lanes = lanes[(~inside).sum(1) < n_points]
            if not len(lanes):
                return points, value
            n_drawn *= 2
        raise UsageError(
            f"pqc_labels: margin {self.margin} excludes nearly all points of a task: "
            f"fewer than {n_points} of {n_drawn // 2} remain; use a smaller margin"
        )

    def current_point(
        self, state: Float64[Tensor, "lane state"]
    ) -> tuple[Float64[Tensor, "lane 2"], Int64[Tensor, " lane"]]:
        """Return each lane's current point, and the right action there."""
        # Finished lanes are stepped too, and their results ignored; without the clamp the index would be out of range.
        step = state[:, :1].long().clamp_max(self.horizon)
        columns = torch.cat([1 + 2 * step, 2 + 2 * step, 3 + 2 * self.horizon + step], dim=1)
        found = state.gather(1, columns)
        return found[:, :2], found[:, 2].long()

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the point, without its label."""
        return self.current_point(state)[0]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Reward the right action, and move on to the next point."""
        wrong = action != self.current_point(state)[1]
        reward = 1.0 - 2.0 * wrong.to(torch.float64)
        state = torch.cat([state[:, :1] + 1, state[:, 1:]], dim=1)
        return state, reward, wrong if self.cliff else torch.zeros_like(wrong)

    # -- rendering -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the square, x0 to the right and x1 up: the regions of the two actions, the margin, and the point."""
        middle = SIDE * (torch.arange(GRID, dtype=torch.float64, device=state.device) + 0.5) / GRID
        grid = torch.stack(torch.meshgrid(middle, middle.flip(0), indexing="xy"), dim=-1)
        value = self.expectation(self.bind(tasks), grid.reshape(1, -1, 2)).reshape(GRID, GRID).cpu().numpy()
        cells = np.where((value > 0)[..., None], ONE_COLOUR, ZERO_COLOUR)
        cells[np.abs(value) < self.margin] = MARGIN_COLOUR
        picture = cells.astype(np.uint8).repeat(CELL, axis=0).repeat(CELL, axis=1)
        size = GRID * CELL
        x0, x1 = (size / SIDE * self.current_point(state)[0][0]).tolist()
        return draw_disc(picture, x0 - 0.5, size - x1 - 0.5, DOT_COLOUR, DOT)
