"""Command line: commands, options and parsing."""
