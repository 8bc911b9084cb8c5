"""Multi-task PPO (Stable-Baselines3), then fine-tuned on each task: the standard RL baseline.

The update is `stable_baselines3.PPO.train` on the library's own rollout buffer. The policy is the library's
actor-critic around the features of the run's model (`qrl.sb3.QuantumActorCriticPolicy`), with separate features for
actor and critic. Episodes are collected as for all agents of this package, on newly drawn tasks in every iteration. In
an evaluation, each task starts from a copy of the trained policy with a fresh optimiser, and the same update fine-tunes
the copy on episodes of that task.

The last reward of a truncated episode is bootstrapped with the value of the final observation, as in the library's own
loop. The number of the update seeds the shuffling of the minibatches.
"""

import contextlib
import copy
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from torch import Tensor

from agents.core.context import BuildContext, FeatureNetwork, refuse_masks
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.core.saved_state import moments, named_parameters, restore_training
from agents.rl.adaptive_adam import check_finite
from qrl.common.divergence import diverging
from qrl.common.options import tunable
from qrl.policies.actor import n_observations
from qrl.policies.heads import Categorical, Gaussian
from qrl.sb3 import QuantumActorCriticPolicy

LISTED_UNDER = "baselines"


@dataclass(frozen=True)
class Config(Options):
    """Options of PPO, with the names and, unless noted otherwise, the defaults of Stable-Baselines3."""

    meta_batch: int = 20
    """Tasks per iteration [tasks] (ours, as for maml)."""
    episodes: int = 20
    """Episodes per task and iteration [episodes] (ours, as for maml)."""
    learning_rate: float = field(default=3e-4, metadata=tunable(1e-05, 0.01, log=True))
    """Adam learning rate [per step]."""
    n_epochs: int = field(default=10, metadata=tunable(1, 20))
    """Passes over the steps of an update [passes]."""
    batch_size: int = 1024
    """Minibatch size in training [steps] (ours; Stable-Baselines3: 64 of 2048 steps per update, here an iteration has
    twenty times as many steps)."""
    gamma: float = field(default=0.99, metadata=tunable(0.9, 1))
    """Discount factor [per step]."""
    gae_lambda: float = field(default=0.95, metadata=tunable(0.3, 1))
    """Decay of generalised advantage estimation."""
    clip_range: float = field(default=0.2, metadata=tunable(0.05, 0.4))
    """Clip range of the probability ratio."""
    ent_coef: float = field(default=0.0, metadata=tunable(0, 0.1))
    """Weight of the entropy [per nat]."""
    vf_coef: float = field(default=0.5, metadata=tunable(0.05, 2, log=True))
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Maximum norm of the gradient; larger gradients are rescaled to it."""
    fine_learning_rate: float = field(default=3e-3, metadata=tunable(0.0001, 0.1, log=True))
    """Adam learning rate of fine-tuning in an evaluation [per step] (ours: larger, because there are few updates)."""
    fine_batch_size: int = 256
    """Minibatch size of fine-tuning in an evaluation [steps] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch", "episodes", "n_epochs"), lambda value: value >= 1, "at least 1")
        self.require(("batch_size", "fine_batch_size"), lambda value: value >= 2, "at least 2")
        rates = ("learning_rate", "fine_learning_rate", "ent_coef", "vf_coef")
        self.require(rates, lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("max_grad_norm", "clip_range"), lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("gamma", "gae_lambda"), lambda value: 0 < value <= 1, "in (0, 1]")


PolicyState = tuple[dict[str, Tensor], dict[str, Any]]
"""Weights and optimiser state of a policy."""


@dataclass(frozen=True)
class FineTuned:
    """Fine-tuned policy of each task, empty before the first update, and the number of updates."""

    policies: tuple[PolicyState, ...]
    n_updates: int


