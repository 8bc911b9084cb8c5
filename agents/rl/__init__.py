"""The mathematics of policy gradients: functions that algorithms share, and the optimiser."""
