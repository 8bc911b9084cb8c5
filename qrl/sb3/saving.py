"""Stable-Baselines3 models in files that execute nothing when loaded.

A model is one safetensors file: the weights, the optimiser's moments and the bounds of spaces as tensors; everything
else as strict JSON in the header, with a digest of both. Classes are stored by name and looked up only in the lists
below: nothing is imported or called because a file says so.
"""

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import safetensors.torch
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, RolloutBuffer
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule
from torch import Tensor, nn

from qrl.common.errors import UsageError
from qrl.common.files import Json, to_json, write_atomically
from qrl.common.options import check_known, option_names
from qrl.common.registry import name_of
from qrl.models import MODELS
from qrl.policies.budget import canonical_budget
from qrl.sb3.extractor import QuantumFeaturesExtractor
from qrl.sb3.policies import POLICIES

FORMAT, VERSION = "qrl-sb3", 1

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {kind.__name__: kind for kind in (PPO, A2C, DQN, SAC, TD3, DDPG)}

OPTIMISERS: tuple[type[Any], ...] = (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD)
ACTIVATIONS: tuple[type[Any], ...] = (nn.Tanh, nn.ReLU, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid)
EXTRACTORS: tuple[type[Any], ...] = (QuantumFeaturesExtractor, FlattenExtractor)
EXTRACTOR_OPTIONS = "features_extractor_kwargs"
CLASSES = {
    "optimizer_class": {kind.__name__: kind for kind in OPTIMISERS},
    "activation_fn": {kind.__name__: kind for kind in ACTIVATIONS},
    "features_extractor_class": {kind.__name__: kind for kind in EXTRACTORS},
}
"""Policy options that are classes, and their permitted values."""

POLICY_OPTIONS = (
    *CLASSES,
    *("model", "observation_scale", "lr_angles", "lr_scales", "lr_heads", "net_arch", "ortho_init", "optimizer_kwargs"),
    *("use_sde", "log_std_init", "full_std", "use_expln", "squash_output", "share_features_extractor"),
    *("normalize_images", "readout", "n_critics", "clip_mean", EXTRACTOR_OPTIONS),
)
"""Policy options that a file may contain, besides those of the model."""

BUFFERS = ("rollout_buffer", "replay_buffer")
NOT_SAVED = (
    *("self", "policy", "env", "policy_kwargs", "tensorboard_log", "device", "_init_setup_model"),
    *("use_rms_prop", "rms_prop_eps"),
    *(f"{name}_{part}" for name in BUFFERS for part in ("class", "kwargs")),
)
"""Arguments of an algorithm that are stored elsewhere (RMSprop's belong to the policy) or set when loading."""

COUNTERS = {
    "num_timesteps": int,
    "_total_timesteps": int,
    "_num_timesteps_at_start": int,
    "_episode_num": int,
    "_n_updates": int,
    "_current_progress_remaining": float,
}
"""Progress counters of an algorithm."""

ENTROPY = "entropy/log_ent_coef"
"""Logarithm of SAC's entropy coefficient, if it is learned."""

DQN_COUNTERS = {"_n_calls": int, "exploration_rate": float}


def digest(tensors: dict[str, Tensor], text: str) -> str:
    """Return the digest of a file's tensors and JSON."""
    return hashlib.sha256(safetensors.torch.save(tensors) + text.encode()).hexdigest()


