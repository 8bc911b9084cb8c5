"""Entry points of `gymnasium.make` and `gymnasium.make_vec` for the ids of the native families."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym

from envs.core.make import make as make_family
from envs.native.arrays import ArrayVectorEnv
from envs.native.single import RENDER_FPS, SingleEnv
from envs.native.torch_tasks import TorchTasks
from qrl.common.errors import UsageError


class NoPicturesError(UsageError, TypeError):
    """Error for a render mode of a family without pictures; Stable-Baselines3 then asks for none.

    Gymnasium raises a TypeError for an argument that an environment does not have.
    """


class MakeSingle:
    """Entry point of `gymnasium.make`, which reads the render modes of all families here.

    Gymnasium adds the modes "human" and "rgb_array_list" by its wrappers HumanRendering and RenderCollection.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}

    def __call__(
        self,
        family: str,
        task: Mapping[str, object] | None = None,
        render_mode: str | None = None,
        **options: object,
    ) -> SingleEnv:
        """Make one environment.

        Args:
            family: name of the family.
            task: values of some parameters; the others are nominal.
            render_mode: "rgb_array" or None.
            options: the fields of the family's `Config`, such as `horizon`.

        Raises:
            UsageError: an unknown option, parameter or render mode.
        """
        distribution = _native(family, options)
        if render_mode is not None and not distribution.render_modes:
            raise NoPicturesError(f"{family}: unknown render_mode {render_mode!r}; supported: none")
        return distribution.make(task, render_mode)


make = MakeSingle()


def make_vec(
    family: str,
    num_envs: int = 1,
    task: Mapping[str, object] | None = None,
    autoreset_mode: gym.vector.AutoresetMode | str = gym.vector.AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    **options: object,
) -> ArrayVectorEnv:
    """Make many environments, for `gymnasium.make_vec`.

    `autoreset_mode` is one of Gymnasium's modes. `max_episode_steps`, which Gymnasium passes on from a specification,
    is another name of the family's option `horizon`; with both, the shorter one holds. Other arguments are those of
    `make`.

    Raises:
        UsageError: the conditions of `make`.
    """
    if max_episode_steps is not None:
        options["horizon"] = _shorter(max_episode_steps, options.get("horizon"))
    return ArrayVectorEnv(_native(family, options), num_envs, task, autoreset_mode, render_mode)


def _shorter(limit: int, horizon: object) -> object:
    """Return the shorter of two limits; an invalid horizon is returned for the family to refuse."""
    return min(limit, horizon) if isinstance(horizon, int) else limit if horizon is None else horizon


def _native(family: str, options: Mapping[str, object]) -> TorchTasks:
    distribution = make_family(family, **options)
    assert isinstance(distribution, TorchTasks)
    return distribution
