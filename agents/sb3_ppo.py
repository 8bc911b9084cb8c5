"""Stable-Baselines3's PPO on many tasks, then fine-tuned on each: the baseline that most users of RL know.

The update is that of `stable_baselines3.PPO.train`, called on its own rollout buffer, with its own policy around the
features of the run's model (`qrl.sb3.QuantumActorCriticPolicy`; actor and critic have features of their own); episodes
are collected as for all agents here, on newly drawn tasks in every iteration. In an evaluation each task has a copy of
the trained policy, with a fresh optimiser, that goes on learning by the same update from the episodes of its own task.

As in the library's own loop, an episode that the horizon cuts off has the value of what was observed last added to its
last reward. Minibatches are shuffled by a seed that is the number of the update.
"""

import contextlib
import copy
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from torch import Tensor

from agents.core.context import BuildContext, FeatureNetwork
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.core.saved_state import moments, named_parameters, restore, restore_moments
from agents.rl.adaptive_adam import check_finite
from qrl.policies.heads import Categorical, Gaussian
from qrl.sb3 import QuantumActorCriticPolicy


@dataclass(frozen=True)
class Config(Options):
    """Options of PPO by their names in Stable-Baselines3, whose defaults they have unless said otherwise."""

    meta_batch: int = 20
    """Tasks per iteration [tasks] (ours, as for maml)."""
    episodes: int = 20
    """Episodes per task and iteration [episodes] (ours, as for maml)."""
    learning_rate: float = 3e-4
    """Adam learning rate [per step]."""
    n_epochs: int = 10
    """Passes over the steps of an update [passes]."""
    batch_size: int = 1024
    """Minibatch in training [steps]; there 64, of 2048 steps an update: here an iteration has twenty times as many."""
    gamma: float = 0.99
    """Discount factor [per step]."""
    gae_lambda: float = 0.95
    """Decay of generalised advantage estimation."""
    clip_range: float = 0.2
    """Clip range of the probability ratio."""
    ent_coef: float = 0.0
    """Weight of the entropy [per nat]."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    fine_learning_rate: float = 3e-3
    """Adam learning rate in the updates of an evaluation [per step] (ours: they are few)."""
    fine_batch_size: int = 256
    """Minibatch in the updates of an evaluation [steps] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch", "episodes", "n_epochs"), lambda value: value >= 1, "at least 1")
        self.require(("batch_size", "fine_batch_size"), lambda value: value >= 2, "at least 2")
        rates = ("learning_rate", "fine_learning_rate", "ent_coef", "vf_coef")
        self.require(rates, lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("max_grad_norm", "clip_range"), lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("gamma", "gae_lambda"), lambda value: 0 < value <= 1, "in (0, 1]")


OfTask = tuple[dict[str, Tensor], dict[str, Any]]
"""The weights and the optimiser's state of a policy."""


@dataclass(frozen=True)
class Tuned:
    """The policy of each task; none before the first update."""

    policies: tuple[OfTask, ...]
    n_updates: int


