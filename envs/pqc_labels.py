"""Labels by a random quantum circuit: which of two actions is right at which points of a square.

## Description

A point of the square is shown and one of two actions is right there, by the sign of <ZZ> of a parametrized quantum
circuit (PQC) on two wires that encodes the point and whose weights are the task. The points of an episode depend
neither on each other nor on the actions, so that an action decides nothing but its own reward. All there is to learn
are the regions of the square, from the rewards. With `cliff` the first mistake ends the episode.

The circuit: RY of a weight on each wire; then, `layers` times, CZ, RY and RZ of x0 on wire 0 and of x1 on wire 1, and
RZ and RY of a weight on each wire. It is the model `reuploading` with 2 wires, as many layers and the global
observable, when that has the task's weights and input scales of 1: such a policy can be right everywhere. <ZZ> is a
trigonometric polynomial of degree 2 · `layers` at most in x0 and in x1; the classical control to watch is `fourier`.

## Action space

`Discrete(2)`: 1 is right where <ZZ> > 0, 0 elsewhere.

## Observation space

| Num | Observation | Min | Max | Unit |
|-----|-------------|-----|-----|------|
| 0   | x0          | 0   | 2π  | rad  |
| 1   | x1          | 0   | 2π  | rad  |

They are angles, and policies are given them in rad as they are (`observation_scale` is 1).

## Task parameters

| Parameter | Nominal | Train, test        | OOD          | Unit | Meaning                              |
|-----------|---------|--------------------|--------------|------|--------------------------------------|
| weights   | 1.5     | 18 × U[0, 6.28319] | no ood split | rad  | of the circuit, gate by gate, wire 0 |
|           |         |                    |              |      | first; 4 · `layers` + 2 of them      |

They cover the circle, so that no angles are left for an OOD split. At the nominal task action 1 is right at 48 % of
the points that are shown.

Tasks are not selected for balance. Of 10,000, with 4 layers and a margin of 0.15, the better one of the two actions is
right at 58 % of the points: always taking it earns 3.0 of 20 on average over tasks, and with `cliff` 0.4. It is right
at more than 70 % in 3.4 % of the tasks, at more than 80 % in 0.1 %. The same action in all tasks earns 0 (with `cliff`
0.1), as a turn of a last RY by π swaps the labels.

## Rewards

1 for the right action, -1 for the wrong one.

## Starting state

The points of the episode: independent, uniform in [0, 2π)² without the margin, which is where |<ZZ>| < `margin`.
The default leaves out 22 % of the square on average over tasks, 35 % in the worst of 10,000.

## Episode end

1. Termination, with `cliff` only: the first wrong action.
2. Truncation: the horizon, 20 steps by default.

## Source

S. Jerbi, C. Gyurik, S. Marshall, H. Briegel, V. Dunjko, "Parametrized quantum policies for reinforcement learning",
NeurIPS 2021: environments SL-PQC and, with `cliff`, Cliffwalk-PQC. The paper's are two wires, 4 layers of weights
(RZ, RY, CZ) and encoding (RY, RZ), the square [0, 2π]², the sign of <ZZ>, a margin, 20 steps, the rewards, and the end
at the first mistake. Ours are

- a distribution of tasks, with weights uniform over the circle;
- new points in every episode, where the paper has a fixed set, which Cliffwalk-PQC walks through in a fixed order;
- the width of the margin;
- input scales of 1 in the labelling circuit, and no gates without effect: RZs at the start, a CZ at the end.
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
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate, Input, Weight
from qrl.circuits.observables import Observable
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.simulator.program import Bound, compile_circuit

SIDE = 2 * math.pi
"""Side of the square that the points are from [rad]."""

MAX_DRAWS = 7
"""How often points are drawn until enough are outside the margin, twice as many each time: at last 128 for each."""

GRID, CELL, DOT = 100, 4, 8.0
"""A picture: cells a side, pixels a side of a cell, radius of the dot at the present point [pixels]."""

ZERO_COLOUR, ONE_COLOUR, MARGIN_COLOUR, DOT_COLOUR = (76, 114, 176), (221, 132, 82), (225, 225, 225), (0, 0, 0)
"""Red, green, blue of where action 0 is right, where 1 is, of the margin, and of the present point."""


@dataclass(frozen=True)
class Config:
    """Options of the labels drawn by a circuit."""

    horizon: int = 20
    """Longest episode [steps]. Default from Jerbi et al. 2021."""
    layers: int = 4
    """Encoding layers of the labelling circuit [layers]. Default from Jerbi et al. 2021."""
    margin: float = 0.15
    """Points where |<ZZ>| is below this are left out, in [0, 1); ours, the margin itself from Jerbi et al. 2021."""
    cliff: bool = False
    """End the episode at the first mistake, as Cliffwalk-PQC does (Jerbi et al. 2021)."""

    def __post_init__(self) -> None:
        check_count("pqc_labels: horizon [steps]", self.horizon)
        check_count("pqc_labels: layers", self.layers)
        if not 0 <= self.margin < 1:
            raise UsageError(f"pqc_labels: margin must be at least 0 and below 1, not {self.margin}")


def build(config: Config) -> TorchTasks:
    """The task distribution of `config`."""
    return PQCLabels(config)


def labelling_circuit(layers: int) -> Circuit:
    """The circuit whose <ZZ> decides, of two inputs; it is described at the top of the file."""
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
    """Labels drawn by a circuit; the datasheet is at the top of the file.

    State: steps so far, then x0 and x1 [rad] of each of horizon + 1 points, then the right action at each of them. The
    last point is what is seen after the last step.
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
        """What depends on the weights alone, a row per lane, computed once for lanes in a row that share a task."""
        weights, lane = torch.unique_consecutive(tasks.weights, dim=0, return_inverse=True)
        bound = compile_circuit(self.circuit).bind(weights, weights.new_zeros(len(weights), 0))
        return {name: tensor[lane] for name, tensor in bound.items()}

    def expectation(self, bound: Bound, points: Float64[Tensor, "lane point 2"]) -> Float64[Tensor, "lane point"]:
        """<ZZ> at each point, by each lane's own circuit."""
        return compile_circuit(self.circuit).run(bound, points).squeeze(-1)

    # -- dynamics ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Step 0, the points to come, and the right actions."""
        points, value = self.draw(tasks, generator)
        return torch.cat([torch.zeros_like(value[:, :1]), points.flatten(1), (value > 0).to(value)], dim=1)

    def draw(
        self, tasks: Tasks, generator: torch.Generator
    ) -> tuple[Float64[Tensor, "lane point 2"], Float64[Tensor, "lane point"]]:
        """The points of an episode, and <ZZ> there. Raises UsageError if hardly any are outside the margin."""
        bound, n_points, device = self.bind(tasks), self.horizon + 1, generator.device
        points = torch.empty(len(tasks), n_points, 2, dtype=torch.float64, device=device)
        value = torch.empty_like(points[..., 0])
        lanes = torch.arange(len(tasks), device=device)
        n_drawn = n_points if self.margin == 0 else 2 * n_points
        for _ in range(MAX_DRAWS):
            drawn = SIDE * torch.rand(len(lanes), n_drawn, 2, dtype=torch.float64, generator=generator, device=device)
            found = self.expectation({name: tensor[lanes] for name, tensor in bound.items()}, drawn)
            inside = found.abs() < self.margin
            # The first of those outside the margin. A lane with too few is drawn anew as a whole, which favours none.
            chosen = inside.sort(dim=1, stable=True).indices[:, :n_points]
            points[lanes] = drawn.take_along_dim(chosen.unsqueeze(-1), dim=1)
            value[lanes] = found.take_along_dim(chosen, dim=1)
            lanes = lanes[(~inside).sum(1) < n_points]
            if not len(lanes):
                return points, value
            n_drawn *= 2
        raise UsageError(
            f"pqc_labels: margin {self.margin} leaves hardly a point of some task: "
            f"fewer than {n_points} in {n_drawn // 2}; choose a smaller one"
        )

    def present(self, state: Float64[Tensor, "lane state"]) -> tuple[Float64[Tensor, "lane 2"], Int64[Tensor, " lane"]]:
        """The point of each lane, and the right action there."""
        # A finished lane is stepped, too, though not heeded: it would be a step too many.
        step = state[:, :1].long().clamp_max(self.horizon)
        place = torch.cat([1 + 2 * step, 2 + 2 * step, 3 + 2 * self.horizon + step], dim=1)
        found = state.gather(1, place)
        return found[:, :2], found[:, 2].long()

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """The point, but not its label."""
        return self.present(state)[0]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Be told whether the action was right, then on to the next point."""
        wrong = action != self.present(state)[1]
        reward = 1.0 - 2.0 * wrong.to(torch.float64)
        state = torch.cat([state[:, :1] + 1, state[:, 1:]], dim=1)
        return state, reward, wrong if self.cliff else torch.zeros_like(wrong)

    # -- a picture -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """The square, x0 to the right and x1 up: where which action is right, the margin, and the present point."""
        middle = SIDE * (torch.arange(GRID, dtype=torch.float64, device=state.device) + 0.5) / GRID
        grid = torch.stack(torch.meshgrid(middle, middle.flip(0), indexing="xy"), dim=-1)
        value = self.expectation(self.bind(tasks), grid.reshape(1, -1, 2)).reshape(GRID, GRID).cpu().numpy()
        cells = np.where((value > 0)[..., None], ONE_COLOUR, ZERO_COLOUR)
        cells[np.abs(value) < self.margin] = MARGIN_COLOUR
        picture = cells.astype(np.uint8).repeat(CELL, axis=0).repeat(CELL, axis=1)
        size = GRID * CELL
        x0, x1 = (size / SIDE * self.present(state)[0][0]).tolist()
        return draw_disc(picture, x0 - 0.5, size - x1 - 0.5, DOT_COLOUR, DOT)