def arguments(kind: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return an algorithm's options and their annotations."""
    parameters = inspect.signature(kind.__init__).parameters
    return {name: each.annotation for name, each in parameters.items() if name not in NOT_SAVED}


def counter_types(kind: type[BaseAlgorithm]) -> dict[str, type[int] | type[float]]:
    """Return the counters of an algorithm and their types."""
    return COUNTERS | (DQN_COUNTERS if issubclass(kind, DQN) else {})


def check_policy_options(given: Mapping[str, Any]) -> None:
    """Raise UsageError for a policy option that is not known to be harmless: an unknown one might cause an import."""
    check_known(given, (*POLICY_OPTIONS, *_model_options(given)), "the policy's option", " cannot be in a file")
    extractor = given.get(EXTRACTOR_OPTIONS) or {}
    if not isinstance(extractor, Mapping):
        raise UsageError(f"{EXTRACTOR_OPTIONS} must be options by name, not {extractor!r}")
    known = ("model", "observation_scale", *_model_options(extractor))
    check_known(extractor, known, "the extractor's option", " cannot be in a file")


def _model_options(given: Mapping[str, Any]) -> list[str]:
    """Return the names of the options of the model that is named among options."""
    return list(option_names(MODELS.load(given.get("model", "reuploading")).Config))


def _policy_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a policy or an extractor as JSON values; paths of models become absolute."""
    options = {name: _plain(name, value) for name, value in given.items()}
    if isinstance(name := options.get("model"), str):
        options["model"] = MODELS.canonical(name)
    if isinstance(extractor := given.get(EXTRACTOR_OPTIONS), Mapping):
        options[EXTRACTOR_OPTIONS] = _policy_options(extractor)
    if isinstance(budget := options.get("budget"), str):
        options["budget"] = canonical_budget(budget)
    return options


def save(model: BaseAlgorithm, path: Path | str) -> None:
    """Write a model atomically to one file that is safe to `load`: safetensors and JSON.

    `model` is a PPO, A2C, DQN, SAC, TD3 or DDPG model, with a quantum policy or Stable-Baselines3's MlpPolicy.

    The file holds everything that Stable-Baselines3's own `save` stores, except functions in place of numbers (a
    learning-rate schedule), which `load` must receive again. Raises UsageError for a model that such a file cannot
    hold, and for a name that ends in .zip.
    """
    check_file_name(path)
    check_can_be_saved(model)
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    tensors |= dict(_moments(model))
    if isinstance(model, SAC) and model.log_ent_coef is not None:
        tensors[ENTROPY] = model.log_ent_coef
    spaces = {role: _space(role, getattr(model, f"{role}_space"), tensors) for role in ("observation", "action")}
    options, functions = _options(model)
    content = {
        "version": VERSION,
        "algorithm": type(model).__name__,
        "policy": model.policy_class.__name__,
        "policy_options": _policy_options(model.policy_kwargs),
        "options": options,
        "functions": functions,
        "spaces": spaces,
        "n_envs": model.n_envs,
        "counters": {name: kind(getattr(model, name)) for name, kind in counter_types(type(model)).items()},
    }
    contiguous = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = to_json(content)
    write_atomically(Path(path), safetensors.torch.save(contiguous, {FORMAT: text, "digest": digest(contiguous, text)}))


def check_file_name(path: Path | str) -> None:
    """Raise UsageError for the name of a zip file, which says that Stable-Baselines3 wrote the file."""
    if Path(path).suffix.lower() == ".zip":
        better = Path(path).with_suffix(".safetensors")
        raise UsageError(f"sb3: {path}: a zip file is one of Stable-Baselines3; name this one {better.name}")


def check_can_be_saved(model: BaseAlgorithm) -> None:
    """Raise UsageError for an algorithm, a policy or an option of the policy that a file cannot hold."""
    if type(model) not in ALGORITHMS.values():
        raise UsageError(f"sb3: a {type(model).__name__} cannot be saved; supported: {', '.join(ALGORITHMS)}")
    if model.policy_class not in POLICIES.values():
        raise UsageError(
            f"sb3: a model with a {model.policy_class.__name__} cannot be saved; supported: {', '.join(POLICIES)}"
        )
    kwargs = model.policy_kwargs
    for options, where in ((kwargs, ""), (kwargs.get(EXTRACTOR_OPTIONS) or {}, f'["{EXTRACTOR_OPTIONS}"]')):
        if isinstance(options, Mapping) and not isinstance(given := options.get("model", ""), str):
            raise UsageError(
                f"sb3: the model {name_of(given)} cannot be saved; put it in a Python file, name the file, "
                f'model.policy_kwargs{where}["model"] = "my_circuit.py", and save again'
            )
    check_policy_options(kwargs)


def trained_parameters(model: BaseAlgorithm) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
    """Yield the parameters of each optimiser: of the policy, of actor and critic, of SAC's entropy coefficient.

    The name is the common beginning of the names of its moments in a file.
    """
    names = {id(parameter): name for name, parameter in model.policy.named_parameters()}
    for owner, module in model.policy.named_modules():
        optimiser = vars(module).get("optimizer")  # Stable-Baselines3 sets it on the modules that it trains
        if isinstance(optimiser, torch.optim.Optimizer):
            prefix = f"{owner}.optimizer" if owner else "optimizer"
            for group in optimiser.param_groups:
                yield from ((f"{prefix}/{names[id(each)]}", each, optimiser) for each in group["params"])
    if isinstance(model, SAC) and model.ent_coef_optimizer is not None and model.log_ent_coef is not None:
        yield "entropy.optimizer/log_ent_coef", model.log_ent_coef, model.ent_coef_optimizer


def _moments(model: BaseAlgorithm) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the optimisers."""
    for name, parameter, optimiser in trained_parameters(model):
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"{name}/{key}", value


