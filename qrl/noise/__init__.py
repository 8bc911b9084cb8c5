"""Noise models, calibrations of devices and their native gates."""
