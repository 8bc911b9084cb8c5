"""Coherent, dephased and measured memories by the measurement of all registers that they amount to.

Success rates are exact: traces of POVM elements with the mean states of the two cases.
"""

import math

import numpy as np
import pytest
import torch

from envs.quantum_memory import Config, QuantumMemory
from qrl.circuits.registers import Registers
from tests.support.double_precision import f64
from tests.support.register_povm import partial_transpose
from tests.support.register_trials import (
    PAIR,
    answer_elements,
    answer_table,
    cell_of,
    maximise_success,
    policy,
    success_rate,
)

FAMILIES = {mode: QuantumMemory(Config(mode=mode)) for mode in ("symmetry", "match", "same")}
TWO_QUBITS = Registers(2, 2, entangled=True)


def lowest(elements, dim):
    """Smallest eigenvalue of the partial transposes of the elements."""
    return min(np.linalg.eigvalsh(partial_transpose(each, dim)).min() for each in elements)


def decisive(made):
    """Cell with certain answers, all random."""
    cell = cell_of(made)
    with torch.no_grad():
        answer_table(cell).mul_(1e4)
    return cell


def with_bell_measurement(made):
    """One layer stores the first register by SWAP; the next is a Bell measurement, whose last outcome is the singlet.

    Angles are RZ, RY, RZ of memory and register, RXX, RYY, RZZ, then RZ, RY, RZ again.
    """
    quarter = math.pi / 2
    cell = cell_of(made)
    with torch.no_grad():
        cell.angles[0] = f64(0, 0, 0, 0, 0, 0, quarter, quarter, quarter, 0, 0, 0, 0, 0, 0)
        cell.angles[1] = f64(0, 0, 0, math.pi, quarter, 0, 0, 0, quarter, quarter, quarter, 0, quarter, quarter, 0)
        answer_table(cell).copy_(40 * f64(1, -1, 1, -1, 1, -1, -1, 1).view(4, 2))
    return cell


@pytest.mark.parametrize(("mode", "expected"), [("symmetry", 1), ("match", 3 / 4), ("same", 5 / 8)])
def test_singlet_projection_is_optimal_with_one_layer(mode, expected):
    """By hand: certain in `symmetry`; an orthogonal pair is a singlet half the time, an independent one a quarter."""
    cell = with_bell_measurement(policy(n_layers=1))
    assert success_rate(cell, FAMILIES[mode].case_states()) == pytest.approx(expected, abs=1e-12)
    assert FAMILIES[mode].quantum_optimum == pytest.approx(expected)
    singlet = np.outer([0, 1, -1, 0], [0, 1, -1, 0]) / 2
    np.testing.assert_allclose(answer_elements(cell)[1], singlet, atol=1e-12)


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1 / 3, 5 / 6), (1.0, 1 / 2)])
def test_depolarised_memory_succeeds_with_1_minus_half_of_p(p, expected):
    """By hand: the projection on the singlet of a maximally mixed pair has probability 1/4 in both cases.

    Success is (1 - p) + p (3/4 + 1/4) / 2; with p = 1/3 it is the classical ceiling.
    """
    cell = with_bell_measurement(policy(n_layers=1, depolarising=p))
    assert success_rate(cell, FAMILIES["symmetry"].case_states()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 1.0])
def test_dephased_memory_succeeds_with_1_minus_a_third_of_lambda(strength):
    """By hand: Z on half of a singlet makes it a triplet, and of one triplet in three a singlet.

    Z has probability lambda/2: success is 1 - lambda/4 (1 + 1/3), with lambda 1 below the ceiling.
    """
    cell = with_bell_measurement(policy(n_layers=1, memory="dephased", dephasing=strength))
    assert success_rate(cell, FAMILIES["symmetry"].case_states()) == pytest.approx(1 - strength / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("registers", "n_memory"), [(PAIR, 1), (PAIR, 2), (TWO_QUBITS, 2), (Registers(1, 3, entangled=True), 2)]
)
def test_measured_memory_is_a_fully_dephased_one(registers, n_memory):
    """Equal in the distribution of answers with the same weights, on any state of the registers."""
    elements = [
        answer_elements(decisive(policy(registers, n_layers=1, n_memory=n_memory, memory=memory, seed=5)))
        for memory in ("measured", "dephased", "coherent")
    ]
    np.testing.assert_allclose(elements[0], elements[1], atol=1e-13)
    assert np.abs(np.array(elements[0]) - elements[2]).max() > 0.01


@pytest.mark.parametrize(
    ("mode", "n_qubits", "n_seeds"), [("match", 1, 60), ("symmetry", 2, 6), ("one_shot", 1, 20), ("purity", 1, 20)]
)
def test_measured_memories_with_random_weights_keep_to_the_ceiling(mode, n_qubits, n_seeds):
    """All answers are certain. For pairs, partial transposes are positive, but not of each coherent memory."""
    family = QuantumMemory(Config(mode=mode, n_qubits=n_qubits))
    registers = Registers(n_qubits, family.registers.n_registers, entangled=True)
    ceiling, optimum, cases = family.classical_ceiling.value, family.quantum_optimum, family.case_states()
    coherent = []
    for seed in range(n_seeds):
        both = [decisive(policy(registers, memory=m, seed=seed, n_layers=2)) for m in ("measured", "coherent")]
        rates = [success_rate(cell, cases) for cell in both]
        assert 1 - ceiling < rates[0] < ceiling and 1 - optimum < rates[1] < optimum
        if registers.n_registers == 2:
            assert lowest(answer_elements(both[0]), registers.dim) > -1e-12
            coherent.append(lowest(answer_elements(both[1]), registers.dim))
    assert not coherent or min(coherent) < -0.05


@pytest.mark.parametrize("mode", ["symmetry", "match"])
def test_measured_memory_never_exceeds_the_ceiling_however_it_is_trained(mode):
    """Gradient ascent on the exact success rate comes close to the ceiling; coherent memories exceed it."""
    family = FAMILIES[mode]
    ceiling, optimum, cases = family.classical_ceiling.value, family.quantum_optimum, family.case_states()
    rates = {}
    for memory in ("measured", "coherent"):
        made = policy(memory=memory, seed=1, n_layers=2)
        maximise_success(made, cases, steps=100)
        rates[memory] = success_rate(cell_of(made), cases)
    assert ceiling - 0.01 < rates["measured"] < ceiling + 1e-12
    assert ceiling + 0.01 < rates["coherent"] < optimum + 1e-12
