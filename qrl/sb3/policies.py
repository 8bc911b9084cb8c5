"""Quantum policies in Stable-Baselines3: a features extractor, and policies for PPO, A2C and DQN.

    PPO(QuantumActorCriticPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5))
    DQN(QuantumQPolicy, env, policy_kwargs=dict(model="reuploading", n_layers=5, lr_heads=0.1))

Actor and critic each have a circuit with a linear read-out. Stable-Baselines3 sets every parameter group of an
optimiser to one learning rate at each update; here each group multiplies that rate by its own factor.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import gymnasium
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from qrl.common.errors import UsageError, suggest
from qrl.common.options import check_known, option_names
from qrl.models import MODELS
from qrl.policies.features import LEARNING_RATE_GROUPS, learning_rate_groups
from qrl.sb3.extractor import QuantumFeaturesExtractor, Scale
from qrl.sb3.networks import check_networks
from qrl.sb3.side_by_side import ScaledFeatures, SideBySide
from qrl.sb3.spaces import check_actions

_GIVEN_BY_ALGORITHM = ("observation_space", "action_space", "lr_schedule")
"""Arguments of Stable-Baselines3's policies that the algorithm gives, not the user."""

_WRONG_ALGORITHM = (
    "sb3: QuantumActorCriticPolicy is for PPO and A2C, QuantumQPolicy for DQN; for SAC, TD3 and DDPG: "
    'SAC("MlpPolicy", env, policy_kwargs=dict(features_extractor_class=QuantumFeaturesExtractor))'
)


@functools.cache
def with_factors(kind: type[Any]) -> type[Any]:
    """Return an optimiser class that multiplies the learning rate of each parameter group by the group's `factor`."""

    class WithFactors(kind):  # type: ignore[misc]
        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | None:
            rates = [group["lr"] for group in self.param_groups]
            for group in self.param_groups:
                group["lr"] = group["lr"] * group.get("factor", 1.0)
            try:
                return super().step(closure)
            finally:
                for group, rate in zip(self.param_groups, rates, strict=True):
                    group["lr"] = rate

        def __reduce__(self) -> tuple[Any, ...]:
            """Pickle by `kind`: the class itself is local."""
            return _unfilled, (kind,), self.__getstate__()

    return WithFactors


def _unfilled(kind: type[Any]) -> Any:
    """Return an optimiser with factors whose state is still to be restored."""
    made: Any = with_factors(kind)  # type: ignore[arg-type]
    return made.__new__(made)


def _factor(group: str, rate: float | None, lr_schedule: Schedule) -> float:
    """Return the factor of a group's learning rate; 1 for a policy without an algorithm, which has no rate.

    Raises UsageError for a schedule that starts at 0, of which no other rate is a multiple.
    """
    if rate is None or lr_schedule == BasePolicy._dummy_schedule:
        return 1.0
    if (start := lr_schedule(1)) == 0:
        raise UsageError(
            f"sb3: lr_{group} sets the rate at the start of training, where learning_rate is 0; start it above 0"
        )
    return rate / start