def _space(role: str, space: gymnasium.Space[Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    match space:
        case gymnasium.spaces.Box():
            for bound in ("low", "high"):  # bounds may be infinite, unlike numbers in JSON
                tensors[f"space/{role}/{bound}"] = torch.as_tensor(getattr(space, bound))
            return {"kind": "Box"}
        case gymnasium.spaces.Discrete():
            return {"kind": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
        case gymnasium.spaces.MultiDiscrete() if space.nvec.ndim == 1 and not space.start.any():
            return {"kind": "MultiDiscrete", "sizes": space.nvec.tolist(), "dtype": str(space.dtype)}
        case gymnasium.spaces.MultiBinary():  # MultiBinary(4) and MultiBinary((4,)) differ for Stable-Baselines3
            return {"kind": "MultiBinary", "n": list(space.shape) if isinstance(space.n, Sequence) else int(space.n)}
    known = "Box, Discrete, MultiDiscrete (one axis, from 0) and MultiBinary"
    raise UsageError(f"sb3: a model with the {role} space {space} cannot be saved; supported: {known}")


def _options(model: BaseAlgorithm) -> tuple[dict[str, Any], list[str]]:
    """Return the values of options, and the names of options that are functions of the training progress."""
    for name in BUFFERS:
        buffer_class = getattr(model, f"{name}_class", None) or RolloutBuffer
        kwargs = getattr(model, f"{name}_kwargs", None) or {}
        of_steps = buffer_class is NStepReplayBuffer and kwargs.keys() == {"n_steps", "gamma"}  # follows from n_steps
        if buffer_class.__module__ != RolloutBuffer.__module__ or (kwargs and not of_steps):
            raise UsageError(f"sb3: a model with a custom {name} cannot be saved")
    options: dict[str, Any] = {}
    functions = []
    attributes = vars(model)
    for name in arguments(type(model)):
        value = attributes[name if name in attributes else f"_{name}"]
        value = value.value_schedule if isinstance(value, FloatSchedule) else value
        value = value.val if isinstance(value, ConstantSchedule) else value
        value = (value.frequency, value.unit.value) if isinstance(value, TrainFreq) else value
        if callable(value):
            functions.append(name)
        else:
            options[name] = _plain(name, value)
    return options, functions


def _plain(name: str, value: object) -> Json:
    """Convert an option to JSON."""
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
    shown = value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"
    raise UsageError(f"sb3: a model with the option {name}={shown} cannot be saved: it has no JSON form")
