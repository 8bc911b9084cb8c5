"""RL^2: a recurrent policy that adapts within its memory, with no gradient at test time.

Duan et al. 2016; Wang et al. 2016 (Learning to reinforcement learn). A trial is some episodes of one task. At every
step the policy sees the observation, and the last action, reward and whether an episode ended; its memory lasts over
the episodes. What is maximised is the discounted return of the whole trial, so that finding out pays where it earns
more later:

    A_t = sum_k (gamma lambda)^k delta_t+k     delta_t = r_t + gamma V_t+1 - V_t

where t goes on over the ends of episodes, and V is 0 at the trial's end alone. PPO-clip with Adam (Schulman et al.
2017), back-propagation through the trial.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from agents.core.adaptive_adam import PPO, PPOConfig
from agents.core.context import BuildContext
from agents.core.memory import check_fits, saved_bytes
from agents.core.rollout import Rollout
from agents.rl.losses import ppo_clip
from agents.rl.returns import generalised_advantages, leave_one_out
from qrl.common.errors import UsageError
from qrl.policies.policy import Params, bind
from qrl.policies.recurrent import BoundRecurrentPolicy, Outputs, RecurrentPolicy

MODEL = "qgru"
"""The model unless another is named."""


@dataclass(frozen=True)
class Config(PPOConfig):
    """Options of RL^2."""

    episodes: int = 3
    """Episodes of a trial [episodes]; 10 for bandit and tabular_mdp (the shortest trials of Duan et al. 2016), 1 where
    every step is a try (algorithm_selection, hyperparameter_tuning)."""
    meta_batch: int = 200
    """Trials per meta-iteration, of all its tasks together [trials]; 1000 for bandit, 400 for algorithm_selection, 300
    for tabular_mdp (ours)."""
    trials: int = 1
    """Trials of each task of a meta-iteration [trials]; with several, what a trial's steps are worth is read against
    the others' mean (leave-one-out; Kool et al. 2019), as no critic knows what a task has to give. 1: Duan et al. 2016;
    8 where every step is a try (ours)."""
    minibatches: int = 4
    """Parts that the trials of a meta-iteration are divided into, for one PPO step each [minibatches] (ours)."""
    memories: Literal["separate", "shared"] = "separate"
    """Whether actor and critic have memories, and networks, of their own (Ni et al. 2022) or one for both."""
    discount: float = 0.99
    """Discount factor, over the whole trial [per step] (Duan et al. 2016); 0.9 where every step is a try, so that early
    tries count for more (ours)."""
    gae_lambda: float = 0.95
    """Decay of the advantage estimates, lambda [per step] (Schulman et al. 2016); 0.3 for tabular_mdp (Duan et al.
    2016)."""
    value_weight: float = 0.5
    """Weight of the values' squared error, relative to the largest discounted return (Schulman et al. 2017: 0.5)."""
    previous_observation: bool = False
    """Whether the network sees the last observation, too, so that an action and its reward can be tied to the state
    that they were of in one step; Duan et al. 2016: not. On for tabular_mdp (ours)."""
    readout: Literal["linear", "bilinear"] = "linear"
    """How actions and values follow from the memory. bilinear: by weights that are linear in the observation, so that
    of what is remembered what is of use here can be looked up in one step; Duan et al. 2016: linear. bilinear for
    tabular_mdp (ours)."""
    reward_prediction: float = 0.0
    """Weight of the squared error, in the family's unit, of rewards that the actor's network predicts before they come
    [0 = it predicts none]: what a reward depends on is then remembered before it is made use of (an auxiliary loss as
    in Jaderberg et al. 2017; Zintgraf et al. 2020 decode rewards from a memory). 0.5 for tabular_mdp (ours)."""
    truncation: int = 0
    """Steps that a gradient goes back through at most, from the beginning of such a stretch [steps; 0 = the trial]. It
    bounds how far, not the memory that it takes."""
    memory_budget: float = 2.0
    """Memory for the graph of a gradient [GiB]; it is accumulated over chunks of trials that fit."""
    lr_angles: float = 0.003
    """Adam learning rate of circuit angles and hidden weights [rad per step] (ours)."""
    lr_scales: float = 0.001
    """Adam learning rate of input scales and projections [per step]. While a policy does not yet use its memory the KL
    divergence is small and rates rise; with ten times this a quantum cell's weights drift then until the gradient
    through a trial of 100 steps explodes (ours)."""
    lr_heads: float = 0.003
    """Adam learning rate of read-out, head and the linear maps after circuits [per step] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("episodes", "meta_batch", "trials", "minibatches"), lambda value: value >= 1, "at least 1")
        self.require(("discount",), lambda value: 0 < value <= 1, "in (0, 1]")
        self.require(("gae_lambda",), lambda value: 0 <= value <= 1, "in [0, 1]")
        weights = ("value_weight", "reward_prediction")
        self.require(weights, lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("truncation",), lambda value: value >= 0, "not negative")
        self.require(("memory_budget",), lambda value: 0 < value < math.inf, "finite and positive")
        if self.meta_batch % self.trials:
            raise UsageError(
                f"agent {self.agent}: {self.meta_batch} trials (meta_batch) are not {self.trials} (trials) of each task"
            )
        if self.minibatches > self.meta_batch:
            raise UsageError(
                f"agent {self.agent}: {self.meta_batch} trials (meta_batch) cannot be {self.minibatches} minibatches"
            )


def defaults(env_name: str) -> Config:
    """Longer trials, and more of them, where an episode is short; one episode where nothing is left to be found out."""
    if env_name == "algorithm_selection":
        return Config(episodes=1, meta_batch=400, trials=8, discount=0.9)
    if env_name == "hyperparameter_tuning":
        return Config(episodes=1, trials=8, discount=0.9)
    if env_name == "bandit":
        return Config(episodes=10, meta_batch=1000)
    if env_name == "tabular_mdp":
        return Config(
            episodes=10,
            meta_batch=300,
            gae_lambda=0.3,
            previous_observation=True,
            readout="bilinear",
            reward_prediction=0.5,
        )
    return Config()


@dataclass(frozen=True)
class Memory:
    """What is remembered of each lane's trial, and what follows from the parameters alone."""

    hidden: Tensor
    """[task, env, memory]"""
    seen: Tensor
    """The observation that was acted on, [task, env, obs]."""
    told: Tensor
    """The last step, [task, env, told]; see `RecurrentPolicy.transition_input`."""
    bound: BoundRecurrentPolicy


