"""Entry points of `gymnasium.make` and `gymnasium.make_vec` for the ids of the native families."""

from collections.abc import Mapping

import gymnasium as gym

from envs.core.make import make as make_family
from envs.native.arrays import ArrayVectorEnv
from envs.native.single import SingleEnv
from envs.native.torch_tasks import TorchTasks
from qrl.common.errors import UsageError


def make(
    family: str, task: Mapping[str, object] | None = None, render_mode: str | None = None, **options: object
) -> SingleEnv:
    """Make one environment, for `gymnasium.make`.

    Args:
        family: name of the family.
        task: values of some parameters; the others are nominal.
        render_mode: "rgb_array" where the family has pictures, or None.
        options: the fields of the family's `Config`, such as `horizon`.

    Raises:
        UsageError: an unknown option, parameter or render mode.
    """
    distribution = _native(family, options)
    _check_render_mode(distribution, render_mode)
    return distribution.make(task, render_mode)


def make_vec(
    family: str,
    num_envs: int = 1,
    task: Mapping[str, object] | None = None,
    autoreset_mode: gym.vector.AutoresetMode | str = gym.vector.AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    **options: object,
) -> ArrayVectorEnv:
    """Make many environments, for `gymnasium.make_vec`.

    `autoreset_mode` is one of Gymnasium's modes, the other arguments are those of `make`.

    Raises:
        UsageError: the conditions of `make`, or any render mode.
    """
    if "max_episode_steps" in options:
        raise UsageError(f"{family}: an episode's longest duration is horizon, not max_episode_steps: horizon=100")
    if render_mode is not None:
        raise UsageError(f"{family}: vector environments cannot render; use gymnasium.make for a single one")
    return ArrayVectorEnv(_native(family, options), num_envs, task, autoreset_mode)


_WRAPPERS = {"human": "HumanRendering", "rgb_array_list": "RenderCollection"}
"""Wrappers of Gymnasium for render modes that the families do not have themselves."""


def _check_render_mode(distribution: TorchTasks, render_mode: str | None) -> None:
    """Raise UsageError for a render mode that a wrapper of Gymnasium adds to a family with pictures."""
    if render_mode in _WRAPPERS and "rgb_array" in distribution.render_modes:
        raise UsageError(
            f"{distribution.name}: no render_mode {render_mode!r}; make it with render_mode='rgb_array', in "
            f"gymnasium.wrappers.{_WRAPPERS[render_mode]}"
        )


def _native(family: str, options: Mapping[str, object]) -> TorchTasks:
    distribution = make_family(family, **options)
    assert isinstance(distribution, TorchTasks)
    return distribution
