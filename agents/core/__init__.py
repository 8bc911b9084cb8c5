"""The interface an algorithm is written against: agents, rollouts, collecting, context, options."""
