"""Noise of a stored quantum memory: its effect on a swap test, and what refuses it."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from qrl.backends.backend import Backend, run_on
from qrl.backends.pennylane import to_qnode
from qrl.backends.registers import StoresRegisters
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError
from qrl.models import mlp, reuploading
from qrl.models.coherent import Config
from qrl.noise.model import Noise
from qrl.policies.coherent import make_coherent_policy
from qrl.policies.policy import make_policy
from qrl.simulator.program import compile_circuit

PAIR = Registers(1, 2, entangled=True)
SINGLET = np.array([0, 1, -1, 0]) / np.sqrt(2)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def coherent(**options: object) -> torch.nn.Module:
    return make_coherent_policy("coherent", Config(n_layers=1, **options), PAIR, Discrete(2))


def store_by_swap(policy) -> None:
    """Swap memory and register at each step, then measure both in the Z basis."""
    angles = torch.zeros_like(policy.cell.angles)
    n = len(angles[0])
    assert n == 15  # RZ RY RZ of two wires, RXX RYY RZZ, RZ RY RZ of two wires
    angles[:, 6:9] = np.pi / 2  # swap, up to a phase
    with torch.no_grad():
        policy.cell.angles.copy_(angles)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_depolarised_storage_by_hand(strength):
    """Outcomes of a singlet differ unless the stored half was replaced, and then with probability 1/2."""
    policy = coherent()
    store_by_swap(policy)
    run_on(policy, Backend(noise=Noise(storage=strength)), generator())
    lanes, bound = 20_000, policy.bind()
    memory = torch.zeros(lanes, policy.n_memory)
    outcome = torch.zeros(lanes)
    for position in range(2):
        observation = torch.zeros(lanes, PAIR.shape[-1])
        observation[:, PAIR.arriving.start + position] = 1
        if position == 0:
            observation[:, 0 : PAIR.arriving.start : 2] = torch.as_tensor(SINGLET, dtype=torch.float32)
        transition = policy.initial_transition_input(lanes)
        uniform = torch.rand(lanes, policy.n_noise, generator=generator().manual_seed(position))
        action, memory = policy.draw(bound, policy.inputs(observation, transition), memory, uniform)
        outcome = action[:, 1]
    differ = float(((outcome == 1) | (outcome == 2)).float().mean())
    assert abs(differ - (1 - strength / 2)) < 5 * np.sqrt(0.25 / lanes) + 1e-6
    if strength == 0:
        assert differ == 1


def test_mixed_errors_are_all_paulis_equally_likely():
    cell = coherent(n_memory=2).cell
    cell.depolarise_storage(0.25)
    error = cell.draw_error(torch.rand(100_000, cell.n_noise, generator=generator()))
    counts = np.bincount(error.numpy(), minlength=16) / len(error)
    np.testing.assert_allclose(counts, [0.75 + 0.25 / 16, *[0.25 / 16] * 15], atol=5 * np.sqrt(0.02 / len(error)))


def test_storage_noise_is_set_and_cleared():
    policy = coherent()
    assert isinstance(policy.cell, StoresRegisters) and policy.cell.n_stored == 1
    for strength in (0.5, 0.0):
        run_on(policy, Backend(noise=Noise.parse([f"storage={strength}"])), generator())
        assert policy.cell.storage.depolarising == strength
    both = coherent(memory="dephased", dephasing=0.5)
    run_on(both, Backend(noise=Noise(storage=0.5)), generator())
    assert tuple(both.cell.storage) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("backend", "named"),
    [
        (Backend(shots=10), "no shots: its circuits"),
        (Backend(noise=Noise(depolarizing=0.1, storage=0.1)), "no depolarizing: its circuits"),
        (Backend("pennylane:default.qubit"), "no pennylane:default.qubit: its circuits"),
        (Backend(noise=Noise(storage=0.1, after="layer")), "no after: its circuits"),
    ],
)
def test_other_backends_are_refused_for_models_on_registers(backend, named):
    policy = coherent()
    accepted = r"run on torch, exactly, and its noise is --noise storage=P, or --model\.memory dephased$"
    with pytest.raises(UsageError, match=f"^backend: a model on registers of qubits takes {named} {accepted}"):
        run_on(policy, backend, generator())
    assert policy.cell.storage.depolarising == 0


def test_storage_noise_is_refused_without_a_quantum_memory():
    box, noise = Box(-1, 1, (2,)), Noise(storage=0.1)
    expected = "^noise: storage needs a model that keeps qubits between registers, such as coherent$"
    for model, config in (("mlp", mlp.Config()), ("reuploading", reuploading.Config())):
        policy = make_policy(model, config, box, Discrete(2))
        with pytest.raises(UsageError, match=expected):
            run_on(policy, Backend(noise=noise), generator())
    circuit = Circuit(1, (Gate("H", (0,)),), (Observable.of("Z0"),))
    with pytest.raises(UsageError, match=expected):
        compile_circuit(circuit, noise)
    with pytest.raises(UsageError, match=expected):
        to_qnode(circuit, "default.mixed", noise=noise)


class NothingStored(torch.nn.Module):
    n_stored = 0

    def depolarise_storage(self, probability: float) -> None:
        assert probability == 0


def test_storage_noise_is_refused_where_nothing_is_stored():
    run_on(NothingStored(), Backend(), generator())
    with pytest.raises(UsageError, match="storage needs a model that keeps qubits between registers"):
        run_on(NothingStored(), Backend(noise=Noise(storage=0.1)), generator())


def test_records_and_labels():
    assert "storage" not in Noise(readout=0.1).to_json() and Noise(storage=0.1).to_json()["storage"] == 0.1
    assert Backend(noise=Noise(storage=0.1)).label == "storage0.1"
