"""Circuits of episodes on registers: OpenQASM in Qiskit and a PennyLane QNode, against the policy itself."""

import itertools
from functools import reduce

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from scipy import stats

from qrl.backends.register_pennylane import to_episode_qnode
from qrl.backends.register_qasm import to_episode_openqasm
from qrl.circuits.gates import Gate
from qrl.circuits.register_episode import RegisterEpisode, RegisterStep, check_histories
from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError
from qrl.models.coherent import Config
from qrl.models.shared.register_description import describe_episode
from qrl.policies.coherent import CoherentPolicy, make_coherent_policy

SHOTS = 4_000
FIVE_SIGMA = stats.norm.sf(5)


class Case:
    """A policy with random weights, an episode that follows others, and a state of the registers."""

    def __init__(self, registers: Registers, trial_steps: int = 0, n_answers: int = 2, **options: object) -> None:
        rng = np.random.default_rng(7)
        generator = torch.Generator().manual_seed(3)
        self.registers = registers
        self.policy: CoherentPolicy = make_coherent_policy(
            "coherent",
            Config(n_layers=1, **options),
            registers,
            Discrete(n_answers),
            trial_steps=trial_steps,
            generator=generator,
        ).double()
        self.bound = self.policy.bind()
        width = self.policy.initial_transition_input(1).shape[-1]
        self.transition = torch.as_tensor(rng.normal(size=(1, width)))
        self.memory = torch.zeros(1, self.policy.n_memory, dtype=torch.float64)
        n_hidden = self.policy.cell.n_hidden
        self.memory[:, self.policy.n_memory - n_hidden :] = torch.as_tensor(rng.normal(size=n_hidden))
        self.episode = describe_episode(self.policy, self.bound, self.memory, self.transition)
        parts = rng.normal(size=(registers.n_deliveries, registers.n_amplitudes, 2))
        deliveries = parts[..., 0] + 1j * parts[..., 1]
        self.deliveries = deliveries / np.linalg.norm(deliveries, axis=1, keepdims=True)

    @property
    def state(self) -> np.ndarray:
        """Joint state of all registers."""
        return reduce(np.kron, self.deliveries)

    def probabilities(self) -> np.ndarray:
        """P(outcomes, answers before the last) by the policy's recorded log-probabilities, in the QNode's order."""
        steps, last = self.episode.steps, len(self.episode.steps) - 1
        choices = [[range(step.n_outcomes), range(2 if k < last and self.episode.n_coins else 1)]
                   for k, step in enumerate(steps)]  # fmt: skip
        rows = list(itertools.product(*itertools.chain(*choices)))
        actions = torch.tensor(rows).unflatten(1, (-1, 2)).flip(-1)  # outcome, answer -> answer, outcome
        storage = self.policy.cell.storage.dephasing
        assert not storage or last == 1
        total = np.zeros(len(rows))
        for error in range(2**self.episode.n_memory if storage else 1):
            flips = error.bit_count()
            chance = (storage / 2) ** flips * (1 - storage / 2) ** (self.episode.n_memory - flips)
            total += chance * self._of_error(actions, error)
        return total * 0.5 ** (last * self.episode.n_coins)

    def _of_error(self, actions: torch.Tensor, error: int) -> np.ndarray:
        memory = self.memory.expand(len(actions), -1)
        transition = self.transition.expand(len(actions), -1)
        total = torch.zeros(len(actions), dtype=torch.float64)
        for k in range(self.registers.n_registers):
            observation = torch.zeros(len(actions), self.registers.shape[-1], dtype=torch.float64)
            observation[:, self.registers.arriving.start + k] = 1
            if k < self.registers.n_deliveries:
                observation[:, self.registers.amplitudes] = torch.view_as_real(
                    torch.as_tensor(self.deliveries[k])
                ).flatten()
            action = torch.cat([actions[:, k], torch.full((len(actions), 1), error)], dim=1)
            inputs = self.policy.inputs(observation, transition)
            distribution, memory = replay(self.policy, self.bound, k, inputs, action, memory)
            total += distribution["outcome_log_prob"]
            reward = torch.zeros(len(actions), dtype=torch.float64)
            transition = self.policy.transition_input(observation, action, reward, reward > 0)
        return total.exp().nan_to_num(0.0).detach().numpy()


