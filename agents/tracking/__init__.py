"""Experiment trackers, one file each: TensorBoard, Weights & Biases, MLflow, Trackio."""
