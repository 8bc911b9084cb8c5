"""Upper bounds of counts given by the user; larger values are rejected as typos."""

LARGEST_EPISODES = 100_000
"""Episodes, or trials, per task in an evaluation; all of them run in parallel."""

LARGEST_ITERATIONS = 10_000_000
"""Iterations of a training run."""
