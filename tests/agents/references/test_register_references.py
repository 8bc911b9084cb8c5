"""References of `quantum_memory` that measure every episode alike, against closed formulas and by playing."""

import itertools
import math

import numpy as np
import pytest
import torch

import envs
from agents.core.collect import collect
from agents.core.context import BuildContext
from agents.experiment.references import references
from agents.references import classical_memory, frame_tracking, helstrom, measure_both, swap_test
from agents.references.shared.adaptive import _best, _qubit_basis
from agents.references.shared.effects import mean_states, measured_effect, success_rate, unbiased_examples_effect
from agents.references.shared.registers import measure
from envs.quantum_memory import Config, QuantumMemory
from qrl.common.errors import UsageError

AGENTS = {
    "helstrom": helstrom,
    "classical_memory": classical_memory,
    "swap_test": swap_test,
    "measure_both": measure_both,
}
N_EPISODES = 20_000

# Success rates of helstrom, classical_memory, swap_test, measure_both. By hand: the swap test passes ψ⊗ψ always and
# independent vectors with probability (1 + 1/d) / 2; outcomes in one basis agree with probability 2 / (d + 1) for ψ⊗ψ,
# 1 / (d + 1) for an orthogonal pair, 1 / d for independent vectors, never for the singlet.
TABLE = {
    ("symmetry", 1): (1, 5 / 6, 1, 5 / 6),
    ("symmetry", 2): (1, 7 / 10, 1, 7 / 10),
    ("match", 1): (3 / 4, 2 / 3, 3 / 4, 2 / 3),
    ("match", 2): (3 / 4, 3 / 5, 3 / 4, 3 / 5),
    ("same", 1): (5 / 8, 7 / 12, 5 / 8, 7 / 12),
    ("same", 2): (11 / 16, 23 / 40, 11 / 16, 23 / 40),
    ("one_shot", 1): (1 / 2 + math.sqrt(3) / 12, 1 / 2 + math.sqrt(1 / 2) / 6, 5 / 8, 7 / 12),
    ("one_shot", 2): (1 / 2 + math.sqrt(3) / 8, 1 / 2 + math.sqrt(3 / 4) / 10, 11 / 16, 23 / 40),
    ("purity", 1): (5 / 8, 7 / 12, 5 / 8, 7 / 12),
    ("purity", 2): (11 / 16, 23 / 40, 11 / 16, 23 / 40),
}


def built(module, family, **options):
    context = BuildContext(family, torch.device("cpu"), pytest.fail, pytest.fail)  # a reference has no network
    return module.build(module.Config(**options), context)


def successes(agent, family, n_tasks=4):
    """Number of right answers in N_EPISODES episodes."""
    n_envs = N_EPISODES // n_tasks
    env, tasks = family.vectorise(n_tasks, n_envs), family.sample(n_tasks, "test")
    generator = torch.Generator().manual_seed(1)
    state = agent.begin(n_tasks, n_envs)
    rollout, _ = collect(env, agent, state, generator, seed=3, n_tasks=n_tasks, options={"tasks": tasks})
    assert set(rollout.returns.unique().tolist()) <= {0.0, 1.0}
    return float(rollout.returns.sum())


@pytest.mark.parametrize(("mode", "n_qubits"), TABLE)
def test_exact_and_played_success_rates(mode, n_qubits):
    """The lines equal the table; 20,000 episodes agree within four standard deviations; none exceeds Helstrom."""
    family = QuantumMemory(Config(mode=mode, n_qubits=n_qubits))
    optimum = TABLE[mode, n_qubits][0]
    for name, rate in zip(AGENTS, TABLE[mode, n_qubits], strict=True):
        agent = built(AGENTS[name], family, episodes=2)
        assert agent.expected_returns == pytest.approx([rate, rate], abs=1e-12), name
        assert rate <= optimum
        deviation = math.sqrt(N_EPISODES * rate * (1 - rate))
        assert successes(agent, family) == pytest.approx(N_EPISODES * rate, abs=4 * deviation), name


