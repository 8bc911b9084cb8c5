"""The interface an algorithm is written against: rollouts, context, options, optimiser."""
