"""Quantum policies in Stable-Baselines3: features extractor, policies for PPO, A2C and DQN, safe model files.

PPO(QuantumActorCriticPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5))
DQN(QuantumQPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5, lr_heads=0.1))
"""

from qrl.sb3.best import SaveBest
from qrl.sb3.exploration import ExplorationByEpisode
from qrl.sb3.extractor import QuantumFeaturesExtractor
from qrl.sb3.loading import load
from qrl.sb3.policies import QuantumActorCriticPolicy, QuantumQPolicy
from qrl.sb3.saving import save

__all__ = [
    "ExplorationByEpisode",
    "QuantumActorCriticPolicy",
    "QuantumFeaturesExtractor",
    "QuantumQPolicy",
    "SaveBest",
    "load",
    "save",
]
