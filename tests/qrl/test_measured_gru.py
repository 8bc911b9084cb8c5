"""The classical control on registers: a GRU on outcomes of measurements."""

import itertools

import numpy as np
import pytest
import torch

from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError
from tests.support.register_models import PAIR, PRODUCT, haar, histories, policy_of

HALF = 0.5**0.5


def yes_element(policy):
    """POVM element of answer 1 on both registers of a pair, from probabilities on product bases of states."""
    kets = np.array([[1, 0], [0, 1], [HALF, HALF], [HALF, 1j * HALF]])
    pairs = torch.as_tensor(np.stack([np.kron(a, b) for a, b in itertools.product(kets, kets)]))
    found = histories(policy, pairs[:, None])
    probability = sum(p for past, p in found.items() if past[-1] == 1).numpy()
    projectors = np.stack([np.outer(k, k.conj()).T.flatten() for k in pairs.numpy()])
    return np.linalg.solve(projectors, probability).reshape(4, 4)


def partial_transpose(matrix):
    return matrix.reshape(2, 2, 2, 2).transpose(2, 1, 0, 3).reshape(4, 4)


def test_fixed_measurement_is_in_the_computational_basis():
    """P(a, b) = |<ab|psi>|^2 for any weights, and nothing turns a register."""
    policy, states = policy_of("measured_gru", measurement="fixed", n_hidden=3), haar(PAIR, 5)
    found = histories(policy, states)
    for a, b in itertools.product(range(2), repeat=2):
        torch.testing.assert_close(found[a, b, 0] + found[a, b, 1], states[:, 0, 2 * a + b].abs().square())
    assert policy.cell.angles.numel() == policy.cell.steering.numel() == 0


def decided(policy):
    """The policy with answers that are certain after each history, as if it had learned them."""
    with torch.no_grad():
        for parameter in policy.cell.answers.parameters():
            parameter *= 1000
    return policy


def smallest_eigenvalues(element):
    """Smallest eigenvalue of an effect, its complement, and their partial transposes."""
    both = (element, np.eye(4) - element)
    return [min(np.linalg.eigvalsh(f(each)).min() for each in both) for f in (np.asarray, partial_transpose)]


@pytest.mark.parametrize("measurement", ["learned", "fixed"])
def test_measurements_are_those_of_a_classical_memory(measurement):
    """The POVM elements of the answers have positive partial transposes, unlike those of `coherent` in general."""
    for seed in range(5):
        element = yes_element(decided(policy_of("measured_gru", seed=seed, measurement=measurement, n_hidden=4)))
        assert min(smallest_eigenvalues(element)) > -1e-12
    coherent = [smallest_eigenvalues(yes_element(decided(policy_of("coherent", seed=seed)))) for seed in range(5)]
    assert min(of_element for of_element, _ in coherent) > -1e-12
    assert min(of_transpose for _, of_transpose in coherent) < -0.05


def test_equal_or_different_reaches_the_classical_ceiling():
    """By hand: answer 1 (antisymmetric) if outcomes differ. A singlet always does, a triplet in one case of three."""
    policy = policy_of("measured_gru", measurement="fixed", n_hidden=1)
    cell = policy.cell
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        # h = tanh(10 * last outcome), +1 for 0; before the first outcome 0. Logit of answer 1 for outcome b: -+ 60 h.
        cell.classical.gates.inputs[2, PAIR.n_registers] = 20
        cell.answers.weight[0, 1], cell.answers.weight[1, 1] = -60, 60
    element = yes_element(policy)
    different = np.diag([0, 1, 1, 0])
    np.testing.assert_allclose(element, different, atol=1e-9)
    singlet = np.array([0, HALF, -HALF, 0])
    antisymmetric = np.outer(singlet, singlet)
    rate = (np.trace(element @ antisymmetric) + np.trace((np.eye(4) - element) @ (np.eye(4) - antisymmetric)) / 3) / 2
    assert rate.real == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    "registers", [PAIR, PRODUCT, Registers(2, 2, entangled=True), Registers(1, 4, entangled=False)]
)
@pytest.mark.parametrize("measurement", ["learned", "fixed"])
def test_control_has_at_least_as_many_parameters(registers, measurement):
    def size(model, **options):
        return sum(p.numel() for p in policy_of(model, registers, **options).cell.parameters())

    found = size("measured_gru", measurement=measurement)
    width = policy_of("measured_gru", registers, measurement=measurement).cell.n_hidden
    assert found >= size("coherent")
    assert width == 1 or size("measured_gru", measurement=measurement, n_hidden=width - 1) < size("coherent")
    assert size("measured_gru", budget=1000) >= 1000


def test_a_memory_needs_transitions():
    with pytest.raises(UsageError, match="its memory needs an agent that adapts in context, such as rl2"):
        policy_of("measured_gru", episodes=0)
