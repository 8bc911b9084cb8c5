"""Quantum policies in Stable-Baselines3: a features extractor, and policies for PPO, A2C and DQN.

    PPO(QuantumActorCriticPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5))
    DQN(QuantumQPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5, lr_heads=0.1))

Actor and critic have a circuit each, and a linear read-out, as everywhere here. Stable-Baselines3 sets every parameter
group of an optimiser to one learning rate at each update; here each group's rate is that times a factor of its own.
"""

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from qrl.common.errors import UsageError, suggest
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.policies.actor import n_observations
from qrl.policies.features import RATES, Bound, build_features
from qrl.policies.frame import Frame
from qrl.sb3 import files
from qrl.simulator.program import Program
from qrl.simulator.small_batch import Few


class QuantumFeaturesExtractor(BaseFeaturesExtractor):
    """Features of a model file: [batch, observation] -> [batch, n_features].

    `model` is the name of a model without a memory, or its file; `options` are those of its `Config`. Observations are
    divided by `observation_scale`, typical magnitudes, 1 if not given. Initial parameters come from torch's own random
    numbers, which Stable-Baselines3 seeds. Raises UsageError for a space that is no vector, and an unknown option.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        model: str = "reuploading",
        observation_scale: Any = None,
        **options: Any,
    ) -> None:
        n_inputs = n_observations(observation_space)
        known = [field.name for field in dataclasses.fields(MODELS.load(model).Config)]
        for name in options:
            if name not in known:
                raise UsageError(f"sb3: no option {name!r} of model {model!r}{suggest(name, known)}")
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        config = MODELS.load(model).Config(**options)
        features = build_features(model, config, Frame(n_inputs, 1), generator, memory=False)
        super().__init__(observation_space, int(features.n_features))  # type: ignore[arg-type]
        self.features = features
        scale = torch.as_tensor(1.0 if observation_scale is None else observation_scale).float()
        if scale.shape not in ((), (1,), (n_inputs,)) or not bool((scale.isfinite() & (scale > 0)).all()):
            wanted = f"one positive number, or {n_inputs}, one for each observation"
            raise UsageError(f"sb3: observation_scale must be {wanted}, not {observation_scale}")
        self.scale: Tensor
        self.register_buffer("scale", scale.expand(n_inputs).clone())
        self._alone = SideBySide([self]) if SideBySide.possible([self]) else None

    def forward(self, observations: Tensor) -> Tensor:
        if self._alone is not None and not torch.is_grad_enabled():
            (kept,) = self._alone(observations)
            return kept
        features: Tensor = self.features(observations / self.scale)
        return features


class SideBySide:
    """Layers of the same circuit as one call of its executor: [batch, observation] -> one [batch, feature] a layer.

    Without gradients, what depends on parameters alone is kept for as long as they stay as they are: while a rollout is
    collected. They are compared by value, because a target network's are changed behind autograd's back.
    """

    def __init__(self, extractors: Sequence[QuantumFeaturesExtractor]) -> None:
        self.extractors = extractors
        self._seen: list[Tensor] = []
        self._bound: Bound = {}
        self._few: Few | None = None

    @staticmethod
    def possible(extractors: Sequence[nn.Module]) -> bool:
        """Whether all are layers of one circuit."""
        layers = [getattr(each, "features", None) for each in extractors]
        first = layers[0]
        return isinstance(first, QuantumLayer) and all(
            isinstance(layer, QuantumLayer) and layer.program is first.program for layer in layers
        )

    @property
    def layers(self) -> list[QuantumLayer]:
        return [each.features for each in self.extractors]  # type: ignore[misc]

    def bind(self) -> Bound:
        """The layers' parameters and what depends on them, with a leading axis for the layers."""
        layers = self.layers
        weights, scales = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("weights", "scales"))
        bound = layers[0].program.bind(weights, scales)
        bound["scale"] = torch.stack([each.scale for each in self.extractors]).unsqueeze(1)
        projections = [layer.projection.weight for layer in layers if layer.projection is not None]
        return bound | ({"projection": torch.stack(projections)} if projections else {})

    def _tensors(self) -> Iterator[Tensor]:
        """What `bind` takes, one by one: `parameters()` is slow, and this is asked for at every step of a rollout."""
        for each, layer in zip(self.extractors, self.layers, strict=True):
            yield from (each.scale, layer.weights, layer.scales)
            if layer.projection is not None:
                yield layer.projection.weight

    def _keep(self) -> Bound:
        """What `bind` gives, from before if nothing has changed."""
        now = list(self._tensors())
        if len(now) != len(self._seen) or not all(map(torch.equal, now, self._seen)):
            self._seen, self._bound = [tensor.detach().clone() for tensor in now], self.bind()
            program = self.layers[0].program
            self._few = program.few(self._bound) if isinstance(program, Program) else None
        return self._bound

    def __call__(self, observations: Tensor) -> tuple[Tensor, ...]:
        kept = not torch.is_grad_enabled()
        bound = self._keep() if kept else self.bind()
        inputs = observations / bound["scale"]
        inputs = inputs @ bound["projection"].mT if "projection" in bound else inputs
        if kept and self._few is not None and self._few.fits(inputs):
            return self._few(inputs).unbind()
        return self.layers[0].program.run(bound, inputs).unbind()


