"""Task distributions: families of environments that differ in a few numbers, batched in torch.

One file per family; the file's name is the family's name (`envs/navigation.py` is `--env navigation`).

    >>> import numpy as np
    >>> import envs
    >>> distribution = envs.make("navigation", horizon=50)
    >>> tasks = distribution.sample(20, "train", np.random.default_rng(0))
    >>> env = distribution.vectorise(n_tasks=20, envs_per_task=10)
    >>> observation, info = env.reset(seed=0, options={"tasks": tasks})
    >>> observation.shape
    torch.Size([200, 2])
    >>> one = distribution.make({"goal_x": 0.2})  # a gymnasium.Env on one task

Importing this package makes the families known to Gymnasium: `gymnasium.make("qrl/CartPole-v0", task={"gravity": 12})`
and `gymnasium.make_vec`. It does not import torch; that happens with the first use of one of its names.

Sub-packages build on each other in one order: `core` (the contract: tasks, ranges, vector environments), `dynamics`
(physics, pictures, random numbers), `native` (families in torch), then `wrapped` (third-party environments) and
`automl` (tables of scores). The families, files directly in this folder, import the public names below and what they
need of `dynamics`. Only the registry, in `core`, looks further: it resolves ids of Gymnasium by `wrapped`.

This package is part of qrl-meta.
"""

from typing import TYPE_CHECKING

from envs.core.registry import ENVS
from envs.native.registration import register_all
from qrl.common.lazy import lazy_names

if TYPE_CHECKING:
    from envs.automl.lookup_tasks import LookupTasks as LookupTasks
    from envs.automl.lookup_tasks import ScoreTable as ScoreTable
    from envs.core.check import check as check
    from envs.core.distribution import Split as Split
    from envs.core.distribution import TaskDistribution as TaskDistribution
    from envs.core.distribution import datasheet as datasheet
    from envs.core.make import make as make
    from envs.core.ranges import Choice as Choice
    from envs.core.ranges import Dirichlet as Dirichlet
    from envs.core.ranges import Drawn as Drawn
    from envs.core.ranges import Integer as Integer
    from envs.core.ranges import LogUniform as LogUniform
    from envs.core.ranges import Normal as Normal
    from envs.core.ranges import Range as Range
    from envs.core.ranges import Sign as Sign
    from envs.core.ranges import SignedUniform as SignedUniform
    from envs.core.ranges import Uniform as Uniform
    from envs.core.task_vector import TaskVectorEnv as TaskVectorEnv
    from envs.core.tasks import Tasks as Tasks
    from envs.core.tasks import check_indices as check_indices
    from envs.dynamics.drawing import Picture as Picture
    from envs.dynamics.drawing import blank_picture as blank_picture
    from envs.dynamics.drawing import draw_disc as draw_disc
    from envs.dynamics.per_lane_rng import init_rng_state as init_rng_state
    from envs.dynamics.per_lane_rng import next_uniform as next_uniform
    from envs.native.single import SingleEnv as SingleEnv
    from envs.native.torch_tasks import TorchTasks as TorchTasks
    from envs.native.vector import TorchVectorEnv as TorchVectorEnv
    from envs.wrapped.gymnasium_tasks import GymnasiumTasks as GymnasiumTasks

_HOMES = {
    "envs.automl.lookup_tasks": ("LookupTasks", "ScoreTable"),
    "envs.core.check": ("check",),
    "envs.core.distribution": ("Split", "TaskDistribution", "datasheet"),
    "envs.core.make": ("make",),
    "envs.core.ranges": (
        "Choice",
        "Dirichlet",
        "Drawn",
        "Integer",
        "LogUniform",
        "Normal",
        "Range",
        "Sign",
        "SignedUniform",
        "Uniform",
    ),
    "envs.core.task_vector": ("TaskVectorEnv",),
    "envs.core.tasks": ("Tasks", "check_indices"),
    "envs.dynamics.drawing": ("Picture", "blank_picture", "draw_disc"),
    "envs.dynamics.per_lane_rng": ("init_rng_state", "next_uniform"),
    "envs.native.single": ("SingleEnv",),
    "envs.native.torch_tasks": ("TorchTasks",),
    "envs.native.vector": ("TorchVectorEnv",),
    "envs.wrapped.gymnasium_tasks": ("GymnasiumTasks",),
}
register_all()

if not TYPE_CHECKING:  # or type checkers would accept any name
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES, "register")


def register(name: str, plugin: object) -> None:
    """Make `plugin` known as `name` in this process: a `TaskDistribution`, or what has `Config` and `build`.

    In place of what was registered under that name before, if anything.

        >>> envs.register("tilted", envs.GymnasiumTasks(make, {"tilt": envs.Uniform(-1, 1)}))

    Raises:
        UsageError: it is neither, or the name is that of a family of this folder, of a package or of Gymnasium.
    """
    ENVS.register(name, plugin)
