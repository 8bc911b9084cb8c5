"""Training, evaluation and their results."""
