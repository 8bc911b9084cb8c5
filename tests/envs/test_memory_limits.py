"""Limits of coherent and classical memories on quantum data, by eigenvalues and by a linear programme.

Upper limit of classical memories: they are tests M, I - M with positive partial transposes (PPT) for every bipartition
of the registers. The states of both cases do not change under U ⊗ ... ⊗ U, nor, except in `one_shot`, under
permutations of the registers. Averaging a test over both keeps its success rate and PPT. By Schur-Weyl duality the
average is M = Σ y_λ Π_λ with the projectors on the Young types λ. Their partial transposes commute (checked below), so
that PPT means linear inequalities for the y_λ: one for each common eigenvalue.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

import envs
from envs.quantum_memory import QuantumMemory


def family(**config) -> QuantumMemory:
    made = envs.make("quantum_memory", **config)
    assert isinstance(made, QuantumMemory)
    return made


def exchange(d: int, n: int, i: int, j: int) -> np.ndarray:
    """Matrix that exchanges registers i and j of n."""
    axes = list(range(n))
    axes[i], axes[j] = j, i
    matrix = np.zeros((d**n, d**n))
    matrix[np.arange(d**n).reshape((d,) * n).transpose(axes).ravel(), np.arange(d**n)] = 1
    return matrix


def partial_transpose(matrix: np.ndarray, d: int, n: int, k: int) -> np.ndarray:
    """Transpose the first k of n registers."""
    axes = list(range(2 * n))
    for i in range(k):
        axes[i], axes[n + i] = n + i, i
    return matrix.reshape((d,) * (2 * n)).transpose(axes).reshape(matrix.shape)


def young_projectors(d: int, n: int) -> list[np.ndarray]:
    """Projectors on the Young types: eigenspaces of the sum of all exchanges, whose eigenvalues differ up to n = 6."""
    values, vectors = np.linalg.eigh(sum(exchange(d, n, i, j) for i, j in combinations(range(n), 2)))
    values = values.round()
    return [vectors[:, values == value] @ vectors[:, values == value].T for value in np.unique(values)]


def ppt_optimum(d: int, n: int, states: tuple[np.ndarray, np.ndarray]) -> tuple[float, np.ndarray]:
    """Largest success rate of a PPT test, and the operator of the best test for the first case."""
    projectors = young_projectors(d, n)
    gain = np.array([np.trace(each @ (states[0] - states[1])).real for each in projectors]) / 2
    rows = []
    for k in range(1, n // 2 + 1):
        transposed = [partial_transpose(each, d, n, k) for each in projectors]
        for one, other in combinations(transposed, 2):
            assert np.allclose(one @ other, other @ one, atol=1e-12)
        weights = np.random.default_rng(k).normal(size=len(projectors))
        _, vectors = np.linalg.eigh(sum(w * each for w, each in zip(weights, transposed, strict=True)))
        eigenvalues = np.stack([(vectors * (each @ vectors)).sum(0) for each in transposed], axis=1)
        rows.append(np.unique(eigenvalues.round(12), axis=0))
    matrix = np.concatenate(rows)
    solved = linprog(
        -gain, A_ub=np.concatenate([matrix, -matrix]), b_ub=np.repeat([1.0, 0.0], len(matrix)), bounds=(0, 1)
    )
    assert solved.success
    return 0.5 - solved.fun, sum(y * each for y, each in zip(solved.x, projectors, strict=True))


def success(test: np.ndarray, states: tuple[np.ndarray, np.ndarray]) -> float:
    """Success rate of answering 0 with the probability of `test`."""
    return float(0.5 + np.trace(test @ (states[0] - states[1])).real / 2)


PAIRS = [(mode, n) for mode in ("symmetry", "match", "same") for n in (1, 2, 3)]
COPIES = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (2, 2), (2, 3), (2, 4), (3, 2), (3, 3)]
TABLE = {
    ("symmetry", 1): (1, 0.8333), ("symmetry", 2): (1, 0.7000), ("symmetry", 3): (1, 0.6111),
    ("match", 1): (0.75, 0.6667), ("match", 2): (0.75, 0.6000), ("match", 3): (0.75, 0.5556),
    ("same", 1): (0.6250, 0.5833), ("same", 2): (0.6875, 0.5750), ("same", 3): (0.7188, 0.5486),
    ("one_shot", 1): (0.6443, 0.6179), ("one_shot", 2): (0.7165, 0.5866), ("one_shot", 3): (0.7526, 0.5520),
}  # fmt: skip


@pytest.mark.parametrize(("mode", "n"), TABLE)
def test_published_numbers(mode, n):
    made = family(mode=mode, n_qubits=n)
    assert (made.quantum_optimum, made.classical_ceiling.value) == pytest.approx(TABLE[mode, n], abs=6e-5)
    assert made.classical_ceiling.kind == "exact"


def test_by_hand():
    # Triplet: equal along Z with probability 2/3; singlet: never. Equal pairs pass the exchange test, others half.
    assert family(mode="symmetry").classical_ceiling.value == pytest.approx((2 / 3 + 1) / 2)
    assert family(mode="match").quantum_optimum == (1 + 1 / 2) / 2
    assert family(mode="match").classical_ceiling.value == pytest.approx((2 / 3 + (1 - 1 / 3)) / 2)


@pytest.mark.parametrize(
    "config",
    [{"mode": mode, "n_qubits": n} for mode, n in PAIRS]
    + [{"mode": "one_shot", "n_qubits": n} for n in (1, 2)]
    + [{"mode": "purity", "n_qubits": n, "copies": copies} for n, copies in COPIES if n * copies <= 8],
    ids=str,
)
def test_optimum_of_a_coherent_memory_is_helstroms(config):
    made = family(**config)
    first, second = made.case_states()
    for state in (first, second):
        assert np.trace(state) == pytest.approx(1) and np.linalg.eigvalsh(state)[0] > -1e-12
    optimum = 0.5 + np.abs(np.linalg.eigvalsh(first - second)).sum() / 4
    assert made.quantum_optimum == pytest.approx(optimum, abs=1e-12)
    assert made.classical_ceiling.value < optimum


@pytest.mark.parametrize(("mode", "n"), PAIRS)
def test_ceiling_of_pairs_is_the_ppt_optimum_and_is_attained(mode, n):
    made, d = family(mode=mode, n_qubits=n), 2**n
    states = made.case_states()
    bound, test = ppt_optimum(d, 2, states)
    assert made.classical_ceiling.value == pytest.approx(bound, abs=1e-9)
    assert success(test, states) == pytest.approx(bound, abs=1e-9)
    equal = np.diag(np.eye(d).ravel())  # measure both registers in one basis; answer 0 if the outcomes are equal
    assert success(equal, states) == pytest.approx(made.classical_ceiling.value, abs=1e-12)


@pytest.mark.parametrize(("n", "copies"), COPIES)
def test_bound_on_purity_is_the_ppt_optimum(n, copies):
    made, d = family(mode="purity", n_qubits=n, copies=copies), 2**n
    states = made.case_states()
    bound, test = ppt_optimum(d, copies, states)
    assert made.classical_ceiling.value == pytest.approx(bound, abs=1e-8)
    assert made.classical_ceiling.kind == ("exact" if copies == 2 else "bound")
    if d**copies <= 256:  # the best test is PPT, whatever the argument above
        assert success(test, states) == pytest.approx(bound, abs=1e-8)
        for k in range(copies // 2 + 1):
            values = np.linalg.eigvalsh(partial_transpose(test, d, copies, k))
            assert values[0] > -1e-8 and values[-1] < 1 + 1e-8


def test_bounds_on_purity_in_numbers():
    found = [family(mode="purity", copies=copies).classical_ceiling.value for copies in (2, 3, 4, 5)]
    assert found == pytest.approx([0.5833, 0.6875, 0.7063, 0.7708], abs=6e-5)
    found = [family(mode="purity", n_qubits=2, copies=copies).classical_ceiling.value for copies in (2, 3, 4)]
    assert found == pytest.approx([0.5750, 0.6719, 0.7204], abs=6e-5)
    assert family(mode="purity").classical_ceiling == family(mode="same").classical_ceiling


def test_frame_leaves_the_ceiling_unchanged():
    """A local turn maps PPT tests to PPT tests one to one, and the cases to those of a frame."""
    plain, turned = family(mode="symmetry"), family(mode="symmetry", frame="rz")
    assert plain.classical_ceiling == turned.classical_ceiling
    states = plain.case_states()
    bound, test = ppt_optimum(2, 2, states)
    turn = np.kron(np.eye(2), np.diag(np.exp([-0.4j, 0.4j])))
    moved = turn @ test @ turn.conj().T
    assert success(moved, tuple(turn @ state @ turn.conj().T for state in states)) == pytest.approx(bound)
    assert success(moved, states) < bound - 0.01
    spectra = [np.linalg.eigvalsh(partial_transpose(each, 2, 2, 1)) for each in (test, moved)]
    assert np.allclose(*spectra)


# -- one_shot ----------------------------------------------------------------------------------------------------------


def one_shot_success(states: tuple[np.ndarray, np.ndarray], first: np.ndarray, seconds: list[np.ndarray]) -> float:
    """Success rate if example a is measured in a basis (columns), b in one that depends on the outcome of a.

    The third register is measured optimally (Helstrom) given both outcomes. Coarser or mixed measurements are no
    better: their outcomes are functions of finer ones.
    """
    d = len(first)
    difference = (states[0] - states[1]).reshape((d,) * 6)
    total = 0.0
    for v, second in zip(first.T, seconds, strict=True):
        for w in second.T:
            left = np.einsum("a,b,abcdef,d,e->cf", v.conj(), w.conj(), difference, v, w)
            total += np.abs(np.linalg.eigvalsh(left)).sum()
            overlap = abs(np.vdot(v, w)) ** 2
            # The examples' posteriors differ by (|v><v| - |w><w|) / (d + 1), and every pair has probability 1 / d².
            assert np.abs(np.linalg.eigvalsh(left)).sum() == pytest.approx(
                2 * np.sqrt(max(0, 1 - overlap)) / (d + 1) / d**2, abs=1e-7
            )
    return 0.5 + total / 4


@pytest.mark.parametrize("n", [1, 2, 3])
def test_mutually_unbiased_measurements_attain_the_ceiling_of_one_shot(n):
    made, d = family(mode="one_shot", n_qubits=n), 2**n
    fourier = np.exp(2j * np.pi * np.outer(range(d), range(d)) / d) / np.sqrt(d)
    states = made.case_states()
    attained = one_shot_success(states, np.eye(d), [fourier] * d)
    assert attained == pytest.approx(made.classical_ceiling.value, abs=1e-9)
    if n == 2:
        assert one_shot_success(states, np.eye(d), [np.eye(d)] * d) == pytest.approx(0.575)


@pytest.mark.parametrize("n", [1, 2])
def test_no_adaptive_measurement_exceeds_the_ceiling_of_one_shot(n):
    """Jensen: Σ_w |<v|w>|² = 1 in every basis, so the mean over outcomes is 1/d, and √(1 - x) is concave."""
    made, d, rng = family(mode="one_shot", n_qubits=n), 2**n, np.random.default_rng(n)
    states = made.case_states()
    for _ in range(10):
        normal = rng.normal(size=(d + 1, d, d)) + 1j * rng.normal(size=(d + 1, d, d))
        first, *seconds = np.linalg.qr(normal).Q
        overlaps = [np.abs(second.conj().T @ v) ** 2 for v, second in zip(first.T, seconds, strict=True)]
        assert np.mean(overlaps) == pytest.approx(1 / d)
        assert one_shot_success(states, first, seconds) <= made.classical_ceiling.value + 1e-12
