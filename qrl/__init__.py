"""Quantum policies in torch: circuits as data, a fused simulator, layers and policies.

The sub-packages depend on each other in this order: `common` (errors, files, registry), `circuits` (circuit
descriptions, no torch), `noise` (no torch either), `simulator` (the fused executor), `backends` (devices and formats),
`layer` (`QuantumLayer`), `policies`; then `models`, one file per model, which policies know only by name, and the
bridges `sb3` and `sklearn`.

Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
