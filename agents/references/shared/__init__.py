"""Code shared by several reference policies."""
