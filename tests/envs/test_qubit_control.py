"""Qubit control: the Lindblad equation against other solvers and closed forms, rewards and observations."""

import math
from functools import reduce
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from torch import Tensor

import envs
from envs import Tasks
from envs.dynamics.measurement import binomial
from envs.dynamics.qubits import evolve, generators, norm_bound, taylor_order
from envs.qubit_control import MAX_STEP_NORM, SLOT, QubitControl
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}
LASTS = 1e14
"""A time constant of a decay that is none [us]."""


def family(**options) -> QubitControl:
    made = envs.make("qubit_control", **options)
    assert isinstance(made, QubitControl)
    return made


def word(letters: str) -> np.ndarray:
    return reduce(np.kron, (PAULI[letter] for letter in letters))


def on(letter: str, qubit: int, n: int) -> np.ndarray:
    return word("I" * qubit + letter + "I" * (n - 1 - qubit))


def names(n: int) -> list[str]:
    return ["".join(letters) for letters in product("IXYZ", repeat=n)]


def density(vector: Tensor, n: int) -> np.ndarray:
    """The density matrix of a vector of expectation values."""
    return sum(float(value) * word(name) for value, name in zip(vector, names(n), strict=True)) / 2**n


def expectations(rho: np.ndarray, n: int) -> np.ndarray:
    return np.array([np.trace(word(name) @ rho).real for name in names(n)])


