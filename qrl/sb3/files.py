"""Models of Stable-Baselines3 in files out of which nothing is executed.

One safetensors file: the weights, the optimiser's moments and the bounds of spaces as tensors; everything else as
strict JSON in its header, with a digest of both. Classes are written as names, and read from the lists below alone:
nothing is imported or called because a file says so.
"""

import dataclasses
import hashlib
import inspect
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import gymnasium
import numpy as np
import safetensors
import safetensors.torch
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, check_for_correct_spaces
from torch import Tensor, nn

from qrl.common.errors import UsageError, describe, suggest
from qrl.common.files import parse_json, to_json, unusable, write_whole
from qrl.models import MODELS

FORMAT, VERSION = "qrl-sb3", 1

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {kind.__name__: kind for kind in (PPO, A2C, DQN)}

OPTIMISERS: tuple[type[Any], ...] = (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD)
ACTIVATIONS: tuple[type[Any], ...] = (nn.Tanh, nn.ReLU, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid)
CLASSES = {
    "optimizer_class": {kind.__name__: kind for kind in OPTIMISERS},
    "activation_fn": {kind.__name__: kind for kind in ACTIVATIONS},
}
"""Options of a policy that are classes, and those that they may be."""

POLICY_OPTIONS = (
    *CLASSES,
    *("model", "observation_scale", "lr_angles", "lr_scales", "lr_heads", "net_arch", "ortho_init", "optimizer_kwargs"),
    *("use_sde", "log_std_init", "full_std", "use_expln", "squash_output", "share_features_extractor"),
    *("normalize_images", "readout"),
)
"""Options of a policy that a file may have, besides those of its model."""

BUFFERS = ("rollout_buffer", "replay_buffer")
NOT_KEPT = (
    *("self", "policy", "env", "policy_kwargs", "tensorboard_log", "device", "_init_setup_model"),
    *("use_rms_prop", "rms_prop_eps"),
    *(f"{name}_{part}" for name in BUFFERS for part in ("class", "kwargs")),
)
"""Arguments of an algorithm that are kept otherwise (RMSprop is the policy's), or are the reader's."""

COUNTERS = {
    "num_timesteps": int,
    "_total_timesteps": int,
    "_num_timesteps_at_start": int,
    "_episode_num": int,
    "_n_updates": int,
    "_current_progress_remaining": float,
    "_n_calls": int,
    "exploration_rate": float,
}
"""How far an algorithm has come; the last two are DQN's."""

Policies = Mapping[str, type[BasePolicy]]
"""Those that a file may name."""


# --- writing ----------------------------------------------------------------------------------------------------------


def write(model: BaseAlgorithm, path: Path, policies: Policies) -> None:
    """See `qrl.sb3.save`."""
    if type(model) not in ALGORITHMS.values():
        raise UsageError(f"sb3: a {type(model).__name__} cannot be saved; {', '.join(ALGORITHMS)} can")
    if model.policy_class not in policies.values():
        raise UsageError(
            f"sb3: a model with a {model.policy_class.__name__} cannot be saved; {', '.join(policies)} can"
        )
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    tensors |= dict(_moments(model.policy))
    spaces = {role: _space(role, getattr(model, f"{role}_space"), tensors) for role in ("observation", "action")}
    options, functions = _options(model)
    _check_policy_options(model.policy_kwargs)
    content = {
        "version": VERSION,
        "algorithm": type(model).__name__,
        "policy": model.policy_class.__name__,
        "policy_options": {name: _plain(name, value) for name, value in model.policy_kwargs.items()},
        "options": options,
        "functions": functions,
        "spaces": spaces,
        "n_envs": model.n_envs,
        "counters": {name: kind(getattr(model, name)) for name, kind in COUNTERS.items() if hasattr(model, name)},
    }
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = to_json(content)
    write_whole(path, safetensors.torch.save(own, {FORMAT: text, "digest": _digest(own, text)}))


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    return hashlib.sha256(safetensors.torch.save(tensors) + text.encode()).hexdigest()


def _moments(policy: BasePolicy) -> Iterator[tuple[str, Tensor]]:
    """The optimiser's tensors, by the names of parameters."""
    for name, parameter in policy.named_parameters():
        for key, value in policy.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"optimizer/{name}/{key}", value