def replay(policy, bound, position, inputs, action, memory):
    """Log-probabilities of one step, and the next memory."""
    cell, n_parts = policy.cell, policy.registers.arriving.start
    evolved = cell.evolve(bound.actor.features, position, inputs[:, :n_parts], inputs[:, n_parts:], memory)
    chosen = evolved.weights.gather(1, action[:, 1:2]).squeeze(1)
    next_memory = cell.after(evolved, position, action[:, 1], action[:, 2])
    return {"outcome_log_prob": chosen.log() - evolved.weights.sum(1).log()}, next_memory


ONE, ENTANGLED = Registers(1, 2, entangled=False), Registers(1, 2, entangled=True)
TWO, TWO_ENTANGLED = Registers(2, 2, entangled=False), Registers(2, 2, entangled=True)
CASES = {
    "one": (ONE, {}),
    "entangled": (ENTANGLED, {}),
    "ring": (ONE, {"entangler": "ring", "n_memory": 2}),
    "measured": (ENTANGLED, {"memory": "measured"}),
    "three registers": (Registers(1, 3, entangled=False), {"measured_wires": (1,)}),
    "two qubits": (TWO_ENTANGLED, {}),
    "two qubits, one measured": (TWO, {"measured_wires": (0,)}),
    "history": (ENTANGLED, {"n_hidden": 3, "trial_steps": 20}),
    "long history": (Registers(1, 3, entangled=False), {"n_hidden": 3, "trial_steps": 20, "n_memory": 1}),
    "history of two qubits": (TWO, {"n_hidden": 2, "trial_steps": 20, "n_memory": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_pennylane_gives_the_probabilities_of_the_policy(name):
    registers, options = CASES[name]
    case = Case(registers, **options)
    found = to_episode_qnode(case.episode)(case.state)
    expected = case.probabilities()
    assert np.isclose(expected.sum(), 1) and expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("registers", "n_memory"), [(ENTANGLED, 1), (ONE, 2)])
def test_dephased_memory_on_density_matrices(registers, n_memory):
    case = Case(registers, memory="dephased", dephasing=0.7, n_memory=n_memory)
    np.testing.assert_allclose(to_episode_qnode(case.episode)(case.state), case.probabilities(), atol=1e-6)
    with pytest.raises(UsageError, match=r"a dephased memory needs device default\.mixed, not default\.qubit"):
        to_episode_qnode(case.episode, "default.qubit")
    with pytest.raises(UsageError, match=r"a memory dephased by 0\.7 is a channel, not a circuit"):
        to_episode_openqasm(case.episode)


@pytest.mark.parametrize("name", ["entangled", "measured", "two qubits, one measured", "history"])
def test_qiskit_reads_the_text_and_samples_the_probabilities_of_the_policy(name):
    pytest.importorskip("qiskit")
    from qiskit import qasm3

    aer = pytest.importorskip("qiskit_aer")
    registers, options = CASES[name]
    case = Case(registers, **options)
    read = qasm3.loads(to_episode_openqasm(case.episode))
    whole = read.copy_empty_like()
    arrival = [q for k in range(registers.n_registers) for register in read.qregs if register.name == f"register{k}"
               for q in register]  # fmt: skip
    whole.initialize(case.state, arrival[::-1])  # Qiskit's first qubit is the least significant one
    whole = whole.compose(read)
    counts = aer.AerSimulator(seed_simulator=5).run(whole, shots=SHOTS).result().get_counts()
    sizes = {register.name: register.size for register in read.cregs}
    order = [n for k in range(registers.n_registers) for n in (f"outcome{k}", f"answer{k}") if n in sizes]
    found = np.zeros([2 ** sizes[n] for n in order])
    for key, count in counts.items():
        values = dict(zip([register.name for register in reversed(read.cregs)], key.split(), strict=True))
        found[tuple(int(values[n], 2) for n in order)] = count
    counted, law = found.flatten(), stats.binom(SHOTS, case.probabilities().clip(0, 1))
    assert (np.minimum(law.cdf(counted), law.sf(counted - 1)) > FIVE_SIGMA).all()


def by_hand() -> RegisterEpisode:
    store = (Gate("CNOT", (1, 0)), Gate("CNOT", (0, 1)))
    turns = tuple((Gate("RZ", (1,), float(index)),) for index in range(4))
    return RegisterEpisode(
        1, 1, 2, (RegisterStep(((),), store, (1,)), RegisterStep(turns, (), (0, 1))), (((0.25, 0.75),) * 4,) * 4
    )


def test_text_by_hand():
    text = [line for line in to_episode_openqasm(by_hand()).splitlines() if not line.startswith("//")]
    assert text == [
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        "qubit[1] memory;",
        "qubit[1] register0;",
        "bit[1] outcome0;",
        "qubit[1] register1;",
        "bit[2] outcome1;",
        "qubit[1] coin0;",
        "bit[1] answer0;",
        "cx register0[0], memory[0];",
        "cx memory[0], register0[0];",
        "outcome0[0] = measure register0[0];",
        "h coin0[0];",
        "answer0[0] = measure coin0[0];",
        "if (outcome0 == 0) {",
        "  if (answer0 == 0) {",
        "    rz(0) register1[0];",
        "  }",
        "  if (answer0 == 1) {",
        "    rz(1) register1[0];",
        "  }",
        "}",
        "if (outcome0 == 1) {",
        "  if (answer0 == 0) {",
        "    rz(2) register1[0];",
        "  }",
        "  if (answer0 == 1) {",
        "    rz(3) register1[0];",
        "  }",
        "}",
        "outcome1[1] = measure memory[0];",
        "outcome1[0] = measure register1[0];",
    ]
    comments = [line for line in to_episode_openqasm(by_hand()).splitlines() if "outcome1 == 2" in line]
    assert comments[1] == "// outcome0 == 0 && answer0 == 1 && outcome1 == 2: 0.250000 0.750000"
    assert len(comments) == 4


def test_answers_are_those_of_the_policy():
    case = Case(ENTANGLED, n_hidden=3, trial_steps=20)
    cell, n = case.policy.cell, 4
    assert len(case.episode.answers) == 4 and np.allclose(np.sum(case.episode.answers, axis=-1), 1)
    observation = torch.zeros(n, ENTANGLED.shape[-1], dtype=torch.float64)
    observation[:, : ENTANGLED.arriving.start] = torch.view_as_real(torch.as_tensor(case.deliveries[0])).flatten()
    memory, transition = case.memory.expand(n, -1), case.transition.expand(n, -1)
    action = torch.tensor([[1, 0, 0]]).expand(n, -1)  # answer 1 after outcome 0: history 1
    observation[:, ENTANGLED.arriving] = torch.tensor([1.0, 0.0], dtype=torch.float64)
    inputs = case.policy.inputs(observation, transition)
    _, memory = replay(case.policy, case.bound, 0, inputs, action, memory)
    nothing = torch.zeros(n, dtype=torch.float64)
    transition = case.policy.transition_input(observation, action, nothing, nothing > 0)
    inputs = torch.cat([torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(n, -1), transition], dim=1)
    evolved = cell.evolve(case.bound.actor.features, 1, observation[:, : ENTANGLED.arriving.start], inputs, memory)
    logits = cell.logits(case.bound.actor.features, 1, torch.arange(n), evolved.hidden)
    np.testing.assert_allclose(case.episode.answers[1], logits.softmax(-1).detach(), atol=1e-12)


def test_too_many_histories_are_refused():
    check_histories([4, 4], 2)
    with pytest.raises(UsageError, match=r"^export: the angles of register 2 .* with 128 histories; at most 64 can be"):
        check_histories([8, 4], 2)
    with pytest.raises(UsageError, match=r"angles of register 4 depend on .* with 256 histories"):
        Case(Registers(1, 5, entangled=False), n_hidden=2, trial_steps=20, n_memory=1)
    assert Case(Registers(1, 4, entangled=False), n_hidden=2, trial_steps=20, n_memory=1).episode.is_adaptive
    assert not Case(Registers(1, 5, entangled=False)).episode.is_adaptive


def test_answers_that_qubits_cannot_draw_are_refused():
    with pytest.raises(UsageError, match="3 answers are not drawn by qubits"):
        Case(ONE, n_hidden=2, trial_steps=20, n_answers=3)
    assert not Case(ONE, n_answers=3).episode.n_coins
