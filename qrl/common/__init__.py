"""Shared by all packages: errors, the registry of plug-ins, files, memory."""
