"""Fused simulator: circuits lowered to batched tensor operations."""
