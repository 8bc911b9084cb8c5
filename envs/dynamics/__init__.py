"""Dynamics, random numbers and drawing that several families share."""
