"""Tuning: a search over options of agent and model by their scores on train tasks."""
