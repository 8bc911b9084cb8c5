"""Model given as an object: a module with its own initial parameters."""

import copy
from dataclasses import dataclass

from torch import nn

from qrl.common.registry import NoOptions


@dataclass(frozen=True)
class ModuleModel:
    """Plug-in of a module that maps inputs [batch, input] to features [batch, n_features]."""

    module: nn.Module
    Config: type[NoOptions] = NoOptions

    def build(self, config: NoOptions, frame: object, generator: object) -> nn.Module:
        """Return a copy of the module, so that every policy starts from the given parameters."""
        return copy.deepcopy(self.module)
