"""Families with dynamics written in torch."""
