"""The fused simulator: circuits lowered to batched tensor operations."""
