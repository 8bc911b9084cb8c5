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

from typing import TYPE_CHECKING, Any

from envs.core.registry import ENVS
from envs.native.registration import register_all

if TYPE_CHECKING:
    from envs.core.check import check
    from envs.core.distribution import (
        Choice,
        Dirichlet,
        Drawn,
        Integer,
        LogUniform,
        Normal,
        Range,
        Sign,
        SignedUniform,
        Split,
        TaskDistribution,
        Tasks,
        Uniform,
        datasheet,
    )
    from envs.native.torch_tasks import TorchTasks
    from envs.native.vector import SingleEnv, TorchVectorEnv
    from envs.wrapped.gymnasium_tasks import GymnasiumTasks

__all__ = [
    "Choice",
    "Dirichlet",
    "Drawn",
    "GymnasiumTasks",
    "Integer",
    "LogUniform",
    "Normal",
    "Range",
    "Sign",
    "SignedUniform",
    "SingleEnv",
    "Split",
    "TaskDistribution",
    "Tasks",
    "TorchTasks",
    "TorchVectorEnv",
    "Uniform",
    "check",
    "datasheet",
    "make",
    "register",
]

_ELSEWHERE = {
    "GymnasiumTasks": "wrapped.gymnasium_tasks",
    "check": "core.check",
    "SingleEnv": "native.vector",
    "TorchTasks": "native.torch_tasks",
    "TorchVectorEnv": "native.vector",
}
"""Modules of the names that are not in `envs.core.distribution`."""


register_all()


def make(name: str, **config: Any) -> "TaskDistribution":
    """The task distribution of a family.

    Args:
        name: a family of this folder, a registered name, a path to a .py file, `module:name`, or an entry point.
        config: options of the family, the fields of its `Config`.

    Raises:
        UsageError: an unknown family or option (a near match is suggested), or a value out of range.
    """
    from dataclasses import fields

    from qrl.common.errors import UsageError, suggest

    plugin = ENVS.load(name)
    options = [field.name for field in fields(plugin.Config)]
    for option in config:
        if option not in options:
            raise UsageError(f"env {name!r} has no option {option!r}{suggest(option, options)}")
    return plugin.build(plugin.Config(**config))


def register(name: str, plugin: object) -> None:
    """Make `plugin` known as `name` in this process: a `TaskDistribution`, or what has `Config` and `build`.

    In place of what was registered under that name before, if anything.

        >>> envs.register("tilted", envs.GymnasiumTasks(make, {"tilt": envs.Uniform(-1, 1)}))

    Raises:
        UsageError: it is neither, or the name is that of a family of this folder, of a package or of Gymnasium.
    """
    ENVS.register(name, plugin)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"envs.{_ELSEWHERE.get(name, 'core.distribution')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
