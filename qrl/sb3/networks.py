"""Layers, activation and optimiser of a policy, as Stable-Baselines3 takes them."""

from collections.abc import Mapping

import numpy as np
import torch

from qrl.common.errors import UsageError


def check_networks(options: Mapping[str, object], *, separate: bool) -> None:
    """Raise UsageError for layers, an activation or an optimiser that Stable-Baselines3 cannot build.

    `separate`: actor and critic may have layers of their own.
    """
    layers = options.get("net_arch")
    if not (layers is None or _are_sizes(layers) or (separate and _are_of_actor_and_critic(layers))):
        wanted = "a list of positive sizes of layers, such as [64]" + ", or dict(pi=[64], vf=[64])" * separate
        raise UsageError(f"sb3: net_arch must be {wanted}, not {layers!r}")
    if not callable(activation := options.get("activation_fn", torch.nn.Tanh)):
        raise UsageError(f"sb3: activation_fn must be a class such as torch.nn.Tanh, not {activation!r}")
    kind = options.get("optimizer_class", torch.optim.Adam)
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        raise UsageError(f"sb3: optimizer_class must be a class such as torch.optim.Adam, not {kind!r}")


def _are_sizes(given: object) -> bool:
    return isinstance(given, list | tuple) and all(
        isinstance(each, int | np.integer) and not isinstance(each, bool) and each > 0 for each in given
    )


def _are_of_actor_and_critic(given: object) -> bool:
    if isinstance(given, list) and len(given) == 1:  # Stable-Baselines3's older form: a list of the dictionary
        (given,) = given
    return isinstance(given, dict) and given.keys() <= {"pi", "vf"} and all(map(_are_sizes, given.values()))
