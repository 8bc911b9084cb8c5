"""Comparison of runs: statistics over seeds and tasks."""
