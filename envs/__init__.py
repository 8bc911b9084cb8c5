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

The families are registered with Gymnasium: `gymnasium.make("qrl/CartPole-v0", task={"gravity": 12})` and
`gymnasium.make_vec`. Importing this package is cheap: torch is imported with the first name that needs torch.

The sub-packages build on each other in this order: `core` (the contract: tasks, ranges, vector environments),
`dynamics` (physics, pictures, random numbers), `native` (families in torch), then `wrapped` (third-party environments)
and `automl` (tables of scores). The families, files directly in this folder, import the public names below and modules
of `dynamics`. Only the registry, in `core`, imports a later sub-package: it resolves ids of Gymnasium by `wrapped`.

This package is part of qrl-meta.
"""

from types import ModuleType

import lazy_loader
import wrapt

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _register_families(gymnasium: ModuleType) -> None:
    from envs.native.registration import register_all

    register_all()


# Runs now if Gymnasium is already imported, else on its import: importing this package alone stays cheap.
wrapt.register_post_import_hook(_register_families, "gymnasium")
