"""Reference policies: optima, classical strategies, searches. Each file is an `--agent`."""
