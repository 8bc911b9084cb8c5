"""Probabilities of whole trials, by Kraus operators on the density matrix of memory and all registers."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from qrl.circuits.registers import Registers
from qrl.common.errors import TrainingError, UsageError
from qrl.policies.policy import bind
from tests.support.double_precision import seeded
from tests.support.register_povm import kron
from tests.support.register_trials import (
    PAIR,
    answer_probabilities,
    cell_of,
    elements,
    error_law,
    every_history,
    haar_states,
    inputs_of,
    observations,
    policy,
    replayed,
)

TWO = Registers(1, 2, entangled=False)
CELLS = {
    "entangled": (PAIR, {}),
    "product": (TWO, {}),
    "ring": (PAIR, {"entangler": "ring", "n_layers": 2}),
    "two qubits": (Registers(2, 2, entangled=True), {"n_layers": 1}),
    "two qubits, product": (Registers(2, 2, entangled=False), {"n_layers": 1}),
    "three registers": (Registers(1, 3, entangled=False), {"n_layers": 1}),
    "three entangled registers": (Registers(1, 3, entangled=True), {"n_layers": 1}),
    "measured": (PAIR, {"memory": "measured", "n_memory": 2}),
    "one wire measured": (PAIR, {"n_memory": 2, "measured_wires": (1,)}),
    "dephased": (PAIR, {"memory": "dephased", "dephasing": 0.3}),
    "dephased, a wire measured": (TWO, {"memory": "dephased", "dephasing": 0.6, "n_memory": 2, "measured_wires": (0,)}),
    "depolarised": (PAIR, {"depolarising": 0.3, "n_memory": 2}),
    "depolarised and dephased": (TWO, {"memory": "dephased", "dephasing": 0.4, "depolarising": 0.7}),
    "more memory than registers": (PAIR, {"n_memory": 3, "n_layers": 1}),
}


def expected_probabilities(cell, state):
    """Probability of each history of outcomes, with the answer appended."""
    answers = answer_probabilities(cell)
    of_outcomes = {past: float(np.vdot(state, m @ state).real) for past, m in elements(cell).items()}
    return {(*past, a): p * answers[past[-1], a] for past, p in of_outcomes.items() for a in (0, 1)}


@pytest.mark.parametrize("name", CELLS)
def test_probability_of_every_history(name):
    """Errors are averaged over their law, which does not depend on parameters."""
    registers, options = CELLS[name]
    made = policy(registers, **options)
    cell = cell_of(made)
    (state,) = haar_states(registers, 1, seed=3)
    recorded = every_history(made, state[None], [0])
    log_prob = made.head.log_prob(replayed(made, recorded), recorded.action).sum(0)
    law = torch.ones_like(log_prob)
    if recorded.action[..., 2].any():
        law = error_law(cell, recorded.action[:-1, :, 2]).prod(0)
    found = defaultdict(float)
    for action, p in zip(recorded.action.movedim(0, 1).tolist(), (law * log_prob.exp()).tolist(), strict=True):
        found[(*(outcome for _, outcome, _ in action), action[-1][0])] += p
    # Every answer before the last register is equally likely, and only answer 0 is recorded.
    scale = 2 ** (registers.n_registers - 1)
    expected = expected_probabilities(cell, state.numpy())
    assert found.keys() == expected.keys() and sum(expected.values()) == pytest.approx(1)
    for past, p in expected.items():
        assert scale * found[past] == pytest.approx(p, abs=1e-12), past


@pytest.mark.parametrize("memory", ["coherent", "measured"])
def test_probability_of_trials_whose_angles_depend_on_the_past(memory):
    """Two episodes; the classical memory is computed here, and turns each register before the circuit."""
    made = policy(PAIR, episodes=2, n_hidden=3, n_layers=1, memory=memory)
    cell = cell_of(made)
    with torch.no_grad():
        cell.steering.mul_(3)
    states = haar_states(PAIR, 2, seed=4)
    recorded = every_history(made, states, [1, 0])
    with torch.no_grad():
        distribution = replayed(made, recorded)
    found = distribution["outcome_log_prob"].sum(0).exp()
    assert 4 * float(made.head.log_prob(distribution, recorded.action).sum(0).exp().sum()) == pytest.approx(1)
    unitaries = cell.circuit.unitary(cell.angles).detach().numpy()
    classical = inputs_of(made, recorded)[..., PAIR.arriving.start :]
    hidden, rows = torch.zeros(classical.shape[1], 3, dtype=torch.float64), []
    for row in classical:
        _, hidden = cell.classical.run(cell.classical.bind(), row, hidden)
        rows.append(hidden)
    angles = torch.einsum("tlh,tah->tla", torch.stack(rows), cell.steering.repeat(2, 1, 1)).detach().numpy()
    lanes = range(0, len(found), 7)
    for lane in lanes:
        expected = 1.0
        for episode in range(2):
            turns = [rz_ry_rz(*angles[2 * episode + t, lane]) for t in range(2)]
            past = tuple(recorded.action[2 * episode : 2 * episode + 2, lane, 1].tolist())
            measured = elements(cell, lambda t, _, turns=turns: unitaries[t] @ kron([np.eye(2), turns[t]]))[past]
            state = states[episode].numpy()
            expected *= np.vdot(state, measured @ state).real
        assert float(found[lane]) == pytest.approx(expected, abs=1e-12)
    assert found[list(lanes)].std() > 1e-4


def rz_ry_rz(a, b, c):
    def rz(x):
        return np.diag(np.exp([-0.5j * x, 0.5j * x]))

    turn = np.array([[math.cos(b / 2), -math.sin(b / 2)], [math.sin(b / 2), math.cos(b / 2)]])
    return rz(c) @ turn @ rz(a)


def test_ensembles_of_one_density_matrix_give_the_same_probabilities():
    """The maximally mixed state of two qubits, from the Bell basis, from the standard basis and from a random one."""
    made = policy(PAIR, n_layers=2)
    bell = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, -1], [0, 1, -1, 0]]) / math.sqrt(2)
    random = torch.linalg.qr(haar_states(PAIR, 4, seed=5)).Q
    means = []
    for basis in (bell.to(torch.complex128), torch.eye(4, dtype=torch.complex128), random):
        recorded = [every_history(made, state[None], [0]) for state in basis]
        probabilities = [replayed(made, each)["outcome_log_prob"].sum(0).exp() for each in recorded]
        means.append(torch.stack(probabilities).mean(0))
    assert (means[0] - means[1]).abs().max() < 1e-14 and (means[0] - means[2]).abs().max() < 1e-14


@pytest.mark.parametrize("registers", [PAIR, TWO])
def test_global_phase_changes_nothing(registers):
    """Turning the phase of each delivery: same probabilities, and the same draws."""
    made = policy(registers, memory="dephased", dephasing=0.5)
    (state,) = haar_states(registers, 1)
    recorded = every_history(made, state[None], [0])
    turned = observations(registers, torch.exp(torch.tensor(1.1j)) * state[None])
    if not registers.entangled:
        parts = torch.view_as_complex(turned[1, :, registers.amplitudes].unflatten(-1, (-1, 2)).contiguous())
        turned[1, :, registers.amplitudes] = torch.view_as_real(torch.exp(torch.tensor(0.7j)) * parts).flatten(-2)
    assert not torch.allclose(turned[0], recorded.observation[0, :1])
    before = replayed(made, recorded)
    after = replayed(made, replace(recorded, observation=turned.expand_as(recorded.observation)))
    for name in before:
        torch.testing.assert_close(after[name], before[name], atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"memory": "measured"}, {"depolarising": 0.5}])
def test_measuring_one_register_does_not_signal_to_the_others(options):
    """Averaged over outcomes of A, the reduced state of the others is that before A was touched."""
    for registers in (PAIR, Registers(2, 2, entangled=True), Registers(1, 3, entangled=True)):
        made = policy(registers, n_layers=1, **options)
        cell, n_rest = cell_of(made), registers.dim ** (registers.n_registers - 1)
        (state,) = haar_states(registers, 1, seed=7)
        delivered = observations(registers, state[None])[0, :, : registers.arriving.start]
        memory = torch.zeros(1, made.n_memory, dtype=torch.float64)
        evolved = cell.evolve(cell.bind(), 0, delivered, delivered[:, :0], memory)
        reduced = torch.zeros(n_rest, n_rest, dtype=torch.complex128)
        for outcome in range(len(cell.outcome_bits)):
            after = cell.after(evolved, 0, torch.tensor([outcome]), torch.tensor([1]))
            kept = torch.view_as_complex(after.unflatten(-1, (-1, 2)))[0].unflatten(0, (n_rest, -1))
            assert float(kept.abs().square().sum().detach()) == pytest.approx(1)
            reduced += (evolved.weights[0, outcome] * kept @ kept.mH).detach()
        matrix = state.unflatten(0, (registers.dim, n_rest))
        torch.testing.assert_close(reduced, matrix.mT @ matrix.conj(), atol=1e-13, rtol=0)


def test_what_comes_later_does_not_change_the_outcome_of_a_step():
    made = policy(TWO)
    recorded = every_history(made, haar_states(TWO, 1), [0])
    before = replayed(made, recorded)["outcome_probs"]
    other = every_history(made, haar_states(TWO, 1, seed=9), [0])
    mixed = torch.cat([recorded.observation[:1], other.observation[1:]])
    after = made.evaluate(made.bind(), mixed, recorded.action).distribution["outcome_probs"]
    assert torch.equal(after[0], before[0]) and not torch.allclose(after[1], before[1])


def test_draws_have_the_probabilities_of_histories():
    """20,000 draws with dephasing; five standard deviations of each of the 16 frequencies."""
    made, n = policy(PAIR, memory="dephased", dephasing=0.4, n_layers=1), 20_000
    cell = cell_of(made)
    (state,) = haar_states(PAIR, 1, seed=8)
    seen, generator = observations(PAIR, state[None]).expand(-1, n, -1), seeded(1)
    memory, actions = torch.zeros(n, made.n_memory, dtype=torch.float64), []
    for row in seen:
        uniform = torch.rand(n, made.n_noise, generator=generator, dtype=torch.float64)
        action, memory = made.draw(bind(made, dict(made.named_parameters())), row, memory, uniform)
        actions.append(action)
    for (*past, answer), p in expected_probabilities(cell, state.numpy()).items():
        is_same = (actions[0][:, 1] == past[0]) & (actions[1][:, 1] == past[1]) & (actions[1][:, 0] == answer)
        assert float(is_same.double().mean()) == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n) + 1e-12)


@pytest.mark.parametrize(("dephasing", "depolarising"), [(0.0, 0.6), (0.5, 0.0), (1.0, 0.0), (0.3, 0.4)])
def test_errors_are_drawn_from_their_law(dephasing, depolarising):
    """40,000 draws of 16 errors, within five standard deviations."""
    cell = cell_of(policy(PAIR, memory="dephased", dephasing=dephasing, depolarising=depolarising, n_memory=2))
    drawn = cell.draw_error(torch.rand(40_000, cell.n_noise, generator=seeded(2)))
    expected = error_law(cell, torch.arange(16)).double()
    assert float(expected.sum()) == pytest.approx(1)
    frequency = drawn.bincount(minlength=16) / len(drawn)
    assert ((frequency - expected).abs() <= 5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1e-12).all()


def test_lanes_at_different_registers_are_refused():
    made = policy(PAIR)
    inputs = torch.cat([each[:1] for each in observations(PAIR, haar_states(PAIR, 1))])
    memory, uniform = torch.zeros(2, made.n_memory, dtype=torch.float64), torch.rand(2, made.n_noise)
    with pytest.raises(TrainingError, match="lanes are at different registers"):
        made.draw(made.bind(), inputs, memory, uniform.double())
    with pytest.raises(UsageError, match="no most likely action"):
        made.draw(made.bind(), inputs[:1], memory[:1], None)


def test_other_parameters_do_not_stay_in_the_policy():
    """A module with two names would keep the parameters of `functional_call`."""
    made = policy(TWO, episodes=2, n_hidden=2)
    before = {name: value.clone() for name, value in made.named_parameters()}
    assert {*made.state_dict()} == {*before, *(name for name, _ in made.named_buffers() if name in made.state_dict())}
    bind(made, {name: value.detach().expand(3, *value.shape) + 1 for name, value in before.items()})
    assert all(torch.equal(value, before[name]) for name, value in made.named_parameters())
