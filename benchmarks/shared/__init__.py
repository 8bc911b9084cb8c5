"""Shared by the benchmarks: timing, result files, runs, statistics."""
