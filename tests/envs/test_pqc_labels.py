"""Circuit labels: against PennyLane, points against areas of the square, rewards and episode ends by hand."""

import functools
import math
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from scipy import stats
from torch import Tensor

import envs
from envs import Tasks
from envs.pqc_labels import labelling_circuit
from qrl import QuantumLayer
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

SIDE = 2 * math.pi


@functools.cache
def node() -> qml.QNode:
    """The labelling circuit of the datasheet: weights [weight] or [weight, point], points [point, 2]."""

    def circuit(weights: Tensor, x: Tensor) -> Any:
        left = iter(weights)
        for wire in (0, 1):
            qml.RY(next(left), wire)
        for _ in range((len(weights) - 2) // 4):
            qml.CZ((0, 1))
            for gate in (qml.RY, qml.RZ):
                for wire in (0, 1):
                    gate(x[:, wire], wire)
            for gate in (qml.RZ, qml.RY):
                for wire in (0, 1):
                    gate(next(left), wire)
        assert next(left, None) is None
        return qml.expval(qml.Z(0) @ qml.Z(1))

    return qml.QNode(circuit, qml.device("default.qubit", wires=2))


def pennylane(tasks: Tasks, x: Tensor) -> Tensor:
    """<ZZ> of points [lane, 2], each by the task of its lane."""
    return torch.as_tensor(node()(tasks.weights.mT, x.double()))


def grid(n: int) -> Tensor:
    """Centres of n · n cells of the square [cell, 2]."""
    middle = SIDE * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.cartesian_prod(middle, middle)


# -- labels and points -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "margin"), [(4, 0.15), (4, 0.0), (1, 0.5), (3, 0.3)])
def test_labels_and_margin_equal_pennylane(layers: int, margin: float) -> None:
    """Black-box test: action 1 in every step earns the label. Neighbouring lanes share a task, others differ."""
    family = envs.make("pqc_labels", layers=layers, margin=margin, horizon=6)
    tasks = family.sample(8, "train", np.random.default_rng(3))
    env = family.vectorise(8, 3)
    observation, _ = env.reset(seed=1, options={"tasks": tasks})
    lane_tasks = tasks.repeat_interleave(3)
    values = []
    for _ in range(6):
        values.append(pennylane(lane_tasks, observation))
        observation, reward, *_ = env.step(torch.ones(24, dtype=torch.int64))
        # Observations are float32: <ZZ> is known to 1e-5.
        clear = values[-1].abs() > 1e-5
        assert torch.equal(reward[clear].double(), values[-1].sign()[clear]) and clear.sum() >= 23
    values.append(pennylane(lane_tasks, observation))  # the observation after the last step is a point like the others
    value = torch.stack(values)
    assert value.abs().min() >= margin - 1e-5 and value.abs().min() < margin + 0.1
    assert (value > 0).any() and (value < 0).any()


def test_expectations_equal_pennylane() -> None:
    family = envs.make("pqc_labels")
    tasks = family.sample(20, "test")
    points = SIDE * torch.rand(20, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = pennylane(tasks, points[:, 0])
    torch.testing.assert_close(family.expectation(family.bind(tasks), points)[:, 0], expected, rtol=0, atol=1e-13)
    assert expected.std() > 0.3


def test_without_a_margin_points_are_uniform() -> None:
    """Both coordinates, and their sum modulo 2π, so that they are independent, too."""
    family = envs.make("pqc_labels", margin=0.0)
    state = family.initial_state(family.sample(100, "test"), torch.Generator().manual_seed(0))
    x = state[:, 1:43].reshape(-1, 2)
    for sample in (x[:, 0], x[:, 1], x.sum(-1) % SIDE):
        assert stats.kstest((sample / SIDE).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("margin", [0.15, 0.6])
def test_points_are_uniform_outside_the_margin(margin: float) -> None:
    """Chi-square test of 8 × 8 cells against their areas outside the margin; 0.6 leaves a third, drawn repeatedly."""
    family = envs.make("pqc_labels", margin=margin)
    task = family.nominal_tasks(1)
    state = family.initial_state(task.repeat_interleave(800), torch.Generator().manual_seed(0))
    points = state[:, 1:43].reshape(-1, 2)
    seen, _, _ = np.histogram2d(*points.T.numpy(), bins=8, range=[[0, SIDE]] * 2)
    fine = grid(160)
    outside = pennylane(task, fine).abs() >= margin
    area = outside.reshape(8, 20, 8, 20).double().mean((1, 3)).numpy()
    kept = area > 0.01
    expected = area[kept] / area[kept].sum() * seen[kept].sum()
    assert stats.chisquare(seen[kept], expected).pvalue > 0.01 and seen[~kept].sum() < 0.005 * seen.sum()


def test_margin_without_remaining_points_is_rejected() -> None:
    family = envs.make("pqc_labels", margin=0.999)
    with pytest.raises(UsageError, match=r"margin 0.999 excludes nearly all points of a task: fewer than 21 of 2688"):
        family.vectorise(2, 2).reset(seed=0)
    for margin in (-0.1, 1.0, math.nan):
        with pytest.raises(UsageError, match="margin must be at least 0 and below 1"):
            envs.make("pqc_labels", margin=margin)
    with pytest.raises(UsageError, match="layers must be at least 1, not 0"):
        envs.make("pqc_labels", layers=0)


# -- rewards and ends --------------------------------------------------------------------------------------------------


def test_steps_by_hand() -> None:
    """Horizon 2: three points. Lanes: right, wrong, right at the second point, and one step too many."""
    state = torch.tensor(
        [
            [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1, 0, 0],
            [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1, 0, 0],
            [1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1, 0, 1],
            [3, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1, 0, 1],
        ],
        dtype=torch.float64,
    )
    action = torch.tensor([1, 0, 0, 1])
    for cliff in (False, True):
        family = envs.make("pqc_labels", horizon=2, cliff=cliff)
        tasks = family.nominal_tasks(4)
        assert family.observe(state, tasks).tolist() == [[0.1, 0.2], [0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
        after, reward, ended = family.transition(state, action, tasks)
        assert reward.tolist() == [1, -1, 1, 1] and ended.tolist() == [False, cliff, False, False]
        assert after[:, 0].tolist() == [1, 1, 2, 4] and torch.equal(after[:, 1:], state[:, 1:])


@pytest.mark.parametrize("cliff", [False, True])
def test_returns_with_a_known_circuit_and_with_its_opposite(cliff: bool) -> None:
    """Lanes: always right, always wrong, and wrong only at the fourth step: 20, -20, 18; cliff: 20, -1, 3 - 1."""
    family = envs.make("pqc_labels", cliff=cliff)
    env = family.vectorise(5, 3)
    tasks = family.sample(5, "test")
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    total, steps, over = torch.zeros(15), torch.zeros(15), torch.zeros(15, dtype=torch.bool)
    for t in range(20):
        right = pennylane(tasks.repeat_interleave(3), observation) > 0
        mistake = torch.tensor([False, True, t == 3]).repeat(5)
        observation, reward, terminated, truncated, _ = env.step((right ^ mistake).long())
        total, steps = total + reward, steps + ~over
        over = terminated | truncated
    assert total.tolist() == ([20, -1, 2] if cliff else [20, -20, 18]) * 5
    assert steps.tolist() == ([20, 1, 4] if cliff else [20, 20, 20]) * 5
    assert terminated.tolist() == [False, cliff, cliff] * 5 and truncated.tolist() == [True, not cliff, not cliff] * 5


# -- claims of the datasheet -------------------------------------------------------------------------------------------


def test_reuploading_model_can_represent_the_labelling_circuit() -> None:
    family = envs.make("pqc_labels")
    layer = QuantumLayer("reuploading", 2, 4, observables="global", initial_scale=1.0).double()
    points = grid(9)
    for i in range(3):
        task = family.sample(3, "test")[i]
        with torch.no_grad():
            layer.weights.copy_(task.weights[0])
            expected = layer(points / family.observation_scale)[:, 0]
        value = family.expectation(family.bind(task), points[None])[0]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layers", [1, 2])
def test_expectations_are_trigonometric_polynomials_of_twice_the_layers(layers: int) -> None:
    family = envs.make("pqc_labels", layers=layers)
    tasks = family.sample(3, "test")
    value = family.expectation(family.bind(tasks), grid(16).expand(3, -1, -1)).reshape(3, 16, 16)
    coefficient = torch.fft.fft2(value).abs() / 256
    degree = torch.fft.fftfreq(16, 1 / 16).abs()
    assert (coefficient[:, degree > 2 * layers] < 1e-14).all() and (
        coefficient[:, :, degree > 2 * layers] < 1e-14
    ).all()
    assert (coefficient[:, degree == 2 * layers] > 1e-4).any()


def test_no_weight_is_redundant() -> None:
    """The gradients of <ZZ> at 25 points span as many directions as there are weights."""
    layer = QuantumLayer(labelling_circuit(2), generator=torch.Generator().manual_seed(0)).double()
    gradients = [torch.autograd.grad(value, layer.weights, retain_graph=True)[0] for value in layer(grid(5))[:, 0]]
    assert len(layer.weights) == 10 and torch.linalg.matrix_rank(torch.stack(gradients)) == 10


def test_class_balance_is_as_in_the_datasheet() -> None:
    family = envs.make("pqc_labels")
    tasks = family.sample(1500, "test")
    with torch.no_grad():
        points = grid(16).expand(500, -1, -1)
        value = torch.cat([family.expectation(family.bind(tasks[i : i + 500]), points) for i in (0, 500, 1000)])
    outside = value.abs() >= 0.15
    one = ((value > 0) & outside).sum(1) / outside.sum(1)
    better = torch.maximum(one, 1 - one)
    assert 1 - outside.double().mean().item() == pytest.approx(0.22, abs=0.01)
    assert 20 * (2 * better.mean().item() - 1) == pytest.approx(3.0, abs=0.2)
    assert 20 * (2 * one.mean().item() - 1) == pytest.approx(0.0, abs=4 * 20 * 2 * one.std().item() / 1500**0.5)
    assert (better > 0.7).double().mean().item() == pytest.approx(0.034, abs=0.015)
    cliff = sum(better**k for k in range(1, 21)) - (1 - better**20)
    assert cliff.mean().item() == pytest.approx(0.41, abs=0.06)

    task = family.nominal_tasks(1)
    nominal = family.expectation(family.bind(task), grid(200)[None])[0]
    shown = nominal[nominal.abs() >= 0.15]
    assert (shown > 0).double().mean().item() == pytest.approx(0.48, abs=0.005)


def test_picture_shows_labels_margin_and_point() -> None:
    family = envs.make("pqc_labels")
    task = family.sample(2, "test")[1]
    env = family.make(task, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.shape == (400, 400, 3)
    # Row 0 is the top, x1 = 2π: rotated so that the axes are x0, x1.
    by_place = picture[::-1].transpose(1, 0, 2)
    middles = by_place[2::4, 2::4].reshape(-1, 3)
    value = pennylane(task, grid(100)).numpy()
    expected = np.where(value[:, None] > 0, (221, 132, 82), (76, 114, 176))
    expected[np.abs(value) < 0.15] = 225
    offset = grid(100).numpy() - observation
    far = np.linalg.norm(offset, axis=1) > 9 * SIDE / 400
    np.testing.assert_array_equal(middles[far], expected[far])
    row, column = np.nonzero((by_place == 0).all(-1))
    centre = (np.array([row.mean(), column.mean()]) + 0.5) * SIDE / 400
    np.testing.assert_allclose(centre, observation, atol=0.01)
    assert len(row) == pytest.approx(math.pi * 8**2, rel=0.05)
