"""Fault injection for `benchmarks.recovery` and `benchmarks.misbehaving_environments`."""
