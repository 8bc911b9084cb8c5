"""Checkpoint to agent: its content is checked before anything is restored from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from agents.core.agent import Agent, Learner
from agents.core.context import find_execution
from agents.core.divergence import not_finite
from agents.core.plain import from_plain
from agents.runs.checkpoints import Checkpoint
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, wrap_errors

RNGS = ("tasks", "environment")
"""Names of NumPy's generators, whose states are in the JSON part of a checkpoint."""


@dataclass(frozen=True)
class SavedState:
    """JSON part of a checkpoint."""

    env_steps: int
    """Environment steps since the start of the run [steps]."""
    seconds: float
    """Duration of training since the start of the run [s]."""
    rngs: dict[str, dict[str, Any]]
    """States of NumPy's generators."""

    def __post_init__(self) -> None:
        check_count("env_steps", self.env_steps, least=0)
        if self.seconds < 0:
            raise UsageError(f"seconds must be at least 0, not {self.seconds}")
        for name, state in self.rngs.items():
            _check_rng(f"rngs.{name}", state)


def restore_learner(agent: Learner[object], known: Mapping[str, torch.Generator], checkpoint: Checkpoint) -> SavedState:
    """Restore a learner's tensors from a checkpoint of which all parts are sound; return its JSON part.

    Args:
        agent: the learner.
        known: generators whose states the checkpoint holds, by name; they are not changed. None for a training in
            shards, whose streams are seeded in each iteration.
        checkpoint: the checkpoint.

    Raises:
        UsageError: a part of the checkpoint is missing, of the wrong type, not finite, or not this agent's. The agent
            is unchanged if its `load_state_dict` keeps that promise.
    """
    try:
        saved = from_plain(SavedState, checkpoint.meta, "meta")
    except UsageError as error:
        raise UsageError(f"state.json: {error}") from error
    streams = RNGS if known else ()
    if {*saved.rngs} != {*streams}:
        named, there = (", ".join(names) or "none" for names in (streams, saved.rngs))
        raise UsageError(f"state.json: meta.rngs: expected the states of {named}, found {there}")
    for name, generator in known.items():
        _check_generator(name, generator, checkpoint.tensors)
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if name not in known}
    if (bad := not_finite(tensors.items())) is not None:
        raise UsageError(f"tensor {bad[:60]!r} is not finite")
    with wrap_errors(f"{type(agent).__name__}.load_state_dict"):
        agent.load_state_dict(tensors)
    if (found := _types(agent.state_dict())) != (wanted := _types(tensors)):
        name = min(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        raise UsageError(f"tensor {name[:60]!r} is not one that the agent saves")
    return saved


def generators(agent: Agent[object], actions: torch.Generator) -> dict[str, torch.Generator]:
    """Return the generators of a run by their names in a checkpoint: of actions and, with finite shots, of shots."""
    execution = find_execution(agent)
    shots = {"shots": execution.generator} if execution is not None and execution.shots else {}
    return {"generator": actions} | shots


def _check_rng(where: str, state: Mapping[str, Any]) -> None:
    """Raise UsageError for a state that NumPy's generator does not take, or not as it is."""
    generator = np.random.PCG64(0)
    with wrap_errors(f"{where}: not the state of a generator"):
        generator.state = cast("Any", state)
    if generator.state != state:
        raise UsageError(f"{where}: not the state of a generator")


def _check_generator(name: str, generator: torch.Generator, tensors: Mapping[str, Tensor]) -> None:
    """Raise UsageError unless there is a tensor of this name that a generator takes as its state."""
    if name not in tensors:
        raise UsageError(f"tensor {name}, the state of a generator, is missing")
    other = torch.Generator(generator.device)
    with wrap_errors(f"tensor {name}: not the state of a generator"):
        other.set_state(tensors[name])
    if not torch.equal(other.get_state(), tensors[name]):
        raise UsageError(f"tensor {name}: not the state of a generator")


def _types(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
