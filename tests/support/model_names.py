"""The model files, by whether they have a memory."""

import torch

from qrl.models import MODELS
from qrl.policies.frame import Frame

USABLE = [name for name, summary in MODELS.available().items() if summary.usable]


def _has_memory(model: str) -> bool:
    plugin = MODELS.load(model)
    return hasattr(plugin.build(plugin.Config(), Frame(3, 2), torch.Generator().manual_seed(0)), "n_memory")


RECURRENT = [model for model in USABLE if _has_memory(model)]
MEMORYLESS = [model for model in USABLE if model not in RECURRENT]
