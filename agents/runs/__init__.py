"""The run folder and what is recorded in it."""
