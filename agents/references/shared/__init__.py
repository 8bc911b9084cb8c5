"""Shared by several reference policies."""
