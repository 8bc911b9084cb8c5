"""Builders of the score table and the dataset rows that ship with `envs.automl`."""