@pytest.mark.parametrize(
    ("n_qubits", "copies", "optimum", "in_one_basis"),
    [(1, 3, 3 / 4, 5 / 8), (1, 4, 27 / 32, 51 / 80), (1, 5, 29 / 32, 31 / 48), (2, 3, 27 / 32, 47 / 80)],
)
def test_purity_of_many_copies(n_qubits, copies, optimum, in_one_basis):
    """The permutation test is optimal.

    By hand, T = 3 bits in one basis: a pure state gives 000 and 111 with probability 1/4 each, a mixed one with 1/8.
    """
    family = QuantumMemory(Config(mode="purity", n_qubits=n_qubits, copies=copies))
    for name, rate in {"helstrom": optimum, "swap_test": optimum, "measure_both": in_one_basis}.items():
        agent = built(AGENTS[name], family)
        assert agent.expected_returns == pytest.approx([rate], abs=1e-12), name
        deviation = math.sqrt(N_EPISODES * rate * (1 - rate))
        assert successes(agent, family) == pytest.approx(N_EPISODES * rate, abs=4 * deviation), name


def test_outcomes_in_one_basis_need_no_coherent_memory():
    """The effect is diagonal in the computational basis, and its entries are the Bayes-optimal answers."""
    effect = measured_effect(*mean_states(QuantumMemory(Config(mode="match"))))
    np.testing.assert_array_equal(effect, np.diag([0, 1, 1, 0]))


def partial_transposes(effect, dim, n=3):
    """The partial transposes of an operator on `n` registers in each register."""
    tensor = effect.reshape((dim,) * (2 * n))
    return [np.swapaxes(tensor, k, n + k).reshape(effect.shape) for k in range(n)]


@pytest.mark.parametrize("dim", [2, 4, 8])
def test_unbiased_examples_need_no_coherent_memory(dim):
    """The effect of either answer has positive partial transposes, and the rate is the ceiling; at n = 3, too."""
    effect = unbiased_examples_effect(dim)
    for each in (effect, np.eye(dim**3) - effect):
        for transposed in partial_transposes(each, dim):
            assert np.linalg.eigvalsh(transposed).min() > -1e-12
    family = QuantumMemory(Config(mode="one_shot", n_qubits=dim.bit_length() - 1))
    ceiling = 1 / 2 + math.sqrt(1 - 1 / dim) / (2 * (dim + 1))
    assert success_rate(effect, mean_states(family)) == pytest.approx(ceiling, abs=1e-12)


def unit(*angles):
    """Product of qubits along directions in the XZ plane, each at an angle from Z."""
    product = np.ones(1)
    for angle in angles:
        product = np.kron(product, [np.cos(angle / 2), np.sin(angle / 2)])
    return product


@pytest.mark.parametrize(
    ("n_qubits", "copies", "rate"),
    [(1, 2, 7 / 12), (1, 3, 5 / 8), (1, 4, 0.667851), (1, 5, 0.690625), (1, 6, 0.711310), (2, 3, 0.5875)],
)
def test_adaptive_measurement_of_copies(n_qubits, copies, rate):
    """Values by an exhaustive search over trees of bases; the effect needs no coherent memory, and playing agrees."""
    family = QuantumMemory(Config(mode="purity", n_qubits=n_qubits, copies=copies))
    agent = built(classical_memory, family)
    effect = agent.effects[0].numpy()
    assert success_rate(effect, mean_states(family)) == pytest.approx(rate, abs=1e-6)
    assert rate < agent.line + 1e-12 and agent.label.endswith("(bound)") == (copies > 2)
    assert agent.expected_returns == [family.classical_ceiling.value]
    np.testing.assert_allclose(effect @ effect, effect, atol=1e-12)
    for transposed in partial_transposes(effect, family.registers.dim, copies):
        assert np.linalg.eigvalsh(transposed).min() > -1e-12
    deviation = math.sqrt(N_EPISODES * rate * (1 - rate))
    assert successes(agent, family) == pytest.approx(N_EPISODES * rate, abs=4 * deviation)


