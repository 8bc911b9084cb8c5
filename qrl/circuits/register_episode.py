"""Circuit of one episode on registers of qubits: gates and measurements, step by step, with numerical angles."""

from collections.abc import Iterator
from dataclasses import dataclass

from qrl.circuits.gates import Gate
from qrl.common.errors import UsageError

MAX_HISTORIES = 64
"""Largest number of histories of a step, each of which has its own angles."""

History = tuple[tuple[int, int], ...]
"""Outcome and answer of each earlier step of an episode."""


@dataclass(frozen=True)
class RegisterStep:
    """One step: rotations that may depend on the history, then other gates, then measurements.

    The memory has wires 0 to n_memory - 1, the arriving register the wires after it.
    """

    turns: tuple[tuple[Gate, ...], ...]
    """Rotations of the register for each history (`RegisterEpisode.histories`); a single entry serves all of them."""
    gates: tuple[Gate, ...]
    measured: tuple[int, ...]
    """Measured wires; the first one is the most significant bit of the outcome."""

    @property
    def n_outcomes(self) -> int:
        return int(2 ** len(self.measured))


@dataclass(frozen=True)
class RegisterEpisode:
    """Circuit of one episode, which starts with an empty memory, |0...0>.

    Answers before the last step are ignored by the environment, and uniform. An agent with a classical memory observes
    them, too, so that its angles may depend on them. Raises UsageError for more than 64 histories with angles of their
    own, and for a number of answers that is no power of two, since qubits then cannot draw them.
    """

    n_memory: int
    """Wires of the memory [qubits]."""
    n_register: int
    """Wires of each register [qubits]."""
    n_answers: int
    steps: tuple[RegisterStep, ...]
    answers: tuple[tuple[tuple[float, ...], ...], ...]
    """Probability of each answer [history][outcome of the last step][answer]; one history if none matters."""
    dephasing: float = 0.0
    """Fraction of the coherence of each wire of the memory that is lost between two steps."""

    def __post_init__(self) -> None:
        if self.is_adaptive and self.n_answers & (self.n_answers - 1):
            raise UsageError(f"export: {self.n_answers} answers are not drawn by qubits; a power of two is")

    @property
    def is_adaptive(self) -> bool:
        """Whether angles depend on the history."""
        return any(len(step.turns) > 1 for step in self.steps)

    @property
    def n_coins(self) -> int:
        """Qubits that draw the answer of a step before the last; 0 if nothing depends on that answer."""
        return (self.n_answers - 1).bit_length() if self.is_adaptive else 0

    def histories(self, position: int) -> Iterator[History]:
        """Yield the histories of a step in the order of its `turns`."""
        return histories([step.n_outcomes for step in self.steps[:position]], self.n_answers)


def histories(n_outcomes: list[int], n_answers: int) -> Iterator[History]:
    """Yield all histories of steps with these numbers of outcomes, those of the first step most significant."""
    if not n_outcomes:
        yield ()
        return
    for earlier in histories(n_outcomes[:-1], n_answers):
        for outcome in range(n_outcomes[-1]):
            for answer in range(n_answers):
                yield (*earlier, (outcome, answer))


def check_histories(n_outcomes: list[int], n_answers: int) -> None:
    """Raise UsageError if there are more than 64 histories after steps with these numbers of outcomes."""
    count = 1
    for n in n_outcomes:
        count *= n * n_answers
    if count > MAX_HISTORIES:
        raise UsageError(
            f"export: the angles of register {len(n_outcomes)} depend on outcomes and answers of earlier steps, with "
            f"{count:,} histories; at most {MAX_HISTORIES} can be written"
        )
