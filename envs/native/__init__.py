"""Families whose dynamics are written in torch."""
