"""Circuits of compared runs, and their drawings."""