class _Quantum:
    """Mixin of the policies: options of the model, and an optimiser with a learning-rate factor per parameter group.

    `model`, `observation_scale` and the model's `options` are those of `QuantumFeaturesExtractor`; other options go to
    the policy of Stable-Baselines3. `lr_angles`, `lr_scales` and `lr_heads` are initial learning rates, by default the
    algorithm's; its schedule scales all of them alike. Raises UsageError for invalid options.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        lr_schedule: Schedule,
        model: object = "reuploading",
        observation_scale: Scale | None = None,
        lr_angles: float | None = None,
        lr_scales: float | None = None,
        lr_heads: float | None = None,
        **options: object,
    ) -> None:
        if "n_critics" in options:  # given by DDPG
            raise UsageError(_WRONG_ALGORITHM)
        check_actions(action_space)
        given = dict(zip(LEARNING_RATE_GROUPS, (lr_angles, lr_scales, lr_heads), strict=True))
        for name, rate in given.items():
            if rate is not None and not 0 <= rate < float("inf"):
                raise UsageError(f"sb3: lr_{name} must be finite and not negative, not {rate}")
        names = option_names(MODELS.load(model).Config)
        own = {name: options.pop(name) for name in list(options) if name in names}
        theirs = inspect.signature(super().__init__).parameters  # type: ignore[misc]
        ours_too = ("model", "observation_scale", *(f"lr_{group}" for group in LEARNING_RATE_GROUPS))
        known = (*names, *ours_too, *(name for name in theirs if name not in _GIVEN_BY_ALGORITHM))
        check_known(options, known, "sb3: no option", f" of model {model!r} or the policy")
        self._requested = {"model": model, "observation_scale": observation_scale, **own}
        self._requested |= {f"lr_{name}": rate for name, rate in given.items()}
        self._factors = {name: _factor(name, rate, lr_schedule) for name, rate in given.items()}
        self._check_extractor(options)
        check_networks(options, separate=isinstance(self, ActorCriticPolicy))
        extractor = {"model": model, "observation_scale": observation_scale, **own}
        ours = {"net_arch": [], "features_extractor_class": QuantumFeaturesExtractor}
        super().__init__(  # type: ignore[call-arg]
            observation_space,
            action_space,
            lr_schedule,
            **ours | self._defaults | options | {"features_extractor_kwargs": extractor},
        )

    @staticmethod
    def _check_extractor(options: Mapping[str, object]) -> None:
        """Raise UsageError for another features extractor, and for options of this one under another name."""
        kind = options.get("features_extractor_class", QuantumFeaturesExtractor)
        if not (isinstance(kind, type) and issubclass(kind, QuantumFeaturesExtractor)):
            name = kind.__name__ if isinstance(kind, type) else repr(kind)
            raise UsageError(
                f"sb3: a quantum policy has the extractor QuantumFeaturesExtractor, not {name}; use {name} with "
                "Stable-Baselines3's MlpPolicy, or make it a model, as docs/models.md describes"
            )
        if options.get("features_extractor_kwargs"):
            raise UsageError(
                "sb3: give a quantum policy the options of features_extractor_kwargs directly: "
                "policy_kwargs=dict(model=..., n_layers=...)"
            )

    _defaults: ClassVar[dict[str, Any]] = {}
    optimizer_class: type[torch.optim.Optimizer]
    optimizer_kwargs: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Raise UsageError for networks that other algorithms look for: SAC, TD3 and DDPG an actor, DQN a Q-network.

        Not properties, because torch reads each of these when it traces a policy.
        """
        if name in self._absent:
            raise UsageError(_WRONG_ALGORITHM)
        return super().__getattr__(name)  # type: ignore[misc]

    _absent: ClassVar[tuple[str, ...]] = ()

    def _trained(self) -> nn.Module:
        """Return the module that the optimiser trains."""
        raise NotImplementedError

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters, of actor and critic or of the trained Q-network."""
        return sum(parameter.numel() for parameter in self._trained().parameters())

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        module = self._trained()
        groups: dict[str, list[nn.Parameter]] = {name: [] for name in LEARNING_RATE_GROUPS}
        features = [each.features for each in module.modules() if isinstance(each, QuantumFeaturesExtractor)]
        parameters = dict(module.named_parameters())
        for name, group in learning_rate_groups(module, *features).items():
            groups[group].append(parameters[name])
        rows = [{"params": rows, "factor": self._factors[name]} for name, rows in groups.items() if rows]
        kind = with_factors(self.optimizer_class)  # type: ignore[arg-type]
        self.optimizer = kind(rows, lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()  # type: ignore[misc]
        for name in ("features_extractor_class", "features_extractor_kwargs"):
            data.pop(name, None)
        return data | self._requested


class QuantumActorCriticPolicy(_Quantum, ActorCriticPolicy):
    """Policy for PPO and A2C: actor and critic have separate features, each with a linear read-out."""

    _defaults: ClassVar[dict[str, Any]] = {"share_features_extractor": False, "ortho_init": False}
    _absent = ("actor", "q_net")

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        actor, critic = self.pi_features_extractor, self.vf_features_extractor
        self._joint: SideBySide | None = None
        if actor is not critic and isinstance(actor, ScaledFeatures) and isinstance(critic, ScaledFeatures):
            self._joint = SideBySide((actor, critic)) if SideBySide.is_possible((actor, critic)) else None

    def _trained(self) -> nn.Module:
        return self

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield each module once, even if duplicates are asked for.

        An extractor has two names in Stable-Baselines3's policies. `torch.func.functional_call` looks for duplicates,
        and would restore the parameters of a module with two names wrongly.
        """
        return super().named_modules(memo if remove_duplicate else set(), prefix)

    def extract_features(  # type: ignore[override]
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the features of actor and critic, in one call if both have the same circuit."""
        if self._joint is None or features_extractor is not None:
            return super().extract_features(obs, features_extractor)
        return super(ActorCriticPolicy, self).extract_features(obs, self._joint)  # type: ignore[arg-type]


class QuantumQPolicy(_Quantum, DQNPolicy):
    """Policy for DQN: action values are a read-out of the features.

    `readout`: "linear", of all features; "scaled", w_a (feature a + 1) / 2 with a trainable w_a, initially 1, and one
    feature per action, as in Skolik et al. 2022 (Quantum agents in the Gym).
    """

    _absent = ("actor",)

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        *arguments: Any,
        readout: Literal["linear", "scaled"] = "linear",
        **options: Any,
    ) -> None:
        if readout not in (known := ("linear", "scaled")):
            raise UsageError(f"sb3: unknown readout {readout!r}{suggest(str(readout), known)}")
        if "use_sde" in options or not isinstance(action_space, gymnasium.spaces.Discrete):  # of PPO, A2C; of SAC, TD3
            raise UsageError(_WRONG_ALGORITHM)
        self._readout = readout
        super().__init__(observation_space, action_space, *arguments, **options)
        self._requested["readout"] = readout

    def make_q_net(self) -> QNetwork:
        """Build one of the two Q-networks, with the requested read-out."""
        net = super().make_q_net()
        if self._readout == "scaled":
            if net.features_dim != net.action_space.n:
                found = f"{net.features_dim} features for {net.action_space.n} actions"
                raise UsageError(f"sb3: the scaled readout needs one feature per action, found {found}; use linear")
            net.q_net = nn.Sequential(ScaledReadout(net.features_dim)).to(self.device)
        return net

    def _trained(self) -> nn.Module:
        return self.q_net


class ScaledReadout(nn.Module):
    """Scaled read-out w_a (feature a + 1) / 2: [batch, act] in [-1, 1] -> [batch, act] in [0, w_a]."""

    def __init__(self, n_actions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_actions))

    def forward(self, features: Tensor) -> Tensor:
        return self.weight * (features + 1) / 2


POLICIES: dict[str, type[BasePolicy]] = {
    kind.__name__: kind
    for kind in (QuantumActorCriticPolicy, QuantumQPolicy, ActorCriticPolicy, DQNPolicy, SACPolicy, TD3Policy)
}
"""Policies whose models can be saved; the last four are Stable-Baselines3's MlpPolicy."""
