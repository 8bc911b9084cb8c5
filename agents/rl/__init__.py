"""The mathematics of policy gradients, as pure functions."""
