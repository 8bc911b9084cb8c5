"""Observations of third-party environments as float32 vectors.

Arrays are flattened, discrete observations one-hot encoded, and the parts of a Dict or Tuple joined in the order of the
space. Bounds of a Box are a hint for scales: values beyond them pass.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from envs.wrapped.faults import Fault
from envs.wrapped.results import REAL_KINDS, kind

Space = gym.Space[Any]

DISCRETE = (gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
"""Spaces whose elements are one-hot encoded."""


def leaves(space: Space, name: str = "") -> Iterator[tuple[str, Space]]:
    """Yield the parts of a space that are neither Dict nor Tuple, with their names, such as "goal" or "arm.0"."""
    match space:
        case gym.spaces.Dict():
            parts = [(str(key), part) for key, part in space.spaces.items()]
        case gym.spaces.Tuple():
            parts = [(str(index), part) for index, part in enumerate(space.spaces)]
        case _:
            yield name, space
            return
    for key, part in parts:
        yield from leaves(part, f"{name}.{key}" if name else key)


def flattened(space: Space) -> gym.spaces.Box:
    """Return the observation space flattened to vectors."""
    flat = gym.spaces.flatten_space(space)
    assert isinstance(flat, gym.spaces.Box)
    low, high = (np.asarray(end, dtype=np.float32) for end in (flat.low, flat.high))
    return gym.spaces.Box(low, high, dtype=np.float32)


def vector(space: Space, observation: object, what: str = "the observation") -> NDArray[np.float32]:
    """Return an observation of a space as a float32 vector; values outside the bounds of a Box pass, also infinity.

    Lists and other numeric types are converted.

    Args:
        space: the environment's observation space.
        observation: what the environment returned.
        what: words for it in messages.

    Raises:
        Fault: the observation has another shape or other parts than the space, is not numeric, or is outside a discrete
            space.
    """
    match space:
        case gym.spaces.Box():
            return _box(space, observation, what)
        case gym.spaces.Dict():
            if not isinstance(observation, Mapping) or observation.keys() != space.spaces.keys():
                found = f"a dict of {', '.join(map(str, observation))}" if isinstance(observation, Mapping) else None
                raise Fault(f"{what} is {found or kind(observation)}, not a dict of {', '.join(space.spaces)}")
            return _joined(space.spaces, observation, what)
        case gym.spaces.Tuple():
            if not isinstance(observation, tuple | list) or len(observation) != len(space.spaces):
                raise Fault(f"{what} is {kind(observation)}, not a tuple of {len(space.spaces)} parts")
            return _joined(dict(enumerate(space.spaces)), dict(enumerate(observation)), what)
        case _:
            return _one_hot(space, observation, what)


def _joined(spaces: Mapping[Any, Space], parts: Mapping[Any, object], what: str) -> NDArray[np.float32]:
    return np.concatenate([vector(space, parts[key], f"entry {key!r} of {what}") for key, space in spaces.items()])


def _box(space: gym.spaces.Box, observation: object, what: str) -> NDArray[np.float32]:
    if type(observation) is np.ndarray and observation.shape == space.shape:
        array: NDArray[Any] = observation
    else:
        array = _array(space, observation, what)
    if array.dtype != np.float32:
        if array.dtype.kind not in REAL_KINDS:
            raise _unfit(space, array, what)
        with np.errstate(over="ignore"):  # infinity is an error later, which names the task
            array = array.astype(np.float32)
    return array.reshape(-1)


def _one_hot(space: Space, observation: object, what: str) -> NDArray[np.float32]:
    array = _array(space, observation, what)
    if array.dtype.kind not in "iub":
        raise Fault(f"{what} is {kind(observation)}, which is not in the space {space}")
    whole = array.astype(space.dtype)
    # Discrete spaces contain scalars, not arrays without axes.
    element = whole if whole.shape else whole[()]
    if not space.contains(element):
        values = f", {' '.join(str(whole).split())}" if whole.shape else ""
        raise Fault(f"{what} is {kind(observation)}{values}, which is not in the space {space}")
    return np.asarray(gym.spaces.flatten(space, element), dtype=np.float32)


def _array(space: Space, observation: object, what: str) -> NDArray[Any]:
    """Convert lists and the like to an array of the shape of the space."""
    if isinstance(observation, torch.Tensor):
        observation = observation.detach().cpu()  # NumPy takes no others
    try:
        array = np.asarray(observation)
    except Exception as error:  # such as for lists of unequal lengths
        raise _unfit(space, observation, what, ", whose shapes differ") from error
    if array.shape != space.shape:
        is_nested = isinstance(observation, list | tuple | torch.Tensor) and array.ndim > 1
        raise _unfit(space, observation, what, f" of shape {array.shape}" if is_nested else "")
    return array


def _unfit(space: Space, observation: object, what: str, shape: str = "") -> Fault:
    """Return an error; `shape` completes the description of an observation that is no array."""
    expected = f"an array of {space.dtype} of shape {space.shape}" if space.shape else f"an element of {space}"
    return Fault(f"{what} is {kind(observation)}{shape}, not {expected}")


def beyond_bounds(space: Space, observation: NDArray[np.float32]) -> str:
    """Describe the first entry of a vector of this space that lies outside its bounds; "" if none does."""
    bounds = flattened(space)
    outside = (observation < bounds.low) | (observation > bounds.high)
    if not outside.any():
        return ""
    index = int(outside.argmax())
    low, high, value = bounds.low[index], bounds.high[index], observation[index]
    return f"{_entry(space, index)} is {value:.6g}, outside its bounds [{low:g}, {high:g}]"


def _entry(space: Space, index: int) -> str:
    """Return the name of an entry of the vector, such as "entry 2 of 'goal'"; entries count from 0."""
    for name, part in leaves(space):
        size = gym.spaces.flatdim(part)
        if index < size:
            return f"entry {index}" + (f" of {name!r}" if name else "")
        index -= size
    raise AssertionError("the vector has as many entries as the space")
