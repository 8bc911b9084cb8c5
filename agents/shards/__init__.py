"""One training over several processes: shards that take turns in a process, and the exchange between processes."""
