"""Shared code of the benchmarks: timing, result files, runs, statistics."""
