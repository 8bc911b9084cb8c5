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

This package is part of qrl-meta.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from envs.core.registry import ENVS
from envs.native.registration import register_all

if TYPE_CHECKING:
    from envs.automl.lookup_tasks import LookupTasks, ScoreTable
    from envs.core.check import check
    from envs.core.distribution import Split, TaskDistribution, datasheet
    from envs.core.make import make
    from envs.core.ranges import (
        Choice,
        Dirichlet,
        Drawn,
        Integer,
        LogUniform,
        Normal,
        Range,
        Sign,
        SignedUniform,
        Uniform,
    )
    from envs.core.task_vector import TaskVectorEnv
    from envs.core.tasks import Tasks
    from envs.dynamics.drawing import Picture, blank_picture, draw_disc
    from envs.dynamics.per_lane_rng import init_rng_state, next_uniform
    from envs.native.single import SingleEnv
    from envs.native.torch_tasks import TorchTasks
    from envs.native.vector import TorchVectorEnv
    from envs.wrapped.gymnasium_tasks import GymnasiumTasks

__all__ = [
    "Choice",
    "Dirichlet",
    "Drawn",
    "GymnasiumTasks",
    "Integer",
    "LogUniform",
    "LookupTasks",
    "Normal",
    "Picture",
    "Range",
    "ScoreTable",
    "Sign",
    "SignedUniform",
    "SingleEnv",
    "Split",
    "TaskDistribution",
    "TaskVectorEnv",
    "Tasks",
    "TorchTasks",
    "TorchVectorEnv",
    "Uniform",
    "blank_picture",
    "check",
    "datasheet",
    "draw_disc",
    "init_rng_state",
    "make",
    "next_uniform",
    "register",
]

_HOMES = {
    "GymnasiumTasks": "wrapped.gymnasium_tasks",
    "LookupTasks": "automl.lookup_tasks",
    "Picture": "dynamics.drawing",
    "ScoreTable": "automl.lookup_tasks",
    "SingleEnv": "native.single",
    "Split": "core.distribution",
    "TaskDistribution": "core.distribution",
    "TaskVectorEnv": "core.task_vector",
    "Tasks": "core.tasks",
    "TorchTasks": "native.torch_tasks",
    "TorchVectorEnv": "native.vector",
    "blank_picture": "dynamics.drawing",
    "check": "core.check",
    "datasheet": "core.distribution",
    "draw_disc": "dynamics.drawing",
    "init_rng_state": "dynamics.per_lane_rng",
    "make": "core.make",
    "next_uniform": "dynamics.per_lane_rng",
}
"""Modules of the names that are not ranges of `envs.core.ranges`; they are imported when a name is first used."""


register_all()


def register(name: str, plugin: object) -> None:
    """Make `plugin` known as `name` in this process: a `TaskDistribution`, or what has `Config` and `build`.

    In place of what was registered under that name before, if anything.

        >>> envs.register("tilted", envs.GymnasiumTasks(make, {"tilt": envs.Uniform(-1, 1)}))

    Raises:
        UsageError: it is neither, or the name is that of a family of this folder, of a package or of Gymnasium.
    """
    ENVS.register(name, plugin)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"envs.{_HOMES.get(name, 'core.ranges')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