def test_adaptive_measurement_equals_an_enumeration_of_trees():
    """Three qubits in bases Z and X, every choice of the second and third basis enumerated: 5/8, as in one basis."""
    family = QuantumMemory(Config(mode="purity", copies=3))
    first, second = mean_states(family)
    weight = {}
    for angles in itertools.product((0, np.pi / 2, np.pi, 3 * np.pi / 2), repeat=3):
        vector = unit(*angles)
        weight[angles] = abs(vector @ (second - first).real @ vector)
    best = 0.0
    for one, *two in itertools.product((0, np.pi / 2), repeat=3):
        for third in itertools.product((0, np.pi / 2), repeat=4):
            outcomes = itertools.product((0, np.pi), repeat=2)
            total = 0.0
            for (a, b), basis in zip(outcomes, third, strict=True):
                pair = (one + a, two[a > 0] + b)
                total += sum(weight[(*pair, basis + c)] for c in (0, np.pi))
            best = max(best, 1 / 2 + total / 4)
    effect = _best(second - first, [_qubit_basis(0.0), _qubit_basis(np.pi / 2)], 3)[1]
    assert success_rate(effect, (first, second)) == pytest.approx(best, abs=1e-12) == 5 / 8


def test_helstrom_needs_a_coherent_memory():
    """The check of partial transposes rejects Helstrom's effect."""
    effect = built(helstrom, QuantumMemory(Config(mode="one_shot"))).effects[0].numpy()
    smallest = min(np.linalg.eigvalsh(each).min() for each in partial_transposes(effect, 2))
    assert smallest == pytest.approx(1 / 2 - 1 / math.sqrt(3))


def ensemble(vectors, n):
    """`n` lanes with the product of |0⟩ and one of `vectors`, in turn."""
    zero = torch.tensor([1.0, 0.0], dtype=torch.complex128)
    second = torch.tensor(vectors, dtype=torch.complex128).repeat(n // len(vectors), 1)
    return (zero[:, None] * second[:, None, :]).flatten(-2)[None]


def test_swap_test_is_linear_in_the_density_matrix():
    """Two ensembles with the same mixed state fail alike: with probability (1 - 1/2) / 2."""
    agent = built(swap_test, QuantumMemory(Config(mode="match")))
    half, n = 2**-0.5, N_EPISODES
    for vectors in ([[1, 0], [0, 1]], [[half, half], [half, -half]], [[half, half * 1j], [half, -half * 1j]]):
        failed = measure(agent.effects, ensemble(vectors, n), torch.Generator().manual_seed(0)).sum()
        assert float(failed) == pytest.approx(n / 4, abs=4 * math.sqrt(n * 3 / 16))


def test_answers_do_not_depend_on_a_global_phase():
    agent = built(helstrom, QuantumMemory(Config(mode="same", n_qubits=2)))
    vectors = torch.randn(1, 500, 16, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    joint = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    phase = np.exp(1j * np.pi / 3)
    one, other = (measure(agent.effects, x, torch.Generator().manual_seed(2)) for x in (joint, phase * joint))
    assert torch.equal(one, other) and 0 < int(one.sum()) < 500


def test_three_outcomes_have_the_probabilities_of_their_effects():
    """Effects |1⟩⟨1| and |2⟩⟨2| on amplitudes √.5, √.3, √.2 in dimension 3; the remaining outcome is 0."""
    effects = torch.zeros(2, 3, 3, dtype=torch.complex128)
    effects[0, 1, 1] = effects[1, 2, 2] = 1
    joint = torch.tensor([0.5, 0.3, 0.2], dtype=torch.complex128).sqrt().expand(1, N_EPISODES, 3)
    counts = measure(effects, joint, torch.Generator().manual_seed(0)).flatten().bincount().numpy()
    np.testing.assert_allclose(counts / N_EPISODES, [0.5, 0.3, 0.2], atol=4 * 0.5 / N_EPISODES**0.5)


def test_references_of_the_family():
    family = QuantumMemory(Config(mode="match"))
    found = references(family, 3)
    assert list(found) == ["helstrom", "classical_memory", "swap_test", "measure_both"]
    assert found["helstrom"].expected_returns == pytest.approx([0.75] * 3)


def test_other_families_are_refused():
    bandit = envs.make("bandit")
    for name, module in {**AGENTS, "frame_tracking": frame_tracking}.items():
        with pytest.raises(UsageError, match=f"agent {name}: supports only quantum_memory, not 'bandit'"):
            built(module, bandit)
