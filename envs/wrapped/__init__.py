"""Families made of ordinary Gymnasium environments."""
