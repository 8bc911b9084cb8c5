"""Shared by several models: ansätze and recurrent cells."""