class SB3PPO:
    """The learner; also an adapter."""

    n_rollouts = 1

    def __init__(self, config: Config, context: BuildContext) -> None:
        self.config, self.device, self.space = config, context.device, context.action_space
        network = context.network
        assert network is not None
        self.ppo = _make(config, context, network)
        self.policy = self.ppo.policy
        network.on_backend(self.policy)
        assert isinstance(self.policy.optimizer, torch.optim.Adam)
        self.optimiser = self.policy.optimizer
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes
        self._n_updates = torch.zeros((), dtype=torch.int64)

    @property
    def params(self) -> dict[str, Tensor]:
        """The trained weights, by name."""
        return dict(self.policy.named_parameters())

    def begin(self, n_tasks: int, n_envs: int) -> Tuned:
        """The trained policy, for every task."""
        return Tuned((), 0)

    @torch.no_grad()
    def act(self, state: Tuned, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Tuned]:
        """One action a lane, drawn from its task's policy."""
        return self._actions(state, observation, generator), state

    @torch.no_grad()
    def mode(self, state: Tuned, observation: Tensor) -> Tensor:
        """The likeliest action of its task's policy, of each lane."""
        return self._actions(state, observation, None)

    def _actions(self, state: Tuned, observation: Tensor, generator: torch.Generator | None) -> Tensor:
        if not state.policies:
            return self._draw(observation.flatten(0, 1), generator).unflatten(0, observation.shape[:2])
        actions = []
        with self._kept():
            for (weights, _), seen in zip(state.policies, observation, strict=True):
                self.policy.load_state_dict(weights)
                actions.append(self._draw(seen, generator))
        return torch.stack(actions)

    def _draw(self, observation: Tensor, generator: torch.Generator | None) -> Tensor:
        """Actions of the policy's present weights [lane, ...], by numbers of this generator; None: the likeliest."""
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
        """Clipped to their bounds, as Stable-Baselines3 does, if continuous."""
        if isinstance(self.space, gymnasium.spaces.Discrete):
            return action
        low, high = (torch.as_tensor(bound, device=action.device) for bound in (self.space.low, self.space.high))  # type: ignore[attr-defined]
        return action.clamp(low, high)

    def adapt(self, state: Tuned, rollout: Rollout) -> Tuned:
        """One update of every task's own policy, by its own episodes."""
        n_tasks = rollout.valid.shape[1]
        tuned = []
        with self._kept() as trained:
            fresh = (trained[0], _fresh(self.policy.optimizer, self.config.fine_learning_rate))
            for task in range(n_tasks):
                self._load(*(state.policies[task] if state.policies else fresh))
                self._train(rollout, slice(task, task + 1), state.n_updates, fine=True)
                tuned.append(self._copied())
        return Tuned(tuple(tuned), state.n_updates + 1)

    def update(self, rollouts: list[Rollout], states: list[Tuned], progress_remaining: float) -> dict[str, float]:
        """An update by the episodes of all tasks; its rate is constant, as there, whatever `progress_remaining`.

        Metrics are those that Stable-Baselines3 logs, without "train/". Raises TrainingError for what is not finite.
        """
        (rollout,) = rollouts
        metrics = self._train(rollout, slice(None), int(self._n_updates), fine=False)
        check_finite(metrics)
        self._n_updates += 1
        return metrics

    def _train(self, rollout: Rollout, tasks: slice, seed: int, *, fine: bool) -> dict[str, float]:
        """Stable-Baselines3's update, on the steps of these tasks."""
        ppo, config = self.ppo, self.config
        rate = config.fine_learning_rate if fine else config.learning_rate
        ppo.lr_schedule = lambda _: rate
        ppo.batch_size = config.fine_batch_size if fine else config.batch_size
        ppo.rollout_buffer = self._buffer(rollout, tasks)
        with _numpy_seeded(seed):
            ppo.train()
        logged = ppo.logger.name_to_value
        names = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
        return {name: float(logged[f"train/{name}"]) for name in names}

    @torch.no_grad()
    def _buffer(self, rollout: Rollout, tasks: slice) -> Any:
        """The library's own buffer, filled with the valid steps of these tasks, one episode after the other."""
        valid = rollout.valid[:, tasks].flatten(1).T
        columns = (rollout.observation, rollout.action, rollout.reward)
        seen, action, reward = (x[:, tasks].flatten(1, 2).transpose(0, 1)[valid] for x in columns)
        values, log_prob, _ = self.policy.evaluate_actions(seen, action)
        reward = reward + self.config.gamma * self._cut_off(rollout, tasks)[valid]
        first = torch.zeros_like(valid)
        first[:, 0] = True
        space = self.policy.observation_space
        decays = {"gamma": self.config.gamma, "gae_lambda": self.config.gae_lambda}
        buffer = RolloutBuffer(len(seen), space, self.policy.action_space, self.device, **decays)  # type: ignore[arg-type]
        for name, column in (
            ("observations", seen),
            ("actions", action.reshape(len(seen), -1)),
            ("rewards", reward),
            ("episode_starts", first[valid]),
            ("values", values.flatten()),
            ("log_probs", log_prob),
        ):
            getattr(buffer, name)[:, 0] = column.cpu().numpy()
        buffer.pos, buffer.full = len(seen), True
        buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
        return buffer

    def _cut_off(self, rollout: Rollout, tasks: slice) -> Tensor:
        """At the last steps of episodes that the horizon cuts off the value of what followed, else 0 [lane, time]."""
        assert rollout.final is not None
        following = self.policy.predict_values(rollout.final[tasks].flatten(0, 1))
        cut = (rollout.truncated & ~rollout.terminated)[:, tasks].flatten(1).T
        return following * cut

    @contextlib.contextmanager
    def _kept(self) -> Iterator[OfTask]:
        """For the while other weights and another state of the optimiser may be loaded: the trained ones come back."""
        trained = self._copied()
        try:
            yield trained
        finally:
            self._load(*trained)

    def _copied(self) -> OfTask:
        return copy.deepcopy((self.policy.state_dict(), self.policy.optimizer.state_dict()))

    def _load(self, weights: dict[str, Tensor], optimiser: dict[str, Any]) -> None:
        self.policy.load_state_dict(weights)
        self.policy.optimizer.load_state_dict(copy.deepcopy(optimiser))  # which keeps what it is given

    def _own(self) -> dict[str, Tensor]:
        return named_parameters(self.params) | {"n_updates": self._n_updates}

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, the optimiser's moments and the number of updates."""
        own = {name: value.detach().clone() for name, value in self._own().items()}
        return own | moments(self.optimiser, self.params)

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        restore(self._own(), tensors)
        restore_moments(self.optimiser, self.params, tensors)


def _make(config: Config, context: BuildContext, network: FeatureNetwork) -> PPO:
    """The algorithm without an environment; its policy begins with the run's seed."""
    options = {f.name: getattr(network.model_config, f.name) for f in dataclasses.fields(network.model_config)}
    options |= {"model": network.model, "observation_scale": context.distribution.observation_scale}
    names = ("learning_rate", "n_epochs", "clip_range", "ent_coef", "vf_coef", "max_grad_norm", "batch_size")
    given: dict[str, Any] = {name: getattr(config, name) for name in names}
    ppo = PPO(
        QuantumActorCriticPolicy,
        None,  # type: ignore[arg-type]
        policy_kwargs=options,
        device=context.device,
        _init_setup_model=False,
        **given,
    )
    ppo.observation_space, ppo.action_space = context.observation_space, context.action_space
    ppo.n_envs = ppo.n_steps = 1  # of a buffer that is never used
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(network.seed)
        ppo._setup_model()
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    return ppo


def _fresh(optimiser: torch.optim.Optimizer, rate: float) -> dict[str, Any]:
    """The state of an optimiser that has not taken a step."""
    groups = [group | {"lr": rate} for group in optimiser.state_dict()["param_groups"]]
    return {"state": {}, "param_groups": groups}


@contextlib.contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """With NumPy's global random numbers, which shuffle the minibatches, from this seed for the while."""
    before = np.random.get_state()  # noqa: NPY002  # the library draws from nothing else
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def build(config: Config, context: BuildContext) -> SB3PPO:
    """The learner around the run's model."""
    return SB3PPO(config, context)