def physics(row: dict, action: np.ndarray, n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Hamiltonian [rad/us] and jump operators [1/√us] of a slot, from the datasheet."""
    x, y = np.clip(action, -1, 1).reshape(n, 2).T
    h = np.zeros((2**n, 2**n), dtype=complex)
    jumps = []
    for q in range(n):
        rabi = 2 * np.pi * 1.0 * (1 + row["amplitude"][q])
        drive = (x[q] + 1j * y[q]) * np.exp(1j * row["phase"][q])
        h += np.pi * row["detuning"][q] * on("Z", q, n)
        h += rabi / 2 * (drive.real * on("X", q, n) + drive.imag * on("Y", q, n))
        lower = (on("X", q, n) + 1j * on("Y", q, n)) / 2  # |0><1|
        jumps += [lower / np.sqrt(row["t1"][q]), on("Z", q, n) / np.sqrt(2 * row["t_phi"][q])]
    for q in range(n - 1):
        h += 2 * np.pi * row["coupling"][q] / 4 * on("Z", q, n) @ on("Z", q + 1, n)
    return h, jumps


def superoperator(h: np.ndarray, jumps: list[np.ndarray]) -> np.ndarray:
    """Superoperator on the column-stacked density matrix: A rho B is kron(B^T, A) vec(rho)."""
    one = np.eye(len(h))
    total = -1j * (np.kron(one, h) - np.kron(h.T, one))
    for jump in jumps:
        rate = jump.conj().T @ jump
        total += np.kron(jump.conj(), jump) - (np.kron(one, rate) + np.kron(rate.T, one)) / 2
    return total


def episode(made: QubitControl, tasks: Tasks, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """States, rewards and observations after each slot [time, lane, ...]; actions are [time, lane, act]."""
    state = made.initial_state(tasks, torch.Generator().manual_seed(0))
    steps = []
    for action in actions:
        state, reward, _ = made.transition(state, action, tasks)
        steps.append((state, reward, made.observe(state, tasks)))
    states, rewards, seen = map(torch.stack, zip(*steps, strict=True))
    return states, rewards, seen


def pulses(made: QubitControl, lanes: int, seed: int = 0, size: float = 0.8) -> Tensor:
    """Random pulses, sometimes beyond the bounds."""
    generator = torch.Generator().manual_seed(seed)
    shape = (made.horizon, lanes, 2 * made.n_qubits)
    return size * torch.randn(shape, dtype=torch.float64, generator=generator)


# -- against other solvers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_episodes_equal_the_superoperator_exponential(n: int, split: str) -> None:
    """With density matrices in place of Pauli vectors, and a dense exponential in place of the series."""
    made, lanes = family(n_qubits=n), 2
    tasks, actions = made.sample(lanes, split, np.random.default_rng(0)), pulses(made, lanes)
    states, rewards, _ = episode(made, tasks, actions)
    ket = np.full(2**n, 2 ** (-n / 2))
    for lane, row in enumerate(tasks.rows()):
        rho = np.zeros((2**n, 2**n), dtype=complex)
        rho[0, 0] = 1
        for t in range(made.horizon):
            flow = expm(SLOT * superoperator(*physics(row, actions[t, lane].numpy(), n)))
            rho = (flow @ rho.flatten("F")).reshape(rho.shape, order="F")
            np.testing.assert_allclose(made.vector(states[t])[lane].numpy(), expectations(rho, n), rtol=0, atol=1e-12)
        assert rewards[-1, lane].item() == pytest.approx((ket @ rho @ ket).real, abs=1e-12)


def test_episode_equals_numerical_integration_of_the_lindblad_equation() -> None:
    made = family(n_qubits=2, horizon=4)
    tasks, actions = made.sample(1, "test"), pulses(made, 1)
    states, _, _ = episode(made, tasks, actions)
    rho = np.zeros(16, dtype=complex)
    rho[0] = 1
    for action in actions[:, 0].numpy():
        h, jumps = physics(tasks.rows()[0], action, 2)

        def slope(_: float, flat: np.ndarray, h: np.ndarray = h, jumps: list[np.ndarray] = jumps) -> np.ndarray:
            r = flat.reshape(4, 4)
            total = -1j * (h @ r - r @ h)
            for jump in jumps:
                rate = jump.conj().T @ jump
                total = total + jump @ r @ jump.conj().T - (rate @ r + r @ rate) / 2
            return total.ravel()

        rho = solve_ivp(slope, (0, SLOT), rho, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    expected = expectations(rho.reshape(4, 4), 2)
    np.testing.assert_allclose(made.vector(states[-1])[0].numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_states_remain_density_matrices(n: int) -> None:
    made = family(n_qubits=n)
    tasks = made.sample(3, "ood")
    for state in episode(made, tasks, pulses(made, 3, size=2.0))[0][::5].flatten(0, 1):
        vector = made.vector(state[None])[0]
        assert vector[0].item() == pytest.approx(1, abs=1e-14), "the trace"
        eigenvalues = np.linalg.eigvalsh(density(vector, n))
        assert eigenvalues.min() > -1e-13 and (eigenvalues**2).sum() < 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_slots_are_accurate_up_to_the_fastest_accepted_tasks(n: int) -> None:
    """The norm bound is valid and the series long enough for it, for random matrices."""
    generator = torch.Generator().manual_seed(n)
    local = torch.rand(20, n, 5, dtype=torch.float64, generator=generator)
    local[..., :3] = 2 * local[..., :3] - 1
    coupling = 2 * torch.rand(20, n - 1, dtype=torch.float64, generator=generator) - 1
    parts = [
        (local * torch.tensor(keep, dtype=torch.float64), coupling * keep[0])
        for keep in ([1, 1, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0])
    ]
    words = torch.eye(4**n, dtype=torch.float64)
    for rates in parts:
        bound = norm_bound(*rates)
        for lane in range(20):
            one = [rate[lane : lane + 1] / bound[lane] for rate in rates]  # of speed 1
            wide = [rate.expand(4**n, *rate.shape[1:]) for rate in one]
            flow = evolve(words, generators(*wide), MAX_STEP_NORM * n, taylor_order(MAX_STEP_NORM * n)).T
            # The generator, from a step so small that second-order terms vanish.
            matrix = (evolve(words, generators(*wide), 1e-6, 1).T - words) * 1e6
            assert torch.linalg.matrix_norm(matrix, 2) < 1 + 1e-9
            np.testing.assert_allclose(flow.numpy(), expm(MAX_STEP_NORM * n * matrix.numpy()), rtol=0, atol=2e-9)


def test_series_remainder_is_within_its_bound() -> None:
    """The series is also not much longer than necessary."""
    for bound, error in ((0.1, 1e-6), (1.0, 1e-6), (3.0, 1e-6), (3.0, 1e-12)):
        order = taylor_order(bound, error)
        terms = [bound**k / math.factorial(k) for k in range(60)]
        assert sum(terms[order + 1 :]) < error < sum(terms[order - 2 :])
    assert [taylor_order(1.0, error) for error in (7e-6, 8e-6)] == [9, 8]  # e / 9! = 7.49e-6


# -- closed forms ------------------------------------------------------------------------------------------------------


def still(made: QubitControl, **values) -> Tasks:
    """A device without decay, nominal except for these values."""
    return made.task({"t1": LASTS, "t_phi": LASTS} | values)


def test_half_a_turn_flips_a_qubit() -> None:
    """20 slots of a full drive along any axis; half of them make |0> a superposition, here (|0> - i |1>) / √2."""
    made = family(target="flip", observe="pauli")
    for phase in (0.0, 1.0):
        states, rewards, seen = episode(made, still(made, phase=phase), torch.tensor([1.0, 0.0]).expand(20, 1, 2))
        assert rewards[-1].item() == pytest.approx(1, abs=1e-12) and not rewards[:-1].any()
        expected = [math.sin(phase), -math.cos(phase), 0.0, 0.5]
        np.testing.assert_allclose(seen[9, 0].numpy(), expected, rtol=0, atol=1e-12)
    assert states[-1, 0, 0] == 20


def test_rabi_oscillations_of_a_detuned_qubit() -> None:
    """P(1) = Ω² / (Ω² + Δ²) sin²(√(Ω² + Δ²) t / 2), Ω = 2π 0.9 · 0.7 MHz, Δ = 2π 0.6 MHz, at all times, both signs."""
    made = family(target="flip", reward="every", horizon=60)
    rabi, detuning = 2 * math.pi * 0.9 * 0.7, 2 * math.pi * 0.6
    t = SLOT * torch.arange(1, 61, dtype=torch.float64)
    total = math.hypot(rabi, detuning)
    expected = rabi**2 / total**2 * (total * t / 2).sin() ** 2
    for sign in (1, -1):
        tasks = still(made, detuning=sign * 0.6, amplitude=-0.1, phase=0.3)
        _, rewards, _ = episode(made, tasks, torch.tensor([0.0, 0.7], dtype=torch.float64).expand(60, 1, 2))
        np.testing.assert_allclose(rewards[:, 0].numpy(), expected.numpy(), rtol=0, atol=1e-12)
    assert expected.max() < 0.6, "a detuned qubit is not flipped"


def rest(made: QubitControl, tasks: Tasks, vector: list[float] | Tensor) -> Tensor:
    """Evolve this vector without a drive [time, word]."""
    state = torch.cat([torch.zeros(1), torch.as_tensor(vector)]).double()[None]
    found = []
    for _ in range(made.horizon):
        state, _, _ = made.transition(state, torch.zeros(1, 2 * made.n_qubits), tasks)
        found.append(made.vector(state)[0])
    return torch.stack(found)


def test_decay_and_precession_are_exponential() -> None:
    """From |1>: <Z> = 1 - 2 exp(-t/T1). From |+>: <X> + i <Y> = exp(-t/T2 + i Δ t), 1/T2 = 1/(2 T1) + 1/Tφ."""
    made = family()
    tasks = made.task({"t1": 0.4, "t_phi": 0.7, "detuning": 0.8})
    t = SLOT * np.arange(1, 21)
    excited = rest(made, tasks, [1.0, 0.0, 0.0, -1.0]).numpy()
    np.testing.assert_allclose(excited[:, 3], 1 - 2 * np.exp(-t / 0.4), rtol=0, atol=1e-12)
    plus = rest(made, tasks, [1.0, 1.0, 0.0, 0.0]).numpy()
    expected = np.exp((-1 / 0.8 - 1 / 0.7 + 2j * np.pi * 0.8) * t)
    np.testing.assert_allclose(plus[:, 1] + 1j * plus[:, 2], expected, rtol=0, atol=1e-12)


def test_coupled_qubits_entangle_and_return() -> None:
    """From |++>: <XI> = <IX> = cos(J t / 2), <YZ> = <ZY> = sin(J t / 2); of three, the middle one sees two."""
    made = family(n_qubits=3)
    couplings = 2 * np.pi * np.array([1.7, 2.2])
    tasks = still(made, coupling=[1.7, 2.2])
    plus = torch.tensor([float(set(name) <= {"I", "X"}) for name in names(3)])
    place = {name: i for i, name in enumerate(names(3))}
    found, t = rest(made, tasks, plus).numpy(), SLOT * np.arange(1, 21)
    first, last = (np.exp(0.5j * j * t) for j in couplings)
    expected = {
        "XII": first.real,
        "YZI": first.imag,
        "ZYI": first.imag * last.real,
        "IIX": last.real,
        "IZY": last.imag,
        "IXI": first.real * last.real,
        "ZXZ": -first.imag * last.imag,
        "ZII": 0 * t,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[:, place[name]], values, rtol=0, atol=1e-12, err_msg=name)


def test_amplitude_and_phase_errors_of_the_drive() -> None:
    """An amplitude error of 0.25 is a drive 1.25 times as strong; a phase of φ rotates the drive axis by φ."""
    made = family(n_qubits=2)
    exact, actions = still(made), pulses(made, 1, size=0.3).clamp(-0.5, 0.5)
    off = still(made, amplitude=[0.25, 0.0], phase=[0.0, 0.9])
    turned = torch.view_as_real(torch.view_as_complex(actions[..., 2:].contiguous()) * np.exp(0.9j))
    wanted = torch.cat([1.25 * actions[..., :2], turned], dim=-1)
    torch.testing.assert_close(episode(made, off, actions)[0], episode(made, exact, wanted)[0], rtol=0, atol=1e-13)
    beyond = torch.full((20, 1, 4), 7.0, dtype=torch.float64)
    assert torch.equal(episode(made, exact, beyond)[0], episode(made, exact, beyond.clamp(-1, 1))[0])


# -- rewards and observations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_rewards_are_fidelities(n: int) -> None:
    kets = {"plus": np.ones(2**n), "flip": np.eye(2**n)[-1], "ghz": np.eye(2**n)[0] + np.eye(2**n)[-1]}
    for target, ket in kets.items():
        every, final = (family(n_qubits=n, target=target, reward=reward) for reward in ("every", "final"))
        tasks, actions = every.sample(2, "test"), pulses(every, 2)
        states, rewards, _ = episode(every, tasks, actions)
        ket = ket / np.linalg.norm(ket)
        for t, lane in product((0, 7, 19), range(2)):
            rho = density(every.vector(states[t])[lane], n)
            assert rewards[t, lane].item() == pytest.approx((ket @ rho @ ket).real, abs=1e-12)
        _, paid, _ = episode(final, tasks, actions)
        assert torch.equal(paid[-1], rewards[-1]) and not paid[:-1].any()
        assert float(rewards.min()) > 0 and float(rewards.max()) < 1


SEEN = {
    ("z", 1): ["Z"],
    ("z", 3): ["ZII", "IZI", "IIZ", "ZZI", "ZIZ", "IZZ"],
    ("pauli", 1): ["X", "Y", "Z"],
    ("pauli", 2): [*("XI", "YI", "ZI", "IX", "IY", "IZ"), *(a + b for a in "XYZ" for b in "XYZ")],
    ("time", 2): [],
}


@pytest.mark.parametrize(("observe", "n"), SEEN)
def test_observations_are_the_stated_expectation_values_and_the_time(observe: str, n: int) -> None:
    made = family(n_qubits=n, observe=observe, horizon=5)
    tasks = made.sample(2, "test")
    states, _, seen = episode(made, tasks, pulses(made, 2))
    assert seen.shape[-1] == made.observation_space.shape[0] == len(SEEN[observe, n]) + 1
    for t, lane in product(range(5), range(2)):
        rho = density(made.vector(states[t])[lane], n)
        expected = [np.trace(word(name) @ rho).real for name in SEEN[observe, n]]
        np.testing.assert_allclose(seen[t, lane].numpy(), [*expected, 1 - (t + 1) / 5], rtol=0, atol=1e-12)
    start = made.observe(made.initial_state(tasks, torch.Generator()), tasks)[0].tolist()
    assert start == [*(float(set(name) <= {"I", "Z"}) for name in SEEN[observe, n]), 1.0]


def test_three_qubits_are_observed_in_words_of_at_most_two_letters() -> None:
    assert family(n_qubits=3, observe="pauli").observation_space.shape == (9 + 27 + 1,)


@pytest.mark.parametrize(
    "options",
    [
        {"n_qubits": 2, "target": "ghz", "observe": "pauli", "shots": 30, "reward": "every", "horizon": 4},
        {"n_qubits": 3, "target": "flip", "horizon": 5},
        {"target": "flip", "observe": "time", "horizon": 6},
    ],
)
def test_every_variant_passes_the_checks(options: dict) -> None:
    assert envs.check(family(**options))


def test_picture_has_a_column_for_each_qubit() -> None:
    env = envs.make("qubit_control", n_qubits=3, target="ghz").make(render_mode="rgb_array")
    env.reset(seed=0)
    drawn = env.render()
    assert drawn is not None and drawn.shape == (240, 360, 3)
    # |0> of each: up in the upper view, centred in the lower one; the target's qubits have no direction.
    for qubit in range(3):
        centre = 60 + 120 * qubit
        assert drawn[10, centre].tolist() == drawn[180, centre].tolist() == [214, 39, 40]
        assert drawn[60, centre].tolist() == [80, 180, 80]


# -- shots -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 10_000, 100_000])
def test_counts_are_quantiles_of_the_binomial_distribution(trials: int) -> None:
    rng = np.random.default_rng(trials)
    p = np.concatenate([rng.random(300), 10 ** rng.uniform(-7, -1, 100), 1 - 10 ** rng.uniform(-7, -1, 100)])
    u = np.concatenate([rng.random(400), 10 ** rng.uniform(-9, -1, 50), 1 - 10 ** rng.uniform(-9, -1, 50)])
    found = binomial(torch.from_numpy(u), torch.from_numpy(p), trials).numpy()
    # The count whose interval of cumulative probabilities contains the number, up to rounding at the ends.
    assert (stats.binom.cdf(found, trials, p) > u - 1e-9).all()
    assert (stats.binom.cdf(found - 1, trials, p) <= u + 1e-9).all()


def test_deterministic_outcomes_are_measured_without_error() -> None:
    u = torch.tensor([0.0, 0.5, 1 - 1e-16, 0.0, 0.5, 1 - 1e-16], dtype=torch.float64)
    p = torch.tensor([0.0] * 3 + [1.0] * 3, dtype=torch.float64)
    assert binomial(u, p, 50).tolist() == [0, 0, 0, 50, 50, 50]


def test_shot_estimates_are_unbiased_with_the_expected_variance() -> None:
    """(1 - m²) / shots for an expectation value, F (1 - F) / shots for the fidelity; independent of each other."""
    shots, lanes, steps = 25, 20_000, 3
    options = {"observe": "pauli", "horizon": steps, "reward": "every"}
    exact, made = family(**options), family(**options, shots=shots)
    one = exact.sample(1, "test")
    tasks = one.repeat_interleave(lanes)
    actions = pulses(exact, 1, seed=3)
    _, fidelity, mean = episode(exact, one, actions)
    _, paid, seen = episode(made, tasks, actions.expand(-1, lanes, -1))
    assert torch.equal(seen[..., -1], mean[..., -1].expand(-1, lanes)), "the time is known"
    expected = torch.cat([mean[:, 0, :-1], fidelity], dim=1).numpy()
    estimates = torch.cat([seen[..., :-1], paid[..., None]], dim=-1).numpy()
    variance = np.where(np.arange(4) < 3, 1 - expected**2, expected * (1 - expected)) / shots
    counts = shots * (1 + estimates[..., :-1]) / 2
    np.testing.assert_allclose(counts, counts.round(), rtol=0, atol=1e-9)
    assert (np.abs(estimates.mean(1) - expected) < 4.5 * np.sqrt(variance / lanes)).all()
    p = np.where(np.arange(4) < 3, (1 + expected) / 2, expected)
    # standard error of a variance, from the kurtosis
    spread = np.sqrt((2 + stats.binom.stats(shots, p, moments="k")) / lanes)
    assert (np.abs(estimates.var(1) / variance - 1) < 4.5 * spread).all()
    columns = estimates.transpose(1, 0, 2).reshape(lanes, -1)
    others = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(others).max() < 4.5 / math.sqrt(lanes)


def test_shot_noise_follows_the_seed_and_observing_has_no_side_effect() -> None:
    made = family(shots=20)
    tasks, actions = made.sample(50, "test"), pulses(made, 50)

    def play(seed: int) -> tuple[Tensor, Tensor]:
        env = made.vectorise(50, 1)
        seen = [env.reset(seed=seed, options={"tasks": tasks})[0]]
        for action in actions:
            seen.append(env.step(action)[0])
            assert torch.equal(made.observe(env.state, tasks), made.observe(env.state, tasks))
            torch.testing.assert_close(made.observe(env.state, tasks).float(), seen[-1], rtol=0, atol=0)
        return torch.stack(seen), env.state

    first, again, other = play(1), play(1), play(2)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert torch.equal(made.vector(first[1]), made.vector(other[1])), "the qubits do not feel the shots"
    assert (first[0][0, :, 0] == 1).all(), "|0> is what every shot finds"
    exact = made.vector(first[1])[:, 3]
    assert 0.02 < (first[0][-1, :, 0] - exact).std() < 0.3


def test_uncertain_initial_measurements_have_shot_noise() -> None:
    made = family(shots=20, observe="pauli")
    env = made.vectorise(1, 500)
    start, _ = env.reset(seed=0)
    assert (start[:, 2] == 1).all() and float(start[:, 0].std()) == pytest.approx(1 / math.sqrt(20), rel=0.15)


# -- purpose of the tasks ----------------------------------------------------------------------------------------------


def quarter_turn(tasks: Tasks, phase: Tensor) -> Tensor:
    """A square pulse to (|0> + |1>) / √2 for a resonant qubit, about y rotated back by `phase` [time, lane, act].

    In the last slots, so that the qubit has little time to dephase: 0.25 turns at √2 MHz.
    """
    length = 0.25 / (math.sqrt(2) * SLOT)
    share = (length - torch.arange(19, -1, -1, dtype=torch.float64)).clamp(0, 1)[:, None, None]
    angle = math.pi / 2 - phase
    return math.sqrt(2) * share * torch.stack([angle.cos(), angle.sin()], dim=-1)


def test_fixed_pulse_is_no_better_than_none_and_known_phase_is_best() -> None:
    """The mean over the phase of (1 + r cos φ) / 2 is 1/2. Along an axis the full drive is 1 MHz."""
    made = family()
    tasks = made.sample(500, "train", np.random.default_rng(0))
    zero = torch.zeros(500, dtype=torch.float64)
    blind = episode(made, tasks, quarter_turn(tasks, zero))[1][-1]
    informed = episode(made, tasks, quarter_turn(tasks, tasks.phase[:, 0]))[1][-1]
    assert blind.mean() == pytest.approx(0.5, abs=0.06) and informed.mean() > 0.9


# -- invalid input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "flipp"}, "unknown target 'flipp'; did you mean 'flip'"),
        ({"observe": "x"}, "unknown observe 'x'; choices: pauli, time, z"),
        ({"reward": "end"}, "unknown reward 'end'"),
        ({"n_qubits": 4}, "n_qubits must be at most 3, not 4"),
        ({"n_qubits": 0}, "n_qubits must be at least 1, not 0"),
        ({"shots": -1}, "shots must be at least 0, not -1"),
        ({"shots": 2.5}, "shots must be a whole number, not 2.5"),
        ({"shots": True}, "shots must be a whole number, not True"),
        ({"shots": 10**6}, "shots must be at most 100000, not 1000000"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_options_are_rejected(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        envs.make("qubit_control", **options)


def test_invalid_tasks_are_rejected() -> None:
    made = family(n_qubits=2)
    for values, message in (
        ({"t1": [1.0, 0.0]}, "t1 must be positive and finite, not 0"),
        ({"detuning": [0.0, 20.0]}, r"task 0: detuning, amplitude, .* by 3.53 rad in a slot of 25 ns; at most 2"),
        ({"coupling": [1.0, 2.0]}, r"coupling must be numbers of shape \(1,\)"),
        ({"coupling": 60.0}, "at most 2 can be solved"),
    ):
        with pytest.raises(UsageError, match=message):
            made.task(values)
    assert "coupling" not in family().parameters
