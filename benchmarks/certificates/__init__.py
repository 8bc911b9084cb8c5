"""Certificates on quantum data of whole studies: rows, requirements, noise of storage, pictures."""
