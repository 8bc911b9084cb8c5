"""PPO of Stable-Baselines3 with a quantum policy, compared with PennyLane's TorchLayer and with MlpPolicy.

    python -m benchmarks.sb3 [--quick]      results/sb3.json

Environment steps per second of `PPO.learn` on CartPole-v1, including rollouts and updates, in two settings: the
defaults, with one environment and 10 epochs of minibatches of 64, but rollouts of 256 steps to keep rounds short (with
as many updates per step); and eight parallel environments with minibatches of 256, which amortise the overhead per call
over more samples. Actor and critic each have a circuit of 4 wires x 5 layers (`reuploading`) and a linear read-out; the
TorchLayers, on `default.qubit` with backprop, use the same circuit. One process, one thread; the policies alternate,
one rollout and its update at a time; CPU time, medians.
"""

import time
from functools import partial
from typing import Any

import gymnasium
import pennylane as qml
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.backends.pennylane import to_qnode
from qrl.layer import QuantumLayer
from qrl.sb3 import QuantumActorCriticPolicy

N_STEPS = 256
"""Length of a rollout over all environments [steps]."""
SETTINGS = {"1 environment, minibatches of 64": (1, 64), "8 environments, minibatches of 256": (8, 256)}
SIZE: dict[str, Any] = {"model": "reuploading", "n_wires": 4, "n_layers": 5}
OURS, TORCH_LAYER, MLP = "ours", "PennyLane TorchLayer", "MlpPolicy"
AT_LEAST = {(1, TORCH_LAYER): 5.0, (8, TORCH_LAYER): 5.0, (1, MLP): 0.9, (8, MLP): 0.8}
"""Lower bound of our steps per second over those of a policy, by the number of environments [ratio]."""


def main(options: QuickOptions) -> None:
    """Time PPO with each policy."""
    set_up(threads=1)
    rows = [each for setting in SETTINGS for each in time_policies(setting, 2 if options.quick else 9)]
    print(table(rows))
    write_result("sb3", rows, quick=options.quick)


def time_policies(setting: str, rounds: int) -> list[dict[str, Any]]:
    """Time the policies in a setting; return a row per policy."""
    extractor = {"features_extractor_class": TorchLayerExtractor, "share_features_extractor": False}
    models = {
        OURS: learner(setting, QuantumActorCriticPolicy, SIZE),
        TORCH_LAYER: learner(setting, "MlpPolicy", {**extractor, "net_arch": [], "ortho_init": False}),
        MLP: learner(setting, "MlpPolicy", {}),
    }
    check_equal(models[OURS], models[TORCH_LAYER])
    calls = {name: partial(model.learn, N_STEPS, reset_num_timesteps=False) for name, model in models.items()}
    seconds = medians(calls, rounds, clock=time.process_time)
    return [row(setting, name, model, seconds) for name, model in models.items()]


class TorchLayerExtractor(BaseFeaturesExtractor):
    """The same circuit as a PennyLane TorchLayer, the usual way to use PennyLane with Stable-Baselines3."""

    def __init__(self, observation_space: gymnasium.Space[Any]) -> None:
        n_inputs = observation_space.shape[0]  # type: ignore[index]
        layer = QuantumLayer(**SIZE, n_inputs=n_inputs)
        super().__init__(observation_space, layer.n_features)
        shapes = {name: tuple(getattr(layer, name).shape) for name in ("weights", "scales")}
        initial = {name: getattr(layer, name).detach() for name in shapes}
        self.layer = qml.qnn.TorchLayer(to_qnode(layer.circuit), shapes, init_method=initial)

    def forward(self, observations: Tensor) -> Tensor:
        return self.layer(observations).to(observations.dtype)  # QNodes return float64


def learner(setting: str, policy: Any, policy_kwargs: dict[str, Any]) -> PPO:
    """Return PPO with default options except for the setting and the length of rollouts."""
    n_envs, batch_size = SETTINGS[setting]
    env = make_vec_env("CartPole-v1", n_envs)
    sizes = {"n_steps": N_STEPS // n_envs, "batch_size": batch_size}
    return PPO(policy, env, **sizes, policy_kwargs=policy_kwargs, device="cpu", seed=0)


@torch.no_grad()
def check_equal(ours: PPO, theirs: PPO) -> None:
    """Raise AssertionError unless both circuits agree for equal parameters."""
    observations = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    for role in ("pi", "vf"):
        one, other = (getattr(each.policy, f"{role}_features_extractor") for each in (ours, theirs))
        for name in ("weights", "scales"):
            getattr(other.layer, name).copy_(getattr(one.features, name))
        torch.testing.assert_close(one(observations), other(observations), atol=1e-5, rtol=0)


def row(setting: str, name: str, model: PPO, seconds: dict[str, float]) -> dict[str, Any]:
    """Return a row of the result."""
    ratio, target = seconds[name] / seconds[OURS], AT_LEAST.get((SETTINGS[setting][0], name))
    return {
        "setting": setting,
        "policy": name,
        "parameters": sum(parameter.numel() for parameter in model.policy.parameters()),
        "env steps per second": N_STEPS / seconds[name],
        "ours / this": ratio,
        "target": target,
        "pass": None if target is None else ratio >= target,
    }


if __name__ == "__main__":
    run_main(main, QuickOptions, __doc__)
