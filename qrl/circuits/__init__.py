"""Circuits as values: gates, angles, observables, decompositions, measurement settings."""
