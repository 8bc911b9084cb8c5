"""Fault injection for `benchmarks.recovery`."""
