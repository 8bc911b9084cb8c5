"""Tasks on quantum data: course of an episode, ensembles of the cases, the hidden frame, and invalid options."""

from itertools import product

import numpy as np
import pytest
import torch

import envs
from agents.cli.main import main
from envs import Tasks
from envs.quantum_memory import Config, QuantumMemory
from qrl.common.errors import UsageError
from tests.support.rl2_training import learner

MODES = [
    {"mode": "symmetry"}, {"mode": "symmetry", "n_qubits": 2}, {"mode": "match"}, {"mode": "match", "n_qubits": 2},
    {"mode": "same", "n_qubits": 2}, {"mode": "one_shot"}, {"mode": "one_shot", "n_qubits": 2},
    {"mode": "purity"}, {"mode": "purity", "copies": 3}, {"mode": "purity", "n_qubits": 2, "copies": 3},
]  # fmt: skip


def family(**config) -> QuantumMemory:
    made = envs.make("quantum_memory", **config)
    assert isinstance(made, QuantumMemory)
    return made


def joint_states(made: QuantumMemory, lanes: int, seed: int = 0, frame: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw episodes: the state vectors of all their registers [lane, amplitude], from observations, and the answers."""
    env = made.vectorise(1, lanes)
    observation, _ = env.reset(seed=seed, options={"tasks": made.task({"frame": frame})})
    answers = env.state[:, 1].numpy()
    joint = np.ones((lanes, 1))
    for _ in range(made.registers.n_deliveries):
        parts = observation[:, made.registers.amplitudes].double().numpy()
        joint = np.einsum("li,lj->lij", joint, parts[:, ::2] + 1j * parts[:, 1::2]).reshape(lanes, -1)
        observation, *_ = env.step(torch.zeros(lanes, dtype=torch.int64))
    return joint, answers


# -- an episode --------------------------------------------------------------------------------------------------------


def test_registers_arrive_one_per_step_and_only_the_last_action_counts():
    made = family(mode="one_shot")
    env = made.vectorise(1, 8)
    observation, _ = env.reset(seed=1)
    answer = env.state[:, 1].long()
    assert answer.tolist() != [0] * 8 and answer.tolist() != [1] * 8
    seen = [observation]
    for step in range(3):
        # Right answers before the last step earn nothing; at the last step half of the lanes are wrong.
        action = answer if step < 2 else (answer + torch.arange(8) % 2) % 2
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append(observation)
        assert reward.tolist() == ([0.0] * 8 if step < 2 else [1.0, 0.0] * 4)
        assert bool(terminated.all()) == bool(truncated.all()) == (step == 2)
    flags = [each[:, 4:].tolist() for each in seen]
    assert flags == [[row] * 8 for row in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0])]
    assert not seen[3].any()
    for lane in range(8):  # the third register is the first example or the second
        same = [torch.equal(seen[2][lane, :4], seen[i][lane, :4]) for i in (0, 1)]
        assert same == [answer[lane] == 0, answer[lane] == 1]


def test_entangled_registers_come_together():
    made = family(mode="symmetry", n_qubits=2)
    env = made.vectorise(1, 4)
    first, _ = env.reset(seed=0)
    second = env.step(torch.zeros(4, dtype=torch.int64))[0]
    assert first.shape == (4, 2 * 16 + 2) and first[:, 32:].tolist() == [[1, 0]] * 4
    assert not second[:, :32].any() and second[:, 32:].tolist() == [[0, 1]] * 4
    assert all(each in made.observation_space for each in [*first.numpy(), *second.numpy()])


def test_cases_are_drawn_by_a_fair_coin_in_each_episode():
    _, answers = joint_states(family(), 40_000)
    assert abs(answers.mean() - 0.5) < 5 * 0.5 / 200  # five standard deviations


def test_orthogonal_pairs_are_orthogonal_and_equal_pairs_equal():
    joint, answers = joint_states(family(mode="match", n_qubits=2), 200)
    pairs = joint.reshape(200, 4, 4)
    # ψ⊗φ as a matrix has rank one, and its trace is Σ ψ_i φ_i; with ψ = φ it is a symmetric matrix.
    symmetric = np.abs(pairs - pairs.transpose(0, 2, 1)).max((1, 2)) < 1e-6
    assert np.array_equal(symmetric, answers == 0)
    singular = np.linalg.svd(pairs[answers == 1])
    overlap = np.einsum("li,li->l", singular.U[:, :, 0].conj(), singular.Vh[:, 0])
    assert np.abs(overlap).max() < 1e-5


@pytest.mark.parametrize("mode", ["match", "symmetry"])
def test_picture_shows_the_arriving_register(mode):
    """Bloch vectors of reduced density matrices, in the views along y and along z; none after the last register."""
    made = family(mode=mode)
    env = made.make(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    pictures, joint = [env.render()], np.ones(1)
    for step in range(2):
        parts = observation[made.registers.amplitudes]
        if step < made.registers.n_deliveries:
            joint = np.kron(joint, parts[::2] + 1j * parts[1::2])
        observation, *_ = env.step(0)
        pictures.append(env.render())
    pair = joint.reshape(2, 2)
    paulis = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    for density, picture in zip((pair @ pair.conj().T, pair.T @ pair.conj()), pictures, strict=False):
        x, y, z = np.einsum("pij,ji->p", paulis, density).real
        rows, columns = np.nonzero((picture == (214, 39, 40)).all(-1))
        for middle, up in ((60, z), (180, y)):
            view = abs(rows - middle) <= 60
            assert columns[view].mean() == pytest.approx(60 + 50 * x, abs=1)
            assert rows[view].mean() == pytest.approx(middle - 50 * up, abs=1)
    assert not (pictures[2] == (214, 39, 40)).all(-1).any()


# -- ensembles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", MODES, ids=str)
def test_sampled_ensembles_have_the_stated_density_matrices(config):
    made = family(**config)
    joint, answers = joint_states(made, 20_000)
    for case, stated in enumerate(made.case_states()):
        vectors = joint[answers == case]
        n = len(vectors)
        mean = vectors.T @ vectors.conj() / n
        power = np.square(np.abs(vectors))
        deviation = np.sqrt(np.maximum(power.T @ power / n - np.abs(mean) ** 2, 0) / n)
        assert (np.abs(mean - stated) < 6 * deviation + 1e-6).all()


def stabiliser_states(n_qubits: int) -> np.ndarray:
    """All stabiliser states [state, amplitude], a 3-design: 6 of one qubit, 60 of two; by closure under Cliffords."""
    hadamard, phase = np.array([[1, 1], [1, -1]]) / np.sqrt(2), np.diag([1, 1j])
    gates = [hadamard, phase]
    if n_qubits == 2:
        gates = [np.kron(g, np.eye(2)) for g in gates] + [np.kron(np.eye(2), g) for g in gates]
        gates.append(np.diag([1, 1, 1, -1]))
    states = [np.eye(2**n_qubits)[0].astype(complex)]
    for state in states:  # grows
        for gate in gates:
            new = gate @ state
            if all(abs(np.vdot(old, new)) < 1 - 1e-9 for old in states):
                states.append(new)
    return np.stack(states)


def moment(vectors: np.ndarray) -> np.ndarray:
    """Mean density matrix of joint state vectors."""
    return vectors.T @ vectors.conj() / len(vectors)


def kron(*vectors: np.ndarray) -> np.ndarray:
    joint = vectors[0]
    for vector in vectors[1:]:
        joint = np.kron(joint, vector)
    return joint


@pytest.mark.parametrize("n_qubits", [1, 2])
def test_stated_density_matrices_are_means_over_a_three_design(n_qubits):
    states = stabiliser_states(n_qubits)
    assert len(states) == (6, 60)[n_qubits - 1]
    d = 2**n_qubits
    pair, triple = (moment(np.stack([kron(*[s] * copies) for s in states])) for copies in (2, 3))
    independent = moment(np.stack([kron(a, b) for a, b in product(states, states)]))
    orthogonal = [kron(a, b) for a, b in product(states, states) if abs(np.vdot(a, b)) < 1e-9]
    one_shot = [
        np.stack([kron(a, b, c) for a, b in product(states, states) for c in (a, b)][case::2]) for case in (0, 1)
    ]
    expected = {
        "match": (pair, moment(np.stack(orthogonal))),
        "same": (pair, independent),
        "one_shot": [moment(np.stack(each)) for each in one_shot],
    }
    for mode, both in expected.items():
        for stated, mean in zip(family(mode=mode, n_qubits=n_qubits).case_states(), both, strict=True):
            np.testing.assert_allclose(stated, mean, atol=1e-12)
    stated, mixed = family(mode="purity", n_qubits=n_qubits, copies=3).case_states()
    np.testing.assert_allclose(stated, triple, atol=1e-12)
    np.testing.assert_allclose(mixed, np.eye(d**3) / d**3)


@pytest.mark.parametrize("d", [2, 4])
def test_symmetry_is_the_eigenvalue_of_the_exchange(d):
    exchange = np.eye(d * d).reshape(d, d, d, d).transpose(1, 0, 2, 3).reshape(d * d, d * d)
    made = family(mode="symmetry", n_qubits=d // 2)
    for sign, stated in zip((1, -1), made.case_states(), strict=True):
        np.testing.assert_allclose(stated, (np.eye(d * d) + sign * exchange) / (d * (d + sign)), atol=1e-12)
    joint, answers = joint_states(made, 50)
    np.testing.assert_allclose(joint @ exchange, joint * (1 - 2 * answers)[:, None], atol=1e-6)


def test_singlet_and_maximally_mixed_register_by_hand():
    _, singlet = family(mode="symmetry").case_states()
    np.testing.assert_allclose(singlet, np.outer([0, 1, -1, 0], [0, 1, -1, 0]) / 2)
    _, mixed = family(mode="purity").case_states()
    np.testing.assert_allclose(mixed, np.eye(4) / 4)


# -- the frame ---------------------------------------------------------------------------------------------------------


def test_frame_turns_the_second_qubit():
    made = family(mode="symmetry", frame="rz")
    plain, answers = joint_states(made, 100, seed=5)
    turned, same_answers = joint_states(made, 100, seed=5, frame=0.6)
    rz = np.diag([np.exp(-0.3j), np.exp(0.3j)])  # RZ(φ) = exp(-iφZ/2)
    np.testing.assert_allclose(turned, plain @ np.kron(np.eye(2), rz).T, atol=1e-6)
    assert np.array_equal(answers, same_answers)
    assert np.abs(turned - plain).max() > 0.1


def test_frame_is_the_task_parameter():
    turned, plain = family(mode="symmetry", frame="rz"), family(mode="symmetry")
    frames = turned.sample(2000, "train", np.random.default_rng(0)).frame
    assert -np.pi < float(frames.min()) < -3.1 and 3.1 < float(frames.max()) < np.pi
    assert abs(float(frames.mean())) < 0.2 and turned.n_distinct() is None
    assert plain.n_distinct() == 1 and plain.sample(3, "test").frame.tolist() == [0, 0, 0]
    assert envs.check(turned) and envs.check(plain)
    with pytest.raises(UsageError, match="frame of a task must be 0"):
        plain.task({"frame": 0.5})
    with pytest.raises(UsageError, match="frame of a task must be 0"):
        plain.vectorise(1, 1).reset(options={"tasks": Tasks({"frame": torch.ones(1, dtype=torch.float64)})})


@pytest.mark.parametrize(
    ("curriculum", "shares"),
    [({}, [0, 0.25 / 0.35, 1, 1]), ({"curriculum": 1.0}, [0, 0.25, 0.5, 1]), ({"curriculum": 0.0}, [1])],
)
def test_curriculum_widens_the_angles_of_train_tasks(curriculum, shares):
    made = family(mode="symmetry", frame="rz", **curriculum)
    tasks = made.task({"frame": 2.0})
    eased = [float(made.ease(tasks, progress).frame) for progress in (0.0, 0.25, 0.5, 1.0)[: len(shares)]]
    assert eased == [2.0 * share for share in shares]


def test_training_eases_its_tasks(monkeypatch):
    made = learner("quantum_memory", Config(mode="symmetry", frame="rz"), "coherent", episodes=2, meta_batch=40)
    seen = []
    original = type(made.env).reset

    def reset(self, **arguments):
        if "tasks" in arguments["options"]:  # else the next episode of the same tasks
            seen.append(float(arguments["options"]["tasks"].frame.abs().max()))
        return original(self, **arguments)

    monkeypatch.setattr(type(made.env), "reset", reset)
    made.step()
    made.iteration = made.spec.iterations // 2
    made.step()
    assert seen[0] == 0 and seen[-1] > 2.5


# -- options -----------------------------------------------------------------------------------------------------------


def test_registers_of_each_mode():
    for config, n_registers in (
        ({}, 2), ({"mode": "symmetry"}, 2), ({"mode": "one_shot"}, 3), ({"mode": "purity"}, 2),
        ({"mode": "purity", "copies": 5}, 5), ({"mode": "purity", "copies": 5, "horizon": 5}, 5),
    ):  # fmt: skip
        made = family(**config)
        assert made.horizon == made.registers.n_registers == n_registers
        assert made.registers.entangled == (config.get("mode") == "symmetry")
    assert Config().mode == "match"


INVALID = {
    "n_qubits must be at least 1, not 0": {"n_qubits": 0},
    "n_qubits must be at most 3, not 9": {"n_qubits": 9},
    "unknown mode 'symetry'; did you mean 'symmetry'?": {"mode": "symetry"},
    "copies must be at least 2, not 1": {"mode": "purity", "copies": 1},
    "copies must be at most 4 with n_qubits 2, beyond which no bound": {"mode": "purity", "n_qubits": 2, "copies": 5},
    "copies must be at most 6 with n_qubits 1, beyond which no bound": {"mode": "purity", "copies": 99},
    "copies applies to mode purity only; mode match fixes": {"copies": 3},
    "frame rz needs mode symmetry with n_qubits 1, not mode match": {"frame": "rz"},
    "not mode symmetry with n_qubits 2": {"mode": "symmetry", "n_qubits": 2, "frame": "rz"},
    "curriculum needs a hidden frame to vary; use frame rz": {"mode": "symmetry", "curriculum": 0.4},
    "curriculum must be in [0, 1], not 1.5": {"mode": "symmetry", "frame": "rz", "curriculum": 1.5},
    "unknown frame 'rx'": {"mode": "symmetry", "frame": "rx"},
    "horizon [steps] must be 2, one step for each register of mode match, not 3": {"horizon": 3},
}


@pytest.mark.parametrize("message", INVALID)
def test_invalid_options(message, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # as for users: no type checks of the tests
    with pytest.raises(UsageError) as caught:
        envs.make("quantum_memory", **INVALID[message])
    assert str(caught.value).startswith("quantum_memory: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("agent", "model"), [("rl2", "gru"), ("sb3_ppo", "mlp"), ("reinforce", "skolik")])
def test_models_on_numbers_are_refused_on_the_command_line(agent, model, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["train", "--env", "quantum_memory", "--agent", agent, "--model", model, "--out", str(out)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "registers of qubits, whose amplitudes no agent can read; use a model that acts on registers" in line
    assert not out.exists()
