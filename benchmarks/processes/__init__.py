"""Training over several processes: the runs that benchmarks.sharding compares and times."""
