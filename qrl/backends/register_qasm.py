"""OpenQASM 3 text of an episode on registers, with measurements and with angles that depend on their outcomes."""

from collections.abc import Iterator, Sequence

from qrl.backends.openqasm import statements
from qrl.circuits.gates import Gate
from qrl.circuits.register_episode import History, RegisterEpisode
from qrl.common.errors import UsageError

MAX_ROWS = 64
"""Largest number of rows of the table of answers that is written as a comment."""

_HEADER = """OPENQASM 3.0;
include "stdgates.inc";
// One episode of a policy on registers of qubits. Prepare register0, register1, ... in the state that the task hands
// over, in this order of arrival, before the gates; their qubit 0 is the most significant one. The memory starts in 0.
// The integer value of a bit array outcomeK is the outcome of step K as in export.json."""

_COIN = "// answerK is the answer of step K: uniform, without effect on the task, but observed by the policy."


def to_episode_openqasm(episode: RegisterEpisode) -> str:
    """Return the text. Each register has its own qubits, so that nothing is reset.

    Raises UsageError for a dephased memory, which is a channel and no circuit.
    """
    if episode.dephasing:
        raise UsageError(
            f"export: a memory dephased by {episode.dephasing:g} is a channel, not a circuit; memory coherent and "
            "measured can be exported"
        )
    lines = [_HEADER, *_declarations(episode)]
    for position in range(len(episode.steps)):
        lines += [f"// step {position}", *_step(episode, position)]
    return "\n".join([*lines, *_answers(episode)]) + "\n"


def _declarations(episode: RegisterEpisode) -> Iterator[str]:
    if episode.n_memory:
        yield f"qubit[{episode.n_memory}] memory;"
    last = len(episode.steps) - 1
    for position, step in enumerate(episode.steps):
        yield f"qubit[{episode.n_register}] register{position};"
        yield f"bit[{len(step.measured)}] outcome{position};"
    if episode.n_coins:
        yield _COIN
        for position in range(last):
            yield f"qubit[{episode.n_coins}] coin{position};"
            yield f"bit[{episode.n_coins}] answer{position};"


def _step(episode: RegisterEpisode, position: int) -> Iterator[str]:
    step = episode.steps[position]
    qubits = [f"memory[{wire}]" for wire in range(episode.n_memory)]
    qubits += [f"register{position}[{wire}]" for wire in range(episode.n_register)]
    if len(step.turns) == 1:
        yield from (statements(gate, qubits) for gate in step.turns[0])
    else:
        yield from _branches([*zip(episode.histories(position), step.turns, strict=True)], qubits)
    yield from (statements(gate, qubits) for gate in step.gates)
    yield from _measurements(f"outcome{position}", [qubits[wire] for wire in step.measured])
    if episode.n_coins and position < len(episode.steps) - 1:
        coins = [f"coin{position}[{index}]" for index in range(episode.n_coins)]
        yield from (f"h {coin};" for coin in coins)
        yield from _measurements(f"answer{position}", coins)


def _measurements(bits: str, qubits: Sequence[str]) -> Iterator[str]:
    """Yield the measurements; the first qubit is the most significant bit of the array's value."""
    for place, qubit in zip(reversed(range(len(qubits))), qubits, strict=True):
        yield f"{bits}[{place}] = measure {qubit};"


def _branches(
    turns: Sequence[tuple[History, tuple[Gate, ...]]], qubits: Sequence[str], depth: int = 0
) -> Iterator[str]:
    """Yield nested conditions on outcomes and answers of earlier steps, from step depth // 2 on."""
    indent, position, entry = "  " * depth, *divmod(depth, 2)
    if position == len(turns[0][0]):
        yield from (indent + statements(gate, qubits) for gate in turns[0][1])
        return
    name = ("outcome", "answer")[entry]
    for value in dict.fromkeys(history[position][entry] for history, _ in turns):
        yield f"{indent}if ({name}{position} == {value}) {{"
        chosen = [each for each in turns if each[0][position][entry] == value]
        yield from _branches(chosen, qubits, depth + 1)
        yield f"{indent}}}"


def _answers(episode: RegisterEpisode) -> Iterator[str]:
    """Yield the probabilities of the final answers as comments."""
    last = len(episode.steps) - 1
    yield "// Draw the final answer in software, with the probabilities of answers 0, 1, ... given the outcomes:"
    if sum(map(len, episode.answers)) > MAX_ROWS:
        yield "// see answers in export.json."
        return
    earlier = list(episode.histories(last)) if len(episode.answers) > 1 else [()]
    for history, rows in zip(earlier, episode.answers, strict=True):
        given = "".join(f"outcome{k} == {o} && answer{k} == {a} && " for k, (o, a) in enumerate(history))
        for outcome, row in enumerate(rows):
            yield f"// {given}outcome{last} == {outcome}: {' '.join(f'{p:.6f}' for p in row)}"
