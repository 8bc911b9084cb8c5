"""Checks of what `reset` and `step` of third-party environments return; errors say what was given and is expected."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.wrapped.faults import Fault
from qrl.common.errors import UsageError

Environment = gym.Env[Any, Any]
"""Third-party environment with any observations and actions."""

Step = tuple[Any, float, bool, bool, Mapping[str, Any]]
"""Observation, reward, terminated, truncated, info."""

RESET = "reset(*, seed=None, options=None) that returns (observation, info)"
STEP = "step that returns (observation, reward, terminated, truncated, info)"
ADAPTER = "or wrap it with shimmy's GymV21CompatibilityV0 or GymV26CompatibilityV0 (pip install shimmy)"
OLD = f"this is the interface of Gym before 0.26; write {RESET}, and {STEP}, {ADAPTER}"


def of_old_gym(cls: type) -> bool:
    """Return whether a class inherits from `gym.Env`, of the package before Gymnasium."""
    return any(base.__module__.partition(".")[0] == "gym" for base in cls.__mro__)


def old_gym_advice(cls: type) -> str:
    """Return what to do with a class of the package gym."""
    return f"{cls.__name__} is an environment of the package gym; inherit from gymnasium.Env, {ADAPTER}"


def lacks(env: Environment, method: str) -> bool:
    """Return whether an environment has no method of its own, but only that of `gymnasium.Env`, which does nothing."""
    own = getattr(env.unwrapped, method)
    return getattr(own, "__func__", None) is getattr(gym.Env, method)


def check_methods(name: str, env: Environment) -> None:
    """Raise UsageError for an environment, of this name in messages, without `reset` or `step`."""
    for method, wanted in (("reset", RESET), ("step", STEP)):
        if lacks(env, method):
            raise UsageError(f"{name}: {type(env.unwrapped).__name__} has no method {method}; write {wanted}")


def reset(env: Environment, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, Mapping[str, Any]]:
    """Reset an environment and return its observation and info. Raise Fault if it returns anything else."""
    try:
        results: object = env.reset(seed=seed, options=options)
    except TypeError as error:
        accepted = inspect.signature(env.unwrapped.reset).parameters.values()
        missing = [name for name in ("seed", "options") if name not in {each.name for each in accepted}]
        if not missing or any(each.kind is each.VAR_KEYWORD for each in accepted):
            raise
        raise Fault(f"reset takes no {' and '.join(missing)}: {OLD}") from error
    if isinstance(results, tuple) and len(results) == 2 and isinstance(results[1], Mapping):
        return results
    if isinstance(results, tuple | list) and len(results) == 2:
        raise Fault(f"reset must return (observation, info), with a dict as info, not {kind(results[1])}")
    raise Fault(f"reset must return (observation, info), not {kind(results)}: {OLD}")


def step(env: Environment, action: object) -> Step:
    """Step an environment. Raise Fault unless it returns a number as reward, two flags and a dict."""
    results: Any = env.step(action)
    # One comparison each for the usual types: this is called for every step of every environment.
    if type(results) is not tuple or len(results) != 5:
        results = _five(results)
    observation, reward, terminated, truncated, info = results
    if type(reward) is not float:
        reward = float(_number("reward", reward))
    if type(terminated) is not bool:
        terminated = bool(_number("terminated", terminated))
    if type(truncated) is not bool:
        truncated = bool(_number("truncated", truncated))
    if type(info) is not dict and not isinstance(info, Mapping):
        raise Fault(f"step must return a dict as info, not {kind(info)}")
    return observation, reward, terminated, truncated, info


REAL_KINDS = "fiub"
"""Kinds of NumPy's types that are real numbers."""


def _five(results: object) -> Sequence[Any]:
    """Return a sequence of five values unchanged."""
    if isinstance(results, tuple | list) and len(results) == 5:
        return results
    count = f"{len(results)} values" if isinstance(results, tuple | list) else kind(results)
    hint = f": {OLD}" if count == "4 values" else ""
    raise Fault(f"step must return (observation, reward, terminated, truncated, info), not {count}{hint}")


def _number(name: str, value: object) -> Any:
    """Return a real number or flag unchanged."""
    array = value if isinstance(value, np.generic) else np.asarray(value)
    if array.dtype.kind not in REAL_KINDS or array.shape != ():
        raise Fault(f"step must return a number as {name}, not {kind(value)}")
    return value


def kind(value: object) -> str:
    """Describe a value in a few words: its type, and the shape and type of an array."""
    if value is None:
        return "None"
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, bool | int | float | complex | np.generic):
        return f"the {name} {value}"
    if isinstance(value, tuple | list):
        return f"a {name} of {len(value)} values"
    return f"a {name}"
