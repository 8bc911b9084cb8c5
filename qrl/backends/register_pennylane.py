"""An episode on registers as a PennyLane QNode with mid-circuit measurements."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_

import numpy as np
import pennylane as qml
from numpy.typing import ArrayLike
from pennylane.measurements import MeasurementValue, ProbabilityMP

from qrl.backends.pennylane import GATES
from qrl.circuits.gates import Gate
from qrl.circuits.register_episode import RegisterEpisode
from qrl.common.errors import UsageError


def to_episode_qnode(episode: RegisterEpisode, device: object = None) -> Callable[[ArrayLike], np.ndarray]:
    """Return the episode as a QNode of the registers' joint state.

    The argument of the QNode is a vector of amplitudes [2**(registers * n_register)], register 0 most significant. It
    returns the probability of each combination of measured bits, with shots its frequency: for each step the bits of
    its outcome, then, if angles depend on them, those of its answer; the first bit is the most significant one.

    Args:
        episode: the episode.
        device: PennyLane device or its name; by default `default.qubit`, or `default.mixed` for a dephased memory.

    Raises:
        UsageError: the memory is dephased, and the device is not `default.mixed`.
    """
    if device is None:
        device = "default.mixed" if episode.dephasing else "default.qubit"
    if isinstance(device, str):
        device = qml.device(device, wires=_n_wires(episode))
    assert isinstance(device, qml.devices.Device)
    if episode.dephasing and device.name != "default.mixed":
        raise UsageError(f"backend: a dephased memory needs device default.mixed, not {device.name}")
    return qml.QNode(lambda state: _queue(episode, state), device, interface=None, diff_method=None)


def _n_wires(episode: RegisterEpisode) -> int:
    """Return the number of wires; PennyLane may defer each measurement to a wire of its own."""
    n_coins = (len(episode.steps) - 1) * episode.n_coins
    n_outcomes = sum(len(step.measured) for step in episode.steps)
    return episode.n_memory + len(episode.steps) * episode.n_register + n_coins + n_outcomes + n_coins


def _queue(episode: RegisterEpisode, state: ArrayLike) -> ProbabilityMP:
    """Queue the episode. Wires: memory, registers, coins."""
    n_memory, n_register, n_steps = episode.n_memory, episode.n_register, len(episode.steps)
    first_coin = n_memory + n_steps * n_register
    qml.StatePrep(np.asarray(state), wires=range(n_memory, first_coin))
    past: list[list[MeasurementValue]] = []
    bits: list[MeasurementValue] = []
    for position, step in enumerate(episode.steps):
        wires = [*range(n_memory), *range(n_memory + position * n_register, n_memory + (position + 1) * n_register)]
        _turn(episode, position, wires, past)
        _apply(step.gates, wires)
        outcome = [qml.measure(wires[wire]) for wire in step.measured]
        bits += outcome
        if position == n_steps - 1:
            break
        coins = range(first_coin + position * episode.n_coins, first_coin + (position + 1) * episode.n_coins)
        for coin in coins:
            qml.Hadamard(coin)
        answer = [qml.measure(coin) for coin in coins]
        past += [outcome, answer]
        bits += answer
        if episode.dephasing:
            for wire in range(n_memory):
                qml.PhaseFlip(episode.dephasing / 2, wires=wire)
    return qml.probs(op=bits)


def _turn(episode: RegisterEpisode, position: int, wires: Sequence[int], past: list[list[MeasurementValue]]) -> None:
    """Queue the rotations that depend on the history."""
    turns = episode.steps[position].turns
    if len(turns) == 1:
        _apply(turns[0], wires)
        return
    for history, gates in zip(episode.histories(position), turns, strict=True):
        values = [value for pair in history for value in pair]
        matches = [_equals(bits, value) for bits, value in zip(past, values, strict=True)]
        qml.cond(reduce(and_, matches), _apply)(gates, wires)


def _apply(gates: Sequence[Gate], wires: Sequence[int]) -> None:
    for gate in gates:
        angle = () if gate.angle is None else (float(gate.angle),)  # type: ignore[arg-type]
        GATES[gate.name](*angle, wires=[wires[wire] for wire in gate.wires])


def _equals(bits: Sequence[MeasurementValue], value: int) -> MeasurementValue:
    """Return whether bits, the most significant first, have this value."""
    wanted = [(value >> place) & 1 for place in reversed(range(len(bits)))]
    return reduce(and_, [bit if one else ~bit for bit, one in zip(bits, wanted, strict=True)])
