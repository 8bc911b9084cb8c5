"""Circuits as data: gates, angles, observables, decompositions, measurement settings."""
