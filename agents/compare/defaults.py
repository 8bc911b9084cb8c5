"""Defaults of a comparison, which the command line shows without importing it."""

EPSILON = 0.1
"""ε of the sample complexity: the threshold is 1 - ε of the way to the optimum."""
DELTA = 0.8
"""δ of the sample complexity: share of the seeds that must exceed the threshold."""