Data = dict[str, Tensor]
"""Trials as the objective needs them: each [time, trial, ...]."""


class RL2:
    """The learner; also an adapter with a memory, see `agents.core.rollout.InContextAgent`."""

    n_rollouts = 1

    def __init__(self, config: Config, policy: RecurrentPolicy, horizon: int, reward_scale: float) -> None:
        """Raises UsageError if the steps of all trials, or the graph of a single one, cannot fit into memory."""
        self.config, self.policy, self.reward_scale = config, policy, reward_scale
        self.params: Params = {name: p.detach().clone() for name, p in policy.named_parameters()}
        self.trial_episodes = config.episodes
        self.n_tasks, self.n_envs = config.meta_batch // config.trials, config.trials
        self.longest = config.episodes * horizon
        """A trial at most [steps]."""
        played = f"playing {config.meta_batch} trials of {self.longest:,} steps"
        check_fits(f"agent {config.agent}", played, config.meta_batch * self.longest * self._bytes_played)
        steps = torch.tensor(config.discount).pow(torch.arange(self.longest)).sum()
        self.value_scale = reward_scale * float(steps)
        """What a critic's output of 1 stands for: the discounted return of typical rewards throughout."""
        persistent = policy.state_dict().keys()
        buffers = {f"buffers/{name}": value for name, value in policy.named_buffers() if name in persistent}
        rates = {name: config.rate(group) for name, group in policy.groups.items()}
        self.optimiser = PPO(config, self.params, rates, buffers)
        self.state_dict, self.load_state_dict = self.optimiser.state_dict, self.optimiser.load_state_dict
        self._bytes = self._bytes_a_step()
        check_fits(f"agent {config.agent}", "the gradient of one trial", self._bytes * self.longest)

    # --- acting ------------------------------------------------------------------------------------------------------

    def begin(self, n_tasks: int, n_envs: int) -> Memory:
        """An empty memory."""
        told = self.policy.initial_transition_input(n_tasks, n_envs)
        with torch.no_grad():
            # Clones: a state is a value, and an update moves the parameters in place.
            bound = bind(self.policy, {name: value.detach().clone() for name, value in self.params.items()})
        hidden = told.new_zeros(n_tasks, n_envs, self.policy.actor.n_memory)
        return Memory(hidden, told.new_zeros(n_tasks, n_envs, len(self.policy.scale)), told, bound)

    def act(self, state: Memory, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Memory]:
        """One action a lane, drawn from the policy."""
        lanes, head = observation.shape[:2], self.policy.head
        uniform = torch.rand(
            (*lanes, head.n_noise), generator=generator, device=observation.device, dtype=observation.dtype
        )
        return self._act(state, observation, head.noise(uniform))

    def mode(self, state: Memory, observation: Tensor) -> tuple[Tensor, Memory]:
        """The likeliest action of the policy, one a lane."""
        return self._act(state, observation, observation.new_zeros(*observation.shape[:2], self.policy.head.n_noise))

    def _act(self, state: Memory, observation: Tensor, noise: Tensor) -> tuple[Tensor, Memory]:
        lanes = observation.shape[:2]
        inputs = self.policy.inputs(observation, state.told)
        mask = self.policy.action_mask(observation.flatten(0, 1))
        distribution, hidden = self.policy.act(state.bound, inputs.flatten(0, 1), state.hidden.flatten(0, 1), mask)
        action = self.policy.head.sample(distribution, noise.flatten(0, 1))
        return action.unflatten(0, lanes), replace(state, hidden=hidden.unflatten(0, lanes), seen=observation)

    def to_environment(self, action: Tensor) -> Tensor:
        """The policy's actions in the environment's units."""
        return self.policy.to_environment(action)

    def observe(self, state: Memory, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Memory:
        """What came of the action, to be seen at the next step. The observation comes with that step."""
        return replace(state, told=self.policy.transition_input(state.seen, action, reward / self.reward_scale, ended))

    def forget(self, state: Memory, lanes: Bool[Tensor, "task env"]) -> Memory:
        """The state with these lanes as at the beginning of a trial."""
        chosen, empty = lanes.unsqueeze(-1), self.policy.initial_transition_input(*lanes.shape)
        hidden, told = torch.where(chosen, 0.0, state.hidden), torch.where(chosen, empty, state.told)
        return replace(state, hidden=hidden, told=told)

    def adapt(self, state: Memory, rollout: Rollout) -> Memory:
        """Nothing beyond what was received."""
        return state

    # --- learning ----------------------------------------------------------------------------------------------------

    def update(self, rollouts: list[Rollout], states: list[Memory], remaining: float) -> dict[str, float]:
        """Epochs of PPO over minibatches of whole trials; `remaining` in (0, 1] multiplies the learning rates.

        Metrics: `loss`, `value_loss`, `reward_loss` if rewards are predicted, `entropy` and `clipped`, the fraction of
        steps beyond the clip range, of the last minibatch; `grad_norm`; `kl` over all trials, after the update;
        `explained_variance` of the values before it.
        Raises TrainingError for a non-finite loss or gradient, before a parameter takes it up.
        """
        (rollout,) = rollouts
        data, explained = self.trial_data(rollout)
        # Tasks are drawn independently: any division into minibatches is a random one.
        minibatches = [trials(data, slice(j, None, self.config.minibatches)) for j in range(self.config.minibatches)]
        turn = count()

        def gradient() -> tuple[list[Tensor], dict[str, float]]:
            return self.gradient(minibatches[next(turn) % len(minibatches)])

        n_steps = self.config.epochs * len(minibatches)
        metrics = self.optimiser.climb(gradient, lambda: self.measured(data), remaining, n_steps)
        self.policy.update_normalisation(rollout.observation[rollout.valid])
        return metrics | {"explained_variance": explained}

    def inputs(self, rollout: Rollout) -> Tensor:
        """The network's inputs at every step of the trials [time, trial, input], as `act` had them."""
        ended = rollout.terminated | rollout.truncated
        told = self.policy.transition_input(
            rollout.observation, rollout.action, rollout.reward / self.reward_scale, ended
        )
        first = self.policy.initial_transition_input(*told.shape[1:3])
        told = torch.cat([first[None], told[:-1]])
        return self.policy.inputs(rollout.observation, told).flatten(1, 2)

    @torch.no_grad()
    def trial_data(self, rollout: Rollout) -> tuple[Data, float]:
        """What the objective needs of trials that the present parameters made, and the values' explained variance."""
        valid = rollout.valid.flatten(1, 2)
        data: Data = {"inputs": self.inputs(rollout), "action": rollout.action.flatten(1, 2), "valid": valid}
        if (mask := self.policy.action_mask(rollout.observation)) is not None:
            data["mask"] = mask.flatten(1, 2)
        parts = [self._outputs(self.params, trials(data, part)) for part in self._chunks(data)]
        old = {name: torch.cat([part.distribution[name] for part in parts], 1) for name in parts[0].distribution}
        value = self.value_scale * torch.cat([part.value for part in parts], dim=1)
        reward = rollout.reward.flatten(1, 2)
        advantage = generalised_advantages(reward, value, valid, self.config.discount, self.config.gae_lambda)
        target = advantage + value
        explained = 1 - float(advantage[valid].var(correction=0) / target[valid].var(correction=0).clamp_min(1e-12))
        advantage = advantage - leave_one_out(advantage.unflatten(1, (-1, self.n_envs))).flatten(1, 2)
        mean, deviation = advantage[valid].mean(), advantage[valid].std(correction=0)
        data |= {f"old.{name}": value for name, value in old.items()}
        data["old_log_prob"] = self.policy.head.log_prob(old, data["action"])
        data["advantage"] = torch.where(valid, (advantage - mean) / deviation.clamp_min(1e-8), 0.0)
        data["target"] = torch.where(valid, target / self.value_scale, 0.0)
        data["reward"] = reward / self.reward_scale
        return data, explained

    def sums(self, params: Params, data: Data) -> dict[str, Tensor]:
        """Sums over the trials' valid steps: `objective`, which is climbed, and what else is worth knowing."""
        config, head, valid = self.config, self.policy.head, data["valid"]
        distribution, value, reward_outputs = self._outputs(params, data)
        log_prob = head.log_prob(distribution, data["action"])
        old = {name.removeprefix("old."): value for name, value in data.items() if name.startswith("old.")}
        surrogate = ppo_clip(log_prob, data["old_log_prob"], data["advantage"], valid, config.clip).sum()
        value_loss = torch.where(valid, (value - data["target"]).square(), 0.0).sum()
        entropy = torch.where(valid, head.entropy(distribution), 0.0).sum()
        objective = surrogate + config.entropy_bonus * entropy - config.value_weight * value_loss
        predicted = {}
        if config.reward_prediction:
            surprise = self.policy.expected_reward(reward_outputs, data["action"]) - data["reward"]
            predicted["reward_loss"] = torch.where(valid, surprise.square(), 0.0).sum()
            objective = objective - config.reward_prediction * predicted["reward_loss"]
        beyond = (log_prob.detach() - data["old_log_prob"]).exp().sub(1).abs() > config.clip
        return {
            "objective": objective,
            **predicted,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl": torch.where(valid, head.kl(old, distribution), 0.0).sum(),
            "clipped": (beyond & valid).sum(),
        }

    def gradient(self, data: Data) -> tuple[list[Tensor], dict[str, float]]:
        """Gradient of the objective, a mean over valid steps, for every parameter, and metrics.

        Only the graph of one chunk of trials is held at a time.
        """
        scale = 1 / int(data["valid"].sum())
        total = [torch.zeros_like(value) for value in self.params.values()]
        sums: dict[str, float] = {}
        for part in self._chunks(data):
            reduced = {name: scale * value for name, value in self.sums(self.params, trials(data, part)).items()}
            gradients = torch.autograd.grad(reduced["objective"], list(self.params.values()), allow_unused=True)
            total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
            sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in reduced.items()}
        return total, {"loss": -sums.pop("objective"), **sums}

    @torch.no_grad()
    def measured(self, data: Data) -> dict[str, float]:
        """The metrics of `gradient`."""
        scale = 1 / int(data["valid"].sum())
        sums: dict[str, float] = {}
        for part in self._chunks(data):
            reduced = self.sums(self.params, trials(data, part))
            sums = {name: sums.get(name, 0.0) + scale * float(value) for name, value in reduced.items()}
        return {"loss": -sums.pop("objective"), **sums}

    def _outputs(self, params: Params, data: Data) -> Outputs:
        """What the network says in whole trials; values in units of `value_scale`, reward_outputs in the family's."""
        bound = bind(self.policy, params)
        return self.policy.unroll(bound, data["inputs"], data.get("mask"), self.config.truncation)

    # --- memory ------------------------------------------------------------------------------------------------------

    def _chunks(self, data: Data) -> Iterator[slice]:
        """Slices of trials whose graph fits into the memory budget.

        The choice depends on shapes alone, so that it is the same when a run is resumed.
        """
        n_steps, n_trials = data["valid"].shape
        fitting = max(1, int(self.config.memory_budget * 2**30 / (self._bytes * n_steps)))
        yield from (slice(first, first + fitting) for first in range(0, n_trials, fitting))

    @property
    def _bytes_played(self) -> float:
        """What a rollout and the objective keep of a step at least [bytes]: what was seen, inputs, and ten numbers."""
        n_observed = len(self.policy.scale)
        return 4.0 * (2 * n_observed + self.policy.head.n_outputs + 12)

    def _bytes_a_step(self) -> float:
        """What autograd keeps for the gradient of one step of one trial [bytes], without what trials share."""

        def kept(n_trials: int, n_steps: int) -> int:
            told = self.policy.initial_transition_input(n_steps, n_trials)
            seen = told.new_zeros(n_steps, n_trials, len(self.policy.scale))
            inputs, mask = self.policy.inputs(seen, told), self.policy.action_mask(seen)
            return saved_bytes(self.policy, lambda: self.policy.unroll(bind(self.policy, self.params), inputs, mask))

        # Of a second step: the first is special, as the memory is empty.
        few, more = (kept(n_trials, 2) - kept(n_trials, 1) for n_trials in (16, 48))
        return max(1.0, (more - few) / 32)


def trials(data: Data, part: slice) -> Data:
    """These trials."""
    return {name: value[:, part] for name, value in data.items()}


def build(config: Config, context: BuildContext) -> RL2:
    """The learner of the run's recurrent policy."""
    policy = context.make_recurrent_policy(
        trial_steps=config.episodes * context.horizon,
        shared=config.memories == "shared",
        use_previous_observation=config.previous_observation,
        predict_reward=config.reward_prediction > 0,
        bilinear=config.readout == "bilinear",
    )
    return RL2(config, policy, context.horizon, context.distribution.reward_scale)
