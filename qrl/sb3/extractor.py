"""Features of a model file as a Stable-Baselines3 features extractor."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from qrl.common.errors import UsageError
from qrl.common.options import build_config
from qrl.models import MODELS
from qrl.policies.features import Features, build_features
from qrl.policies.frame import Frame
from qrl.sb3.side_by_side import SideBySide
from qrl.sb3.spaces import n_preprocessed

Scale = float | int | Sequence[float | int] | np.ndarray | Tensor
"""Typical magnitudes of observations: one for all, or one per entry."""


class QuantumFeaturesExtractor(BaseFeaturesExtractor):
    """Features of a model file: [batch, observation] -> [batch, n_features].

    `model` is the name or file of a feed-forward model, or a circuit or module itself (`qrl.sb3.save` takes a name);
    `options` are those of its `Config`. Observations are divided by `observation_scale`, typical magnitudes, 1 if not
    given; before that, Stable-Baselines3 preprocesses them as for its MlpPolicy (discrete ones become one-hot), and
    they are flattened. Initial parameters come from torch's global random numbers, which Stable-Baselines3 seeds.
    Raises UsageError for a space that MlpPolicy does not take, and for an unknown option.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        model: object = "reuploading",
        observation_scale: Scale | None = None,
        **options: object,
    ) -> None:
        n_inputs = n_preprocessed(observation_space)
        config = build_config(MODELS.load(model).Config, options, "sb3: no option", f" of model {model!r}")
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        features = build_features(model, config, Frame(n_inputs, 1), generator, memory=False)
        assert isinstance(features, Features)
        super().__init__(observation_space, features.n_features)
        self.features = features
        scale = torch.as_tensor(1.0 if observation_scale is None else observation_scale).float()
        if scale.shape not in ((), (1,), (n_inputs,)) or not bool((scale.isfinite() & (scale > 0)).all()):
            wanted = f"one positive number, or {n_inputs}, one per entry of an observation"
            raise UsageError(f"sb3: observation_scale must be {wanted}, not {observation_scale}")
        self.scale: Tensor
        self.register_buffer("scale", scale.expand(n_inputs).clone())
        self._cached = SideBySide([self]) if SideBySide.is_possible([self]) else None

    def forward(self, observations: Tensor) -> Tensor:
        if self._cached is not None and not torch.is_grad_enabled():
            (cached,) = self._cached(observations)
            return cached
        features: Tensor = self.features(observations.flatten(1) / self.scale)
        return features
