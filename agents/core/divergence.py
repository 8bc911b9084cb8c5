"""Checks of an agent's state for numbers that are not finite."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from agents.core.agent import Agent, State
from agents.core.rollout import Rollout
from qrl.common.divergence import REMEDY, diverging
from qrl.common.errors import TrainingError


def adapted(agent: Agent[State], state: State, rollout: Rollout) -> State:
    """Return the state after adapting to the tasks of a rollout.

    Raises:
        TrainingError: a number of the new state is not finite.
    """
    with diverging("the adapted policy"):
        new = agent.adapt(state, rollout)
    if (name := not_finite(named_tensors(new))) is not None:
        raise TrainingError(f"the adapted policy is not finite (at {name}): {REMEDY}")
    return new


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor with an entry that is not finite; None if there is none."""
    return next((name for name, tensor in tensors if not bool(tensor.isfinite().all())), None)


def named_tensors(state: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in dataclasses, mappings and sequences, each with its path, such as "params.readout.weight"."""
    inside = f"{name}." if name else ""
    if isinstance(state, Tensor):
        yield name or "state", state
    elif dataclasses.is_dataclass(state):
        for field in dataclasses.fields(state):
            yield from named_tensors(getattr(state, field.name), f"{inside}{field.name}")
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from named_tensors(value, f"{inside}{key}")
    elif isinstance(state, Sequence) and not isinstance(state, str):
        for index, value in enumerate(state):
            yield from named_tensors(value, f"{inside}{index}")
