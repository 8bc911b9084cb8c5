"""Noise models, device calibrations and native gates."""
