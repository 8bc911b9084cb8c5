"""Upper bounds of counts given by the user; larger values are rejected as typos."""

LARGEST_EPISODES = 100_000
"""Episodes, or trials, per task in an evaluation; all of them run in parallel."""

LARGEST_TASKS = 1_000_000
"""Tasks of an evaluation; the mean return is then known to a thousandth of its standard deviation over tasks."""

LARGEST_STEPS = 10_000
"""Updates in a task [gradient steps]."""

LARGEST_ITERATIONS = 10_000_000
"""Iterations of a training run."""

LARGEST_SHARDS = 100_000
"""Shards of a training; each has at least one task of an iteration."""

LARGEST_THREADS = 1024
"""Threads of torch; more than any machine has cores."""

LARGEST_OPTION = 10_000_000
"""Any whole number among an agent's options."""
