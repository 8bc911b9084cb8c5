"""Reference policies: optimal policies, classical bandit algorithms, search policies. Each file is an `--agent`."""
