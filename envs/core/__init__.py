"""The contract of task distributions: ranges, tasks, vector environments, checks."""