def _space(role: str, space: gymnasium.Space[Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    match space:
        case gymnasium.spaces.Box():
            for bound in ("low", "high"):  # which may be infinite, as no number in JSON
                tensors[f"space/{role}/{bound}"] = torch.as_tensor(getattr(space, bound))
            return {"kind": "Box"}
        case gymnasium.spaces.Discrete():
            return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    raise UsageError(f"sb3: a model whose {role}s are a {space} cannot be saved; Box and Discrete can")


def _arguments(kind: type[BaseAlgorithm]) -> dict[str, Any]:
    """An algorithm's options and their annotations."""
    parameters = inspect.signature(kind.__init__).parameters
    return {name: each.annotation for name, each in parameters.items() if name not in NOT_KEPT}


def _options(model: BaseAlgorithm) -> tuple[dict[str, Any], list[str]]:
    """Values of options, and the names of those that are functions of the progress."""
    for name in BUFFERS:
        own = getattr(model, f"{name}_class", None) or RolloutBuffer
        if own.__module__ != RolloutBuffer.__module__ or getattr(model, f"{name}_kwargs", None):
            raise UsageError(f"sb3: a model with a {name} of its own kind cannot be saved")
    options: dict[str, Any] = {}
    functions = []
    for name in _arguments(type(model)):
        value = getattr(model, name if hasattr(model, name) else f"_{name}")
        value = value.value_schedule if isinstance(value, FloatSchedule) else value
        value = value.val if isinstance(value, ConstantSchedule) else value
        value = (value.frequency, value.unit.value) if isinstance(value, TrainFreq) else value
        if callable(value):
            functions.append(name)
        else:
            options[name] = _plain(name, value)
    return options, functions


def _plain(name: str, value: Any) -> Any:
    """An option as JSON has it."""
    if isinstance(value, type) and value in CLASSES.get(name, {}).values():
        return value.__name__
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor() | np.ndarray() | np.generic():
            return value.tolist()
        case list() | tuple():
            return [_plain("", each) for each in value]
        case Mapping():
            return {str(key): _plain("", each) for key, each in value.items()}
    raise UsageError(f"sb3: a model whose option {name} is {value!r} cannot be saved: JSON has no such thing")


def _check_policy_options(given: Mapping[str, Any]) -> None:
    """None but those that are known to be harmless, whatever their value: another might name what to import."""
    config = MODELS.load(given.get("model", "reuploading")).Config
    known = (*POLICY_OPTIONS, *(field.name for field in dataclasses.fields(config)))
    for name in given:
        if name not in known:
            raise UsageError(f"the policy's option {name!r} cannot be in a file{suggest(name, known)}")


# --- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path, policies: Policies, env: Any, device: str, changes: dict[str, Any]) -> BaseAlgorithm:
    """See `qrl.sb3.load`."""
    tensors, text = _parts(path)
    try:
        return _rebuilt(tensors, parse_json(text.encode()), policies, env, device, changes)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:  # whatever the file made torch or Stable-Baselines3 do
        raise UsageError(f"{path}: no model can be made of it: {describe(error)}") from error


def _parts(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors and JSON of a file that is whole."""
    try:
        with path.open("rb") as opened:
            start = opened.read(4)
    except OSError as error:
        raise unusable(path, error) from error
    if start == b"PK\x03\x04":
        raise UsageError(
            f"{path}: a zip, as Stable-Baselines3's own save writes it: reading that runs whatever code is in it, so "
            "it is not read; if you made it yourself, load it with Stable-Baselines3 and qrl.sb3.save the model"
        )
    if start[:1] == b"\x80":
        raise UsageError(f"{path}: a pickle: reading that runs whatever code is in it, so it is not read")
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # It is no dict.
    except (safetensors.SafetensorError, OSError) as error:
        raise UsageError(f"{path}: cut short, or not a file of qrl.sb3.save: {error}") from error
    if FORMAT not in header:
        raise UsageError(f"{path}: safetensors, but not of qrl.sb3.save")
    if header.get("digest") != _digest(tensors, header[FORMAT]):
        raise UsageError(f"{path}: damaged: its digest does not fit its content")
    return tensors, header[FORMAT]


def _rebuilt(
    tensors: dict[str, Tensor], content: Any, policies: Policies, env: Any, device: str, changes: dict[str, Any]
) -> BaseAlgorithm:
    """The model, made as `BaseAlgorithm.load` makes one."""
    if not isinstance(content, dict):
        raise UsageError("expected a JSON object")
    if _of(content, "version", int) > VERSION:
        raise UsageError(f"written by a newer version (format {content['version']}, this reads {VERSION})")
    kind = ALGORITHMS[_one_of(content, "algorithm", ALGORITHMS)]
    policy = policies[_one_of(content, "policy", policies)]
    own = _read_policy_options(_of(content, "policy_options", dict), changes.pop("policy_kwargs", {}))
    options = _read_options(kind, content, changes) | {"policy_kwargs": own, "device": device}
    model: Any = kind(policy, env, **options, _init_setup_model=False)  # type: ignore[call-arg]
    spaces = {role: _read_space(role, _of(content, "spaces", dict), tensors) for role in ("observation", "action")}
    if model.env is None:
        model.observation_space, model.action_space = spaces["observation"], spaces["action"]
        model.n_envs = _of(content, "n_envs", int)
    else:
        try:
            check_for_correct_spaces(model.env, spaces["observation"], spaces["action"])
        except ValueError as error:
            raise UsageError(f"the env given has other spaces than this model: {error}") from error
    for name, value in _of(content, "counters", dict).items():
        if name not in COUNTERS or not _fits(value, COUNTERS[name]):
            raise UsageError(f"counters: {name} cannot be {value!r}")
        setattr(model, name, value)
    model._setup_model()
    _restore(model.policy, tensors)
    if model.use_sde:
        model.policy.reset_noise()
    rebuilt: BaseAlgorithm = model
    return rebuilt


def _of(content: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """An entry that has to be of this type."""
    if not _fits(content.get(name), kind):
        raise UsageError(f"{name} must be of type {kind.__name__}, not {content.get(name)!r}")
    return content[name]


def _one_of(content: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> str:
    found: str = _of(content, name, str)
    if found not in known:
        raise UsageError(f"unknown {name} {found!r}{suggest(found, known)}")
    return found


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value from JSON may be an argument of this type."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(annotation))
    if get_origin(annotation) is tuple:
        kinds = get_args(annotation)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if not isinstance(annotation, type):
        return False
    if isinstance(value, bool):
        return annotation is bool
    return isinstance(value, int | float if annotation is float else annotation)


def _read_options(kind: type[BaseAlgorithm], content: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """An algorithm's options, and in their place the caller's changes."""
    arguments, options = _arguments(kind), _of(content, "options", dict)
    for name in (*options, *changes):
        if name not in arguments:
            raise UsageError(f"unknown option {name!r} of {kind.__name__}{suggest(name, arguments)}")
    for name in _of(content, "functions", list):
        if name not in changes:
            raise UsageError(f"{name} was a function, which is not in the file: give it again, load(..., {name}=...)")
    for name, value in options.items():
        if not _fits(value, arguments[name]):
            raise UsageError(f"options: {name} cannot be {value!r}")
    return {name: _tuples(value) for name, value in options.items()} | changes


def _read_policy_options(given: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A policy's options. Raises UsageError for a model that would have to be imported from elsewhere."""
    model = given.get("model", "reuploading")
    if "model" not in changes:
        origin = MODELS.origin(model)["from"] if isinstance(model, str) else "nowhere"
        if origin not in ("this library", "registered in Python"):
            raise UsageError(
                f"its model {model!r} is none of this library's, and not imported because a file says so; if you trust "
                f"it: load(..., policy_kwargs=dict(model={model!r}))"
            )
    options = {name: value if name == "net_arch" else _tuples(value) for name, value in given.items()} | changes
    _check_policy_options(options)
    for name in CLASSES.keys() & given.keys() - changes.keys():
        options[name] = CLASSES[name][_one_of(given, name, CLASSES[name])]
    return options


def _tuples(value: Any) -> Any:
    """With tuples for lists: options may be such, as those of a model are."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _read_space(role: str, spaces: Mapping[str, Any], tensors: dict[str, Tensor]) -> gymnasium.Space[Any]:
    space = _of(spaces, role, dict)
    if _one_of(space, "kind", {"Box": None, "Discrete": None}) == "Discrete":
        return gymnasium.spaces.Discrete(_of(space, "n", int), start=_of(space, "start", int))
    low, high = (_tensor(tensors, f"space/{role}/{bound}").numpy() for bound in ("low", "high"))
    return gymnasium.spaces.Box(low, high, dtype=low.dtype.type)


def _tensor(tensors: Mapping[str, Tensor], name: str, like: Tensor | None = None) -> Tensor:
    """A tensor of the file, of the shape and the type that it has to have."""
    if name not in tensors:
        raise UsageError(f"there is no tensor {name}")
    found = tensors[name]
    if like is not None and (found.shape, found.dtype) != (like.shape, like.dtype):
        wanted, there = (f"{tuple(each.shape)} of {each.dtype}" for each in (like, found))
        raise UsageError(f"{name} should be {wanted}, is {there}")
    return found


def _restore(policy: BasePolicy, tensors: Mapping[str, Tensor]) -> None:
    """Weights and the optimiser's moments."""
    own = policy.state_dict()
    policy.load_state_dict({name: _tensor(tensors, f"policy/{name}", value) for name, value in own.items()})
    known = {f"policy/{name}" for name in own}
    for name, parameter in policy.named_parameters():
        moments = {f"optimizer/{name}/{key}": like for key, like in _fresh_moments(policy.optimizer, parameter).items()}
        if moments.keys() & tensors.keys():  # else there was no step yet, or it trains no such parameter
            found = {each.rpartition("/")[2]: _tensor(tensors, each, like) for each, like in moments.items()}
            policy.optimizer.state[parameter] = {
                key: value.clone() if key == "step" else value.to(parameter.device) for key, value in found.items()
            }
            known |= moments.keys()
    for name in sorted(tensors.keys() - known):
        if not name.startswith("space/"):
            raise UsageError(f"tensor {name} belongs to nothing")


def _fresh_moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What the optimiser keeps of such a parameter after a step."""
    copy = torch.zeros_like(parameter, requires_grad=True)
    copy.grad = torch.zeros_like(copy)
    options = inspect.signature(type(optimiser)).parameters.keys() & optimiser.defaults.keys()
    other = type(optimiser)([copy], **{name: optimiser.param_groups[0][name] for name in options})
    other.step()
    return {key: value for key, value in other.state[copy].items() if isinstance(value, Tensor)}