@functools.cache
def with_factors(kind: type[Any]) -> type[Any]:
    """An optimiser with a factor on the learning rate of each parameter group, `factor`, whatever that is set to."""

    class WithFactors(kind):  # type: ignore[misc]
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            rates = [group["lr"] for group in self.param_groups]
            for group in self.param_groups:
                group["lr"] = group["lr"] * group.get("factor", 1.0)
            try:
                return super().step(closure)
            finally:
                for group, rate in zip(self.param_groups, rates, strict=True):
                    group["lr"] = rate

    return WithFactors


class _Quantum:
    """What the policies share: options of the model, and an optimiser with factors for its parameter groups.

    `model`, `observation_scale` and further `options` are those of `QuantumFeaturesExtractor`; others go to the policy
    of Stable-Baselines3. `lr_angles`, `lr_scales` and `lr_heads` are learning rates to begin with, by default that of
    the algorithm; its schedule acts on all of them alike. Raises UsageError for what cannot be used.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        lr_schedule: Schedule,
        model: str = "reuploading",
        observation_scale: Any = None,
        lr_angles: float | None = None,
        lr_scales: float | None = None,
        lr_heads: float | None = None,
        **options: Any,
    ) -> None:
        given = dict(zip(RATES, (lr_angles, lr_scales, lr_heads), strict=True))
        for name, rate in given.items():
            if rate is not None and not 0 <= rate < float("inf"):
                raise UsageError(f"sb3: lr_{name} must be finite and not negative, not {rate}")
        names = [field.name for field in dataclasses.fields(MODELS.load(model).Config)]
        own = {name: options.pop(name) for name in list(options) if name in names}
        theirs = inspect.signature(super().__init__).parameters  # type: ignore[misc]
        for name in options:
            if name not in theirs:
                known = (*names, *theirs, *(f"lr_{group}" for group in RATES))
                raise UsageError(f"sb3: no option {name!r} of model {model!r} or the policy{suggest(name, known)}")
        self._asked = {"model": model, "observation_scale": observation_scale, **own}
        self._asked |= {f"lr_{name}": rate for name, rate in given.items()}
        self._factors = {name: 1.0 if rate is None else rate / lr_schedule(1) for name, rate in given.items()}
        extractor = {"model": model, "observation_scale": observation_scale, **own}
        ours = {"net_arch": [], "features_extractor_class": QuantumFeaturesExtractor}
        super().__init__(  # type: ignore[call-arg]
            observation_space,
            action_space,
            lr_schedule,
            **ours | {"features_extractor_kwargs": extractor} | self._defaults | options,
        )

    _defaults: ClassVar[dict[str, Any]] = {}
    optimizer_class: type[torch.optim.Optimizer]
    optimizer_kwargs: dict[str, Any]

    def _trained(self) -> nn.Module:
        """The module that the optimiser trains."""
        raise NotImplementedError

    @property
    def n_parameters(self) -> int:
        """Trainable numbers, of actor and critic or of the one network that is trained."""
        return sum(parameter.numel() for parameter in self._trained().parameters())

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        module = self._trained()
        groups: dict[str, list[nn.Parameter]] = {name: [] for name in RATES}
        for name, parameter in module.named_parameters():
            groups[_group_of(module, name)].append(parameter)
        rows = [{"params": rows, "factor": self._factors[name]} for name, rows in groups.items() if rows]
        kind = with_factors(self.optimizer_class)  # type: ignore[arg-type]
        self.optimizer = kind(rows, lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()  # type: ignore[misc]
        for name in ("features_extractor_class", "features_extractor_kwargs"):
            data.pop(name, None)
        return data | self._asked


class QuantumActorCriticPolicy(_Quantum, ActorCriticPolicy):
    """For PPO and A2C: actor and critic with features of their own, each with a linear read-out."""

    _defaults: ClassVar[dict[str, Any]] = {"share_features_extractor": False, "ortho_init": False}

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        both = (self.pi_features_extractor, self.vf_features_extractor)
        self._both = SideBySide(both) if both[0] is not both[1] and SideBySide.possible(both) else None  # type: ignore[arg-type]

    def _trained(self) -> nn.Module:
        return self

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        """Those of actor and critic, in one call where they are of the same circuit."""
        if self._both is None or features_extractor is not None:
            return super().extract_features(obs, features_extractor)
        return super(ActorCriticPolicy, self).extract_features(obs, self._both)  # type: ignore[arg-type]


class QuantumQPolicy(_Quantum, DQNPolicy):
    """For DQN: an action's value is a read-out of the features.

    `readout`: "linear", of all features; "scaled", a trainable w_a, 1 to begin with, times (feature a + 1) / 2, as in
    Skolik et al. 2022 (Quantum agents in the Gym), of as many features as actions.
    """

    def __init__(self, *arguments: Any, readout: Literal["linear", "scaled"] = "linear", **options: Any) -> None:
        if readout not in (known := ("linear", "scaled")):
            raise UsageError(f"sb3: unknown readout {readout!r}{suggest(str(readout), known)}")
        self._readout = readout
        super().__init__(*arguments, **options)
        self._asked["readout"] = readout

    def make_q_net(self) -> QNetwork:
        """One network of the two, with the read-out asked for."""
        net = super().make_q_net()
        if self._readout == "scaled":
            if net.features_dim != net.action_space.n:
                what = f"{net.features_dim} features are of {net.action_space.n} actions"
                raise UsageError(f"sb3: the scaled readout takes a feature an action, {what}: use linear")
            net.q_net = nn.Sequential(ScaledReadout(net.features_dim)).to(self.device)
        return net

    def _trained(self) -> nn.Module:
        return self.q_net


class ScaledReadout(nn.Module):
    """w_a (feature a + 1) / 2: [batch, act] in [-1, 1] -> [batch, act] in [0, w_a]."""

    def __init__(self, n_actions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_actions))

    def forward(self, features: Tensor) -> Tensor:
        return self.weight * (features + 1) / 2


class ExplorationByEpisode(BaseCallback):
    """DQN's rate of random actions falls from episode to episode, by a factor, to a last one (Skolik et al. 2022)."""

    def __init__(self, factor: float = 0.99, last: float = 0.01, first: float = 1.0) -> None:
        super().__init__()
        if not (0 < factor <= 1 and 0 <= last <= first <= 1):
            wanted = "a factor in (0, 1] and rates in [0, 1], the last one not above the first"
            raise UsageError(f"sb3: exploration takes {wanted}, not {factor}, {last} and {first}")
        self.factor, self.last, self.rate = factor, last, first

    def _on_training_start(self) -> None:
        if not isinstance(self.model, DQN):
            raise UsageError(f"sb3: exploration by episode is for DQN, not {type(self.model).__name__}")
        # What the algorithm asks at every step, with the share of training that is left.
        self.model.exploration_schedule = lambda _: self.rate
        self.model.exploration_rate = self.rate

    def _on_step(self) -> bool:
        self.rate = max(self.last, self.rate * self.factor ** int(self.locals["dones"].sum()))
        return True


