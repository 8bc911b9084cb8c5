"""Confidence level of the intervals of every evaluation and comparison."""

CONFIDENCE = 0.95
