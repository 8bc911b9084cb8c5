"""Export of the circuit of an episode on registers: the next episode of an adapted policy."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from agents.core.pytree import map_tensors
from agents.experiment.adapted_policy import AdaptedPolicy
from qrl.circuits.register_episode import RegisterEpisode
from qrl.common.errors import UsageError
from qrl.models.shared.register_description import describe_episode
from qrl.policies.actor import BoundPolicy
from qrl.policies.coherent import CoherentPolicy


@runtime_checkable
class _FastWeights(Protocol):
    """State of an agent that adapts by gradient steps; tensors have a task axis."""

    @property
    def bound(self) -> object: ...
    @property
    def memory(self) -> Tensor: ...


@runtime_checkable
class _TrialMemory(Protocol):
    """State of an agent that adapts in context."""

    @property
    def bound(self) -> object: ...
    @property
    def hidden(self) -> Tensor: ...
    @property
    def transition(self) -> Tensor: ...


def check_episode_format(kind: str, *, with_observations: bool) -> None:
    """Raise UsageError for another format than OpenQASM 3, and for observations, which are opaque registers."""
    if kind != "openqasm3":
        raise UsageError(f"export: a model on registers is exported as openqasm3, with its measurements, not as {kind}")
    if with_observations:
        raise UsageError("export: --observations has no effect on a model on registers, which no agent can read")


def next_episode(policy: CoherentPolicy, adapted: AdaptedPolicy) -> RegisterEpisode:
    """Return the circuit of the next episode of an adapted policy in a single environment.

    Raises UsageError for an agent whose state holds no policy on registers, and as `describe_episode` does.
    """
    state = adapted.state
    if isinstance(state, _TrialMemory) and isinstance(state.bound, BoundPolicy):
        return describe_episode(policy, state.bound, state.hidden, state.transition)
    if isinstance(state, _FastWeights) and isinstance(state.bound, BoundPolicy):
        return describe_episode(policy, map_tensors(lambda tensor: tensor[0], state.bound), state.memory)
    raise UsageError("export: the agent's state holds no policy on registers")


def described_episode(episode: RegisterEpisode, file: str) -> dict[str, Any]:
    """Return the entry of an episode in export.json.

    The final answer is drawn with `answers`: for each history of earlier steps that matters, a row of probabilities for
    each outcome of the last step.
    """
    last = len(episode.steps) - 1
    histories = episode.histories(last) if len(episode.answers) > 1 else [()]
    return {
        "file": file,
        "memory": episode.n_memory,
        "registers": len(episode.steps),
        "qubits_per_register": episode.n_register,
        "measured": [list(step.measured) for step in episode.steps],
        "answers": [
            {"history": [{"outcome": outcome, "answer": answer} for outcome, answer in history], "probabilities": rows}
            for history, rows in zip(histories, episode.answers, strict=True)
        ],
    }
