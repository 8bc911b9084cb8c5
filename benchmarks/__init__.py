"""Measurements, each with the command that makes it; see docs/benchmarks.md. Never part of the test run."""
