"""Interfaces of algorithms: agent protocols, rollouts, build context, options and run configuration."""
