"""Training and evaluation of agents, and reports of the results."""
