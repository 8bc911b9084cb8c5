"""The model files: on registers of qubits, and on numbers with and without a memory."""

import torch

from qrl.circuits.registers import Registers
from qrl.models import MODELS
from qrl.policies.features import RecurrentFeatures
from qrl.policies.frame import Frame
from qrl.policies.registers import RegisterFeatures

USABLE = [name for name, summary in MODELS.available().items() if summary.usable]


def _features(model: str) -> torch.nn.Module:
    plugin = MODELS.load(model)
    frame = Frame(3, 2, trial_steps=2, registers=Registers(1, 2, entangled=True))
    return plugin.build(plugin.Config(), frame, torch.Generator().manual_seed(0))


_BUILT = {model: _features(model) for model in USABLE}
ON_REGISTERS = [model for model, features in _BUILT.items() if isinstance(features, RegisterFeatures)]
RECURRENT = [model for model, features in _BUILT.items() if isinstance(features, RecurrentFeatures)]
MEMORYLESS = [model for model in USABLE if model not in (*RECURRENT, *ON_REGISTERS)]
