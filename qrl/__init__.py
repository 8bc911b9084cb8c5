"""Quantum policies in torch: circuits as values, a fused simulator, layers and policies.

Sub-packages build on each other in one order: `common` (errors, files, registry), `circuits` (their description, no
torch), `noise` (no torch either), `simulator` (the fused executor), `backends` (devices and formats), `layer`
(`QuantumLayer`), `policies`; then `models`, one file a model, which policies know by name only, and the bridges `sb3`
and `sklearn`.

Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