POLICIES: dict[str, type[BasePolicy]] = {
    kind.__name__: kind for kind in (QuantumActorCriticPolicy, QuantumQPolicy, ActorCriticPolicy, DQNPolicy)
}
"""Those whose models can be saved; the last two are Stable-Baselines3's MlpPolicy."""


def save(model: BaseAlgorithm, path: Path | str) -> None:
    """Write a PPO, A2C or DQN model to one file, whole or not at all, that is safe to `load`: safetensors and JSON.

    It holds what Stable-Baselines3's own `save` does, but for a function in place of a number (a schedule of the
    learning rate), which `load` has to be given again. Raises UsageError for what such a file cannot hold.
    """
    files.write(model, Path(path), POLICIES)


def load(path: Path | str, env: Any = None, *, device: str = "auto", **changes: Any) -> BaseAlgorithm:
    """The model of a file that `save` wrote, to predict with and, given an `env`, to go on training.

    Nothing that is in the file is executed, and nothing imported because of it. `changes` are options of the algorithm
    that are to be others than they were. Raises UsageError for any other file, one of Stable-Baselines3's own included,
    a damaged one, and an `env` with other spaces.
    """
    return files.read(Path(path), POLICIES, env, device, changes)


def _group_of(module: nn.Module, name: str) -> str:
    """The learning-rate group of a parameter."""
    before, found, own = name.partition("features_extractor.features.")
    if not found:
        return "heads"
    extractor = module.get_submodule(f"{before}features_extractor")
    groups: dict[str, str] = getattr(extractor.features, "groups", {})
    return groups.get(own, "angles")
