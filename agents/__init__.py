"""Meta-learners, one file per algorithm, and what one does with them: train, load, evaluate, plot.

    >>> import agents
    >>> run = agents.train("runs/first", env="navigation", agent="maml", iterations=5)  # doctest: +SKIP
    >>> policy = run.adapt(env, episodes=20)  # doctest: +SKIP

What an author of an agent needs is here too: the protocols that an agent fulfils, what it is built from, and the
mathematics that algorithms share. Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
