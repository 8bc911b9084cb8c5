"""Statistics of scores [seed, task] and of training curves [seed, point], with their confidence intervals."""

from agents.compare.estimates import difference, iqm, mean
from agents.compare.improvement import probability_of_improvement
from agents.compare.profiles import Profile, performance_profile
from agents.compare.sample_complexity import SAMPLE_COMPLEXITY_CONFIDENCE, sample_complexity
from agents.compare.scores import MIN_SEEDS, Estimate, Scores
from agents.core.confidence import CONFIDENCE

__all__ = [
    "CONFIDENCE",
    "MIN_SEEDS",
    "SAMPLE_COMPLEXITY_CONFIDENCE",
    "Estimate",
    "Profile",
    "Scores",
    "difference",
    "iqm",
    "mean",
    "performance_profile",
    "probability_of_improvement",
    "sample_complexity",
]
