"""Space of opaque registers: layout, membership, and refusal by everything that reads numbers."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space
from stable_baselines3 import PPO

import envs
from qrl import make_policy
from qrl.circuits.registers import Registers
from qrl.common.errors import UsageError

PRODUCT, ENTANGLED = Registers(1, 2, entangled=False), Registers(1, 2, entangled=True)
ROOT = np.float32(np.sqrt(0.5))


def element(*entries: float) -> np.ndarray:
    return np.array(entries, dtype=np.float32)


@pytest.mark.parametrize(
    ("n_qubits", "n_registers", "entangled", "dim", "delivered", "deliveries", "amplitudes", "size"),
    [
        (1, 2, False, 2, 1, 2, 2, 6),
        (1, 2, True, 2, 2, 1, 4, 10),
        (2, 3, False, 4, 1, 3, 4, 11),
        (3, 2, True, 8, 2, 1, 64, 130),
        (1, 5, False, 2, 1, 5, 2, 9),
    ],
)
def test_layout(n_qubits, n_registers, entangled, dim, delivered, deliveries, amplitudes, size):
    space = Registers(n_qubits, n_registers, entangled)
    assert (space.dim, space.n_delivered, space.n_deliveries, space.n_amplitudes) == (
        dim, delivered, deliveries, amplitudes,
    )  # fmt: skip
    assert space.shape == (size,) and space.dtype == np.float32
    assert (space.amplitudes, space.arriving) == (slice(0, 2 * amplitudes), slice(2 * amplitudes, size))
    assert space.low.tolist() == [-1.0] * 2 * amplitudes + [0.0] * n_registers and space.high.tolist() == [1.0] * size


def test_membership_of_products():
    for good in ((1, 0, 0, 0, 1, 0), (0, ROOT, -ROOT, 0, 0, 1), (0, 0, 0, 0, 0, 0)):
        assert element(*good) in PRODUCT
    bad = {
        "norm 1/2": (ROOT, 0, 0, 0, 1, 0),
        "norm 2": (1, 0, 0, 1, 1, 0),
        "amplitudes without a register": (1, 0, 0, 0, 0, 0),
        "register without amplitudes": (0, 0, 0, 0, 0, 1),
        "two registers": (1, 0, 0, 0, 1, 1),
        "half a register": (ROOT, 0, 0, 0, 0.5, 0),
        "not a number": (np.nan, 0, 0, 0, 1, 0),
        "too short": (1, 0, 0, 0, 1),
    }
    for what, entries in bad.items():
        assert element(*entries) not in PRODUCT, what
    assert element(1, 0, 0, 0, 1, 0).astype(np.float64) not in PRODUCT
    assert [1, 0, 0, 0, 1, 0] not in PRODUCT


def test_entangled_registers_come_with_the_first():
    singlet = (0, 0, ROOT, 0, -ROOT, 0, 0, 0)
    nothing = (0,) * 8
    assert element(*singlet, 1, 0) in ENTANGLED and element(*nothing, 0, 1) in ENTANGLED
    assert element(*nothing, 0, 0) in ENTANGLED
    assert element(*singlet, 1, 1) not in ENTANGLED
    assert element(*singlet, 0, 1) not in ENTANGLED and element(*nothing, 1, 0) not in ENTANGLED


@pytest.mark.parametrize("space", [PRODUCT, ENTANGLED, Registers(2, 3, entangled=False)], ids=repr)
def test_samples(space: Registers):
    space = copy.deepcopy(space)
    space.seed(3)
    drawn = np.stack([space.sample() for _ in range(200)])
    assert all(each in space for each in drawn)
    arrivals = {tuple(each[space.arriving]) for each in drawn}
    assert len(arrivals) == space.n_registers + 1  # also the time after the last register
    space.seed(3)
    assert np.array_equal(space.sample(), drawn[0])
    with pytest.raises(UsageError, match="no mask"):
        space.sample(mask=np.ones(2))


def test_batches():
    batch = batch_space(PRODUCT, 4)
    assert batch == Registers(1, 2, entangled=False, lanes=4) != PRODUCT and batch.shape == (4, 6)
    assert batch.low.shape == (4, 6)
    batch.seed(0)
    drawn = batch.sample()
    assert drawn in batch and all(row in PRODUCT for row in drawn)
    drawn[2] *= 2
    assert drawn not in batch


def test_equality_and_text():
    assert Registers(1, 2, entangled=False) == PRODUCT and len({PRODUCT, Registers(1, 2, entangled=False)}) == 1
    assert PRODUCT not in (ENTANGLED, Registers(2, 2, entangled=False), Registers(1, 3, entangled=False))
    assert gym.spaces.Box(-1, 1, (6,)) != PRODUCT
    assert repr(ENTANGLED) == "Registers(1, 2, entangled=True)"
    with pytest.raises(UsageError, match="n_qubits must be at least 1, not 0"):
        Registers(0, 2, entangled=False)


# -- nobody reads the amplitudes ---------------------------------------------------------------------------------------


def test_networks_on_numbers_refuse_registers():
    with pytest.raises(UsageError, match="amplitudes no agent can read; use a model that acts on registers, such as"):
        make_policy("mlp", None, PRODUCT, gym.spaces.Discrete(2))


def test_other_software_refuses_registers():
    env = envs.make("quantum_memory").make()
    assert not isinstance(env.observation_space, gym.spaces.Box) and not env.observation_space.is_np_flattenable
    with pytest.raises(NotImplementedError, match="observation space is not supported"):
        PPO("MlpPolicy", env)
    with pytest.raises(NotImplementedError, match="Unknown space"):
        gym.wrappers.FlattenObservation(env)
    with pytest.raises(ValueError, match="cannot be flattened"):
        gym.spaces.flatdim(env.observation_space)
    with pytest.raises(UsageError, match=r"registers of qubits, .* only families in torch \(envs.TorchTasks\)"):
        envs.GymnasiumTasks(lambda: gym.make("qrl/QuantumMemory-v0"), {}, horizon=2)
