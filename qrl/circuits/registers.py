"""Gymnasium space of qubit registers that a task hands over, one per step."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from qrl.common.checks import check_count
from qrl.common.errors import UsageError

MAX_NORM_ERROR = 1e-4
"""Largest deviation of the squared norm of delivered amplitudes from 1, far above rounding in float32."""


class Registers(gymnasium.Space[NDArray[np.float32]]):
    """Registers of qubits that arrive one per step of an episode.

    The space is opaque: the amplitudes serve the simulation only, and no agent may read them, since they are as good as
    infinitely many copies of the state. For this reason the space is no `Box`, and whatever expects numbers refuses it.
    A model that acts on registers may use the amplitudes only to compute the outcome probabilities of a measurement.

    An element holds the interleaved real and imaginary parts of the amplitudes delivered in this step, register 0 most
    significant, then the one-hot vector of the arriving register. If the registers are entangled, the joint amplitudes
    of all of them come with register 0, and zeros later; otherwise each register brings its own. After the last
    register the element is zero.

    Args:
        n_qubits: qubits of each register.
        n_registers: registers of an episode.
        entangled: whether the state of an episode is not a product of states of its registers.
        lanes: number of parallel environments, for a batch of elements [lane, entry]; None for a single element.
        seed: of the random number generator of `sample`.

    Raises:
        UsageError: a count below 1.
    """

    def __init__(
        self,
        n_qubits: int,
        n_registers: int,
        entangled: bool,
        *,
        lanes: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.n_qubits = check_count("Registers: n_qubits", n_qubits)
        self.n_registers = check_count("Registers: n_registers", n_registers)
        self.entangled = bool(entangled)
        self.lanes = None if lanes is None else check_count("Registers: lanes", lanes)
        size = 2 * self.n_amplitudes + self.n_registers
        super().__init__((size,) if lanes is None else (lanes, size), np.float32, seed)

    @property
    def dim(self) -> int:
        """Dimension of a register's state space, 2**n_qubits."""
        return int(2**self.n_qubits)

    @property
    def n_delivered(self) -> int:
        """Number of registers whose joint state is delivered at once."""
        return self.n_registers if self.entangled else 1

    @property
    def n_deliveries(self) -> int:
        """Number of steps of an episode that bring amplitudes."""
        return 1 if self.entangled else self.n_registers

    @property
    def n_amplitudes(self) -> int:
        """Number of complex amplitudes delivered at once."""
        return int(self.dim**self.n_delivered)

    @property
    def amplitudes(self) -> slice:
        """Entries of an element with the amplitudes: real part, imaginary part, by turns."""
        return slice(0, 2 * self.n_amplitudes)

    @property
    def arriving(self) -> slice:
        """Entries of an element with the one-hot vector of the arriving register."""
        return slice(2 * self.n_amplitudes, 2 * self.n_amplitudes + self.n_registers)

    @property
    def low(self) -> NDArray[np.float32]:
        """Smallest value of each entry."""
        low = np.zeros(self.shape, np.float32)
        low[..., self.amplitudes] = -1.0
        return low

    @property
    def high(self) -> NDArray[np.float32]:
        """Largest value of each entry."""
        return np.ones(self.shape, np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an element."""
        return cast(tuple[int, ...], self._shape)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether the elements can be flattened to numbers: never, since no agent may read the amplitudes."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> NDArray[np.float32]:
        """Draw an element: uniform over steps, the one after the last register included, and Haar-random amplitudes.

        Raises:
            UsageError: a mask or a probability, which this space does not support.
        """
        if mask is not None or probability is not None:
            raise UsageError("Registers: sample takes no mask and no probability")
        rows = self.lanes or 1
        arriving = self.np_random.integers(self.n_registers + 1, size=rows)
        parts = self.np_random.standard_normal((rows, 2 * self.n_amplitudes))
        parts /= np.linalg.norm(parts, axis=1, keepdims=True)
        flags = np.eye(self.n_registers + 1)[arriving, : self.n_registers]
        carries = flags[:, : self.n_deliveries].sum(1, keepdims=True)
        return np.concatenate([carries * parts, flags], axis=1).astype(np.float32).reshape(self.shape)

    def contains(self, x: object) -> bool:
        """Return whether `x` is an array of this shape with at most one arriving register and unit vectors."""
        if not (isinstance(x, np.ndarray) and x.shape == self.shape and x.dtype == np.float32):
            return False
        rows = x.reshape(-1, self.shape[-1]).astype(np.float64)
        flags, norms = rows[:, self.arriving], np.square(rows[:, self.amplitudes]).sum(1)
        is_one_hot = bool(np.isin(flags, (0.0, 1.0)).all() and (flags.sum(1) <= 1).all())
        carries = flags[:, : self.n_deliveries].sum(1)
        return is_one_hot and np.allclose(norms, carries, rtol=0, atol=MAX_NORM_ERROR)

    def _key(self) -> tuple[int, int, bool, int | None]:
        return self.n_qubits, self.n_registers, self.entangled, self.lanes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registers) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        lanes = "" if self.lanes is None else f", lanes={self.lanes}"
        return f"Registers({self.n_qubits}, {self.n_registers}, entangled={self.entangled}{lanes})"


def _batched(space: Registers, n: int = 1) -> Registers:
    """Return the space of `n` elements of `space`, with a copy of its random number generator."""
    seed = deepcopy(space.np_random)
    return Registers(space.n_qubits, space.n_registers, space.entangled, lanes=n, seed=seed)


_register: Callable[..., object] = batch_space.register
_register(Registers, _batched)
