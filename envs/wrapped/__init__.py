"""Families that wrap ordinary Gymnasium environments."""
