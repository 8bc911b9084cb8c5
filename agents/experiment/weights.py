"""Start of a run from the trained weights of another run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agents.core.divergence import not_finite
from agents.core.plain import from_plain
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.runs.folder import RunFolder
from agents.runs.messages import warn
from qrl.common.errors import UsageError, wrap_errors
from qrl.common.files import kind_of, to_json

KEY = "start_from"
"""Key of the origin of the weights in a run's configuration."""

PARAMETERS, BUFFERS, STEP_SIZES = "params/", "buffers/", "params/step_size."
"""Beginnings of the names of tensors in a checkpoint; see `agents.core.saved_state`."""


@dataclass(frozen=True)
class Origin:
    """Checkpoint from whose weights a run starts."""

    path: str
    """Run folder, as an absolute path."""
    checkpoint: str
    """Which of its checkpoints: last or best."""
    run: str
    """Digest that identifies the run (`agents.runs.seal.identity`)."""
    iteration: int
    weights: str
    """SHA-256 digest of the weights."""


def read_weights(path: Path) -> tuple[Origin, dict[str, Tensor]]:
    """Read the parameters and buffers of a run's last checkpoint, of its best one for the path RUN/best.

    Nothing is executed: no plug-in that the run names is imported.

    Raises:
        UsageError: `path` is no run folder, has no usable checkpoint, or its agent saves no parameters by name.
    """
    is_best = path.name == "best" and kind_of(path / "config.json") == "missing"
    folder = RunFolder.open(path.parent if is_best else path)
    checkpoint = folder.load_best() if is_best else folder.load()
    if checkpoint is None:
        raise UsageError(f"{path}: no checkpoint: the run ended before the first one")
    for problem in checkpoint.problems:
        warn(f"{problem}; the checkpoint of iteration {checkpoint.iteration} is used")
    weights = _weights(checkpoint.tensors)
    if not any(name.startswith(PARAMETERS) for name in weights):
        agent = folder.spec.get("agent")
        raise UsageError(f"{path}: agent {agent} has no parameters to start from")
    where, which = str(folder.path.resolve()), "best" if is_best else "last"
    return Origin(where, which, folder.checkpoints.identity, checkpoint.iteration, _digest(weights)), weights


def start_from(training: Training, weights: Mapping[str, Tensor], where: str) -> None:
    """Give the agent of a training that has not begun these weights; its optimiser and generators stay fresh.

    Learned step sizes are taken over if both agents have them.

    Raises:
        UsageError: the weights are those of another policy; the message names the first difference.
    """
    if (bad := not_finite(weights.items())) is not None:
        raise UsageError(f"{where}: {bad[:60]} is not finite")
    agent = training.agent
    own = dict(agent.state_dict())
    _check_equal_policies(_policy_of(own), _policy_of(weights), f"{where}: cannot start {_name(training.spec)} from it")
    sizes = {name: value for name, value in weights.items() if name.startswith(STEP_SIZES) and name in own}
    if any(own[name].shape != value.shape for name, value in sizes.items()):
        raise UsageError(f"{where}: its step sizes have other shapes")
    taken = _policy_of(weights) | sizes
    with wrap_errors(f"{type(agent).__name__}.load_state_dict"):
        agent.load_state_dict({name: taken.get(name, value).clone().to(value.device) for name, value in own.items()})


def different_model(path: Path, spec: Spec) -> str:
    """Return a warning if a run's model or policy head has other options than a spec's; "" if not.

    Parameters of equal shapes then mean something else.
    """
    theirs, ours = RunFolder.open(path.parent if path.name == "best" else path).spec, spec.to_json()
    for name in ("model", "model_config", "policy"):
        if to_json(theirs.get(name)) != to_json(ours[name]):
            return (
                f"{path}: was trained with another {name.replace('_', ' ')}; its weights may mean something else here"
            )
    return ""


def saved_origin(folder: RunFolder) -> Origin | None:
    """Return the origin of a run's initial weights; None if it started from random ones.

    Raises:
        UsageError: the configuration's entry is no origin.
    """
    saved = folder.config.get(KEY)
    return None if saved is None else from_plain(Origin, saved, f"{folder.path / 'config.json'}: {KEY}")


def restart(training: Training, folder: RunFolder) -> bool:
    """Start a run that was killed before its first checkpoint from the weights that it was to start from.

    Returns: whether it was to start from weights of another run.

    Raises:
        UsageError: these weights are gone, or have changed.
    """
    if (origin := saved_origin(folder)) is None:
        return False
    path = Path(origin.path, "best") if origin.checkpoint == "best" else Path(origin.path)
    found, weights = read_weights(path)
    if (found.run, found.iteration, found.weights) != (origin.run, origin.iteration, origin.weights):
        raise UsageError(f"{folder.path}: was to start from {path}, iteration {origin.iteration}, which has changed")
    start_from(training, weights, str(path))
    return True


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in sorted(tensors.items()) if name.startswith((PARAMETERS, BUFFERS))}


def _policy_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in _weights(tensors).items() if not name.startswith(STEP_SIZES)}


def _check_equal_policies(own: Mapping[str, Tensor], other: Mapping[str, Tensor], where: str) -> None:
    """Raise UsageError for the first tensor that one policy lacks, or that has another shape or type in it."""
    equal = "; both need the same model with the same options, policy head, observations and actions"
    for name in sorted({*own, *other}):
        shapes = [f"{tuple(each[name].shape)}" if name in each else "missing" for each in (other, own)]
        types = [each[name].dtype if name in each else None for each in (other, own)]
        if shapes[0] != shapes[1] or types[0] != types[1]:
            raise UsageError(f"{where}: {name[:60]} is {shapes[0]} there and {shapes[1]} here{equal}")


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _name(spec: Spec) -> str:
    return f"{spec.agent} with {spec.model}"
