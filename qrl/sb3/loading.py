"""Loader of Stable-Baselines3 models; see `qrl.sb3.saving`."""

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import gymnasium
import numpy as np
import safetensors.torch
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor

from qrl.common.errors import UsageError, describe, suggest, wrap_errors
from qrl.common.files import Json, named_json, read_regular
from qrl.common.memory import largest_file
from qrl.common.optimisers import fresh_moments
from qrl.common.options import check_known
from qrl.common.trust import Trust, names_from
from qrl.models import MODELS
from qrl.sb3.policies import POLICIES
from qrl.sb3.saving import (
    ALGORITHMS,
    CLASSES,
    ENTROPY,
    EXTRACTOR_OPTIONS,
    FORMAT,
    VERSION,
    arguments,
    check_policy_options,
    counter_types,
    digest,
    trained_parameters,
)

Kind = TypeVar("Kind")

INTEGERS: dict[str, type[np.signedinteger[Any] | np.unsignedinteger[Any]]] = {
    np.dtype(kind).name: kind
    for kind in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
}
"""Dtypes of discrete spaces, by name."""

_REMEDY = "load it with trust=True, or name it: policy_kwargs=dict({role}=...)"


def load(
    path: Path | str, env: GymEnv | None = None, *, device: str = "auto", trust: bool = False, **changes: object
) -> BaseAlgorithm:
    """Load a model from a file written by `save`, to predict or, with an `env`, to continue training.

    Nothing in the file is executed, and code outside this library that it names only if it is trusted: with `trust`, or
    if `policy_kwargs=dict(model=...)` names the model again. `changes` override options of the algorithm. Raises
    UsageError for any other file, including Stable-Baselines3's own, for a damaged file, for code that is not trusted,
    and for an `env` with different spaces.
    """
    path = Path(path)
    tensors, text = _read_file(path)
    try:
        with names_from("", Trust(trust, _named_again(changes), _REMEDY)):
            return _rebuild(tensors, named_json(text.encode(), "its header"), env, device, changes)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:  # any failure of torch or Stable-Baselines3 on this file
        raise UsageError(f"{path}: cannot be loaded: {describe(error)}") from error


def _read_file(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read tensors and JSON of a file, and verify its digest."""
    data = read_regular(path, largest_file())
    if data.startswith(b"PK\x03\x04"):
        raise UsageError(
            f"{path}: a zip file, as written by Stable-Baselines3's own save; loading it can run any code, so it is "
            "refused. If you trust it, load it with Stable-Baselines3 and save it with qrl.sb3.save; qrl.sb3.SaveBest "
            "keeps an EvalCallback's best model in such a file"
        )
    if data.startswith(b"\x80") and data[8:9] != b"{":  # A safetensors file is its header's length, then the header.
        raise UsageError(f"{path}: a pickle; loading it can run any code, so it is refused")
    with wrap_errors(f"{path}: truncated, or not written by qrl.sb3.save"):
        tensors = safetensors.torch.load(data)
        header = _metadata(data)
    if FORMAT not in header:
        raise UsageError(f"{path}: a safetensors file that was not written by qrl.sb3.save")
    if header.get("digest") != digest(tensors, header[FORMAT]):
        raise UsageError(f"{path}: damaged: its digest does not match its content")
    return tensors, header[FORMAT]


def _metadata(data: bytes) -> Mapping[str, str]:
    """Return the metadata of a safetensors file: its header is JSON, after its length in eight bytes."""
    header: dict[str, Mapping[str, str]] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header.get("__metadata__", {})


def _rebuild(
    tensors: dict[str, Tensor],
    content: Json,
    env: GymEnv | None,
    device: str,
    changes: dict[str, Any],
) -> BaseAlgorithm:
    """Build the model as `BaseAlgorithm.load` does."""
    if not isinstance(content, dict):
        raise UsageError("expected a JSON object")
    if _entry(content, "version", int) > VERSION:
        raise UsageError(f"written by a newer version (format {content['version']}; supported: up to {VERSION})")
    kind = ALGORITHMS[_one_of(content, "algorithm", ALGORITHMS)]
    policy = POLICIES[_one_of(content, "policy", POLICIES)]
    policy_options = _read_policy_options(_entry(content, "policy_options", dict), changes.pop("policy_kwargs", {}))
    options = _read_options(kind, content, changes) | {"policy_kwargs": policy_options, "device": device}
    model = kind(policy, env, **options, _init_setup_model=False)  # type: ignore[call-arg]
    spaces = {role: _read_space(role, _entry(content, "spaces", dict), tensors) for role in ("observation", "action")}
    if model.env is None:
        model.observation_space, model.action_space = spaces["observation"], spaces["action"]
        model.n_envs = _entry(content, "n_envs", int)
    else:
        try:
            check_for_correct_spaces(model.env, spaces["observation"], spaces["action"])
        except ValueError as error:
            raise UsageError(f"the spaces of env differ from those of the model: {error}") from error
    counters = counter_types(kind)
    for name, value in _entry(content, "counters", dict).items():
        if name not in counters or not _has_type(value, counters[name]):
            raise UsageError(f"counters: {name} cannot be {value!r}")
        setattr(model, name, value)
    model._setup_model()
    _restore(model, tensors)
    if model.use_sde and isinstance(model.policy, ActorCriticPolicy | SACPolicy):
        model.policy.reset_noise()
    return model


def _named_again(changes: Mapping[str, Any]) -> dict[str, str]:
    """Return the model that the caller names, by its role."""
    options = changes.get("policy_kwargs", {})
    model = options.get("model") or (options.get(EXTRACTOR_OPTIONS) or {}).get("model")
    return {"model": MODELS.canonical(model)} if isinstance(model, str) else {}


def _entry(content: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """Return an entry, which must be of this type."""
    if not _has_type(content.get(name), kind):
        raise UsageError(f"{name} must be of type {kind.__name__}, not {content.get(name)!r}")
    return content[name]


def _one_of(content: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> str:
    found = _entry(content, name, str)
    if found not in known:
        raise UsageError(f"unknown {name} {found!r}{suggest(found, known)}")
    return found


def _has_type(value: object, annotation: object) -> bool:
    """Return whether a value from JSON may be an argument of this type."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_has_type(value, each) for each in get_args(annotation))
    if get_origin(annotation) is tuple:
        kinds = get_args(annotation)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_has_type, value, kinds))
    if not isinstance(annotation, type):
        return False
    if isinstance(value, bool):
        return annotation is bool
    return isinstance(value, int | float if annotation is float else annotation)


