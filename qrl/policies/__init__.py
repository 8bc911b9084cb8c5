"""Policies: features of observations, read-outs, heads."""
