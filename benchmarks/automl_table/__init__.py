"""Builders of the table of scores and of the rows that ship with `envs.automl`."""
