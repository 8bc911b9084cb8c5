"""Shared by every package: errors, the registry of plug-ins, files, memory."""
