"""Meta-learners, one file per algorithm, and functions to train, load, evaluate, compare and plot.

    >>> import agents
    >>> run = agents.train("runs/first", env="navigation", agent="maml", iterations=5)  # doctest: +SKIP
    >>> policy = run.adapt(env, episodes=20)  # doctest: +SKIP

The package also exports the building blocks of custom agents: the protocols that an agent implements, the build context
passed to its `build`, and losses and return estimators. Importing this package is cheap: torch is imported with the
first name that needs it.

This package is part of qrl-meta.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
