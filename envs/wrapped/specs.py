"""Specifications of Gymnasium ids."""

from importlib import import_module

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from envs.wrapped.faults import wrap_env_errors
from qrl.common.errors import UsageError, suggest


def find_spec(id: str) -> EnvSpec:
    """Return Gymnasium's specification of an id; `module:Id-v0` imports the module first.

    Raises:
        UsageError: no such id; a near match is suggested.
    """
    module, _, name = id.rpartition(":")
    if module:
        with wrap_env_errors(id):
            import_module(module)
    if name not in gym.registry:
        near = suggest(name, list(gym.registry)).partition(" (choices")[0]  # too many choices to list
        near = near if near.startswith("; did") else "; gymnasium.pprint_registry() lists all"
        namespace = name.rpartition("/")[0]
        if namespace and not any(known.startswith(f"{namespace}/") for known in gym.registry):
            near = f"; install the package that registers {namespace}/ and put its name before a colon: PACKAGE:{name}"
        raise UsageError(f"{id}: unknown Gymnasium id{near}")
    return gym.spec(name)
