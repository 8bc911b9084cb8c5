"""Run folder: configuration, metrics, checkpoints and provenance of a run."""