class SB3PPO:
    """Multi-task PPO learner; adapts to a task by fine-tuning."""

    n_rollouts = 1

    def __init__(self, config: Config, context: BuildContext) -> None:
        self.config, self.device, self.space = config, context.device, context.action_space
        network = context.network
        assert network is not None
        self.ppo = _build_ppo(config, context, network)
        self.policy = self.ppo.policy
        network.on_backend(self.policy)
        assert isinstance(self.policy.optimizer, torch.optim.Adam)
        self.optimiser = self.policy.optimizer
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes
        self._n_updates = torch.zeros((), dtype=torch.int64)

    @property
    def params(self) -> dict[str, Tensor]:
        """Trained weights by name."""
        return dict(self.policy.named_parameters())

    def begin(self, n_tasks: int, n_envs: int) -> FineTuned:
        """Return the trained policy for every task."""
        return FineTuned((), 0)

    @torch.no_grad()
    def act(self, state: FineTuned, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, FineTuned]:
        """Draw an action per lane from the policy of its task."""
        return self._actions(state, observation, generator), state

    @torch.no_grad()
    def mode(self, state: FineTuned, observation: Tensor) -> Tensor:
        """Return the most likely action per lane under the policy of its task."""
        return self._actions(state, observation, None)

    def _actions(self, state: FineTuned, observation: Tensor, generator: torch.Generator | None) -> Tensor:
        if not state.policies:
            return self._draw(observation.flatten(0, 1), generator).unflatten(0, observation.shape[:2])
        actions = []
        with self._trained_state_restored():
            for (weights, _), of_task in zip(state.policies, observation, strict=True):
                self.policy.load_state_dict(weights)
                actions.append(self._draw(of_task, generator))
        return torch.stack(actions)

    def _draw(self, observation: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw actions [lane, ...] with the current weights; without a generator, return the most likely ones."""
        with diverging("the policy"):
            distribution: Any = self.policy.get_distribution(observation).distribution
        discrete = isinstance(self.space, gymnasium.spaces.Discrete)
        parameters: Tensor = distribution.logits if discrete else distribution.loc
        if generator is None:
            return parameters.argmax(-1) if discrete else parameters
        uniform = torch.rand(parameters.shape, generator=generator, device=parameters.device)
        if discrete:
            return Categorical.sample({"log_probs": parameters}, Categorical.noise(uniform))
        return parameters + distribution.scale * Gaussian.noise(uniform)

    def to_environment(self, action: Tensor) -> Tensor:
        """Clip continuous actions to their bounds, as Stable-Baselines3 does; return discrete ones unchanged."""
        if isinstance(self.space, gymnasium.spaces.Discrete):
            return action
        low, high = (torch.as_tensor(bound, device=action.device) for bound in (self.space.low, self.space.high))  # type: ignore[attr-defined]
        return action.clamp(low, high)

    def adapt(self, state: FineTuned, rollout: Rollout) -> FineTuned:
        """Update the policy of each task by one PPO update on the episodes of that task."""
        n_tasks = rollout.valid.shape[1]
        tuned = []
        with self._trained_state_restored() as trained:
            initial = (trained[0], _initial_state(self.policy.optimizer, self.config.fine_learning_rate))
            for task in range(n_tasks):
                self._load(*(state.policies[task] if state.policies else initial))
                self._train(rollout, slice(task, task + 1), state.n_updates, fine=True)
                tuned.append(self._copy_state())
        return FineTuned(tuple(tuned), state.n_updates + 1)

    def update(self, rollouts: list[Rollout], states: list[FineTuned], progress_remaining: float) -> dict[str, float]:
        """Update the policy on the episodes of all tasks, and return the metrics.

        The learning rate is constant, as is the default of Stable-Baselines3; `progress_remaining` has no effect.
        Metrics are those that Stable-Baselines3 logs, without "train/". Raises TrainingError for a non-finite metric.
        """
        (rollout,) = rollouts
        metrics = self._train(rollout, slice(None), int(self._n_updates), fine=False)
        check_finite(metrics)
        self._n_updates += 1
        return metrics

    def _train(self, rollout: Rollout, tasks: slice, seed: int, *, fine: bool) -> dict[str, float]:
        """Run the update of Stable-Baselines3 on the steps of these tasks, and return its metrics."""
        ppo, config = self.ppo, self.config
        rate = config.fine_learning_rate if fine else config.learning_rate
        ppo.lr_schedule = lambda _: rate
        ppo.batch_size = config.fine_batch_size if fine else config.batch_size
        with diverging("the policy"), _numpy_seeded(seed):
            ppo.rollout_buffer = self._buffer(rollout, tasks)
            ppo.train()
        logged = ppo.logger.name_to_value
        names = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
        return {name: float(logged[f"train/{name}"]) for name in names}

    @torch.no_grad()
    def _buffer(self, rollout: Rollout, tasks: slice) -> Any:
        """Return a rollout buffer of the library with the valid steps of these tasks, episode by episode."""
        valid = rollout.valid[:, tasks].flatten(1).T
        columns = (rollout.observation, rollout.action, rollout.reward)
        observation, action, reward = (x[:, tasks].flatten(1, 2).transpose(0, 1)[valid] for x in columns)
        values, log_prob, _ = self.policy.evaluate_actions(observation, action)
        reward = reward + self.config.gamma * self._truncation_values(rollout, tasks)[valid]
        first = torch.zeros_like(valid)
        first[:, 0] = True
        space = self.policy.observation_space
        decays = {"gamma": self.config.gamma, "gae_lambda": self.config.gae_lambda}
        n_steps = len(observation)
        buffer = RolloutBuffer(n_steps, space, self.policy.action_space, self.device, **decays)  # type: ignore[arg-type]
        for name, column in (
            ("observations", observation),
            ("actions", action.reshape(n_steps, -1)),
            ("rewards", reward),
            ("episode_starts", first[valid]),
            ("values", values.flatten()),
            ("log_probs", log_prob),
        ):
            getattr(buffer, name)[:, 0] = column.cpu().numpy()
        buffer.pos, buffer.full = n_steps, True
        buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
        return buffer

    def _truncation_values(self, rollout: Rollout, tasks: slice) -> Tensor:
        """Return the value of the final observation at the last step of truncated episodes, else 0 [lane, time]."""
        assert rollout.final is not None
        values = self.policy.predict_values(rollout.final[tasks].flatten(0, 1))
        truncated = (rollout.truncated & ~rollout.terminated)[:, tasks].flatten(1).T
        return values * truncated

    @contextlib.contextmanager
    def _trained_state_restored(self) -> Iterator[PolicyState]:
        """Restore the trained weights and optimiser state at exit, so that others may be loaded temporarily."""
        trained = self._copy_state()
        try:
            yield trained
        finally:
            self._load(*trained)

    def _copy_state(self) -> PolicyState:
        return copy.deepcopy((self.policy.state_dict(), self.policy.optimizer.state_dict()))

    def _load(self, weights: dict[str, Tensor], optimiser: dict[str, Any]) -> None:
        self.policy.load_state_dict(weights)
        self.policy.optimizer.load_state_dict(copy.deepcopy(optimiser))  # `load_state_dict` keeps references

    def _saved(self) -> dict[str, Tensor]:
        return named_parameters(self.params) | {"n_updates": self._n_updates}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, the optimiser's moments and the number of updates."""
        tensors = {name: value.detach().clone() for name, value in self._saved().items()}
        return tensors | moments(self.optimiser, self.params)

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore the tensors that `state_dict` returned. Raises UsageError for tensors of another model."""
        restore_training(self._saved(), self.optimiser, self.params, tensors)


def _build_ppo(config: Config, context: BuildContext, network: FeatureNetwork) -> PPO:
    """Build PPO without an environment; the run's seed initialises its policy."""
    assert network.model_config is not None
    n_observations(context.observation_space)  # refuses observations without numbers before SB3 raises an obscure error
    options = {f.name: getattr(network.model_config, f.name) for f in dataclasses.fields(network.model_config)}
    options |= {"model": network.model, "observation_scale": context.distribution.observation_scale}
    names = ("learning_rate", "n_epochs", "clip_range", "ent_coef", "vf_coef", "max_grad_norm", "batch_size")
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    ppo = PPO(
        QuantumActorCriticPolicy,
        None,  # type: ignore[arg-type]
        policy_kwargs=options,
        device=context.device,
        _init_setup_model=False,
        **settings,
    )
    ppo.observation_space, ppo.action_space = context.observation_space, context.action_space
    ppo.n_envs = ppo.n_steps = 1  # size of PPO's initial buffer, which is never used
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(network.seed)
        ppo._setup_model()
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    return ppo


def _initial_state(optimiser: torch.optim.Optimizer, rate: float) -> dict[str, Any]:
    """Return the state of an optimiser before its first step, with this learning rate."""
    groups = [group | {"lr": rate} for group in optimiser.state_dict()["param_groups"]]
    return {"state": {}, "param_groups": groups}


@contextlib.contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which shuffles the minibatches, temporarily; restore its state at exit."""
    before = np.random.get_state()  # noqa: NPY002  # Stable-Baselines3 draws from the global generator only
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def build(config: Config, context: BuildContext) -> SB3PPO:
    """Return the learner around the run's model."""
    refuse_masks("sb3_ppo", context)
    return SB3PPO(config, context)