def _read_options(kind: type[BaseAlgorithm], content: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return an algorithm's options, overridden by the caller's changes."""
    annotations, options = arguments(kind), _entry(content, "options", dict)
    check_known((*options, *changes), annotations, "unknown option", f" of {kind.__name__}")
    for name in _entry(content, "functions", list):
        if name not in changes:
            raise UsageError(f"{name} is a function, which a file cannot hold: pass it again, load(..., {name}=...)")
    for name, value in options.items():
        if not _has_type(value, annotations[name]):
            raise UsageError(f"options: {name} cannot be {value!r}")
    return {name: _tuples(value) for name, value in options.items()} | changes


def _read_policy_options(given: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a policy's options, overridden by the caller's changes."""
    options = {name: value if name == "net_arch" else _tuples(value) for name, value in given.items()} | changes
    check_policy_options(options)
    for name in CLASSES.keys() & given.keys() - changes.keys():
        options[name] = CLASSES[name][_one_of(given, name, CLASSES[name])]
    return options


def _tuples(value: Json) -> object:
    """Replace lists by tuples: options may be tuples, such as those of a model."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _read_space(role: str, spaces: Mapping[str, Any], tensors: dict[str, Tensor]) -> gymnasium.Space[Any]:
    space = _entry(spaces, role, dict)
    match _one_of(space, "kind", dict.fromkeys(("Box", "Discrete", "MultiDiscrete", "MultiBinary"))):
        case "Discrete":
            return gymnasium.spaces.Discrete(
                _entry(space, "n", int), start=_entry(space, "start", int), dtype=_integers(space)
            )
        case "MultiDiscrete":
            return gymnasium.spaces.MultiDiscrete(_entry(space, "sizes", list), dtype=_integers(space))
        case "MultiBinary":
            return gymnasium.spaces.MultiBinary(_n_binary(space))
    low, high = (_tensor(tensors, f"space/{role}/{bound}").numpy() for bound in ("low", "high"))
    return gymnasium.spaces.Box(low, high, dtype=low.dtype.type)


def _integers(space: Mapping[str, Any]) -> type[np.signedinteger[Any] | np.unsignedinteger[Any]]:
    """Return the dtype of a discrete space; older files have none."""
    return INTEGERS[_one_of(space, "dtype", INTEGERS)] if "dtype" in space else np.int64


def _n_binary(space: Mapping[str, Any]) -> int | list[int]:
    """Return the number of entries of a MultiBinary space, or its shape; older files have the shape only."""
    if isinstance(space.get("n"), list):
        return _entry(space, "n", list)
    if "n" in space:
        return _entry(space, "n", int)
    shape = _entry(space, "shape", list)
    return shape[0] if len(shape) == 1 else shape


def _tensor(tensors: Mapping[str, Tensor], name: str, like: Tensor | None = None) -> Tensor:
    """Return a tensor of the file, which must have the expected shape and dtype."""
    if name not in tensors:
        raise UsageError(f"tensor {name} is missing")
    found = tensors[name]
    if like is not None and (found.shape, found.dtype) != (like.shape, like.dtype):
        wanted, actual = (f"{tuple(each.shape)} of {each.dtype}" for each in (like, found))
        raise UsageError(f"tensor {name} must be {wanted}, not {actual}")
    return found


def _restore(model: BaseAlgorithm, tensors: Mapping[str, Tensor]) -> None:
    """Restore the weights and the moments of the optimisers."""
    state = model.policy.state_dict()
    model.policy.load_state_dict({name: _tensor(tensors, f"policy/{name}", value) for name, value in state.items()})
    known = {f"policy/{name}" for name in state}
    if isinstance(model, SAC) and model.log_ent_coef is not None:
        model.log_ent_coef.data.copy_(_tensor(tensors, ENTROPY, model.log_ent_coef))
        known.add(ENTROPY)
    for name, parameter, optimiser in trained_parameters(model):
        moments = {f"{name}/{key}": like for key, like in fresh_moments(optimiser, parameter).items()}
        if moments.keys() & tensors.keys():  # absent before the first step, and for untrained parameters
            found = {each.rpartition("/")[2]: _tensor(tensors, each, like) for each, like in moments.items()}
            optimiser.state[parameter] = {
                key: value.clone() if key == "step" else value.to(parameter.device) for key, value in found.items()
            }
            known |= moments.keys()
    for name in sorted(tensors.keys() - known):
        if not name.startswith("space/"):
            raise UsageError(f"unexpected tensor {name}")
