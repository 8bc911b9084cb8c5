"""RL^2: a recurrent policy that adapts within its memory, without gradients at test time.

Duan et al. 2016; Wang et al. 2016 (Learning to reinforcement learn). A trial consists of several episodes of one task.
At every step, the policy receives the observation, the last action and reward, and whether an episode ended; its memory
persists across episodes. The objective is the discounted return of the whole trial, so that exploration pays if it
increases later rewards:

    A_t = sum_k (gamma lambda)^k delta_t+k     delta_t = r_t + gamma V_t+1 - V_t

where t continues across the ends of episodes, and V is 0 only at the end of the trial. PPO-clip with Adam (Schulman et
al. 2017), back-propagation through the trial.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.core.saved_state import policy_buffers
from agents.core.shard import WHOLE, Moments, Shard
from agents.rl.acting import update_normalisation
from agents.rl.adaptive_adam import KLAdaptiveAdam
from agents.rl.config import PPOConfig
from agents.rl.gradient import Terms, chunked_gradient, chunked_terms, per_step
from agents.rl.losses import ppo_clip
from agents.rl.restarts import PREFIX, Restarts
from agents.rl.returns import generalised_advantages, leave_one_out
from agents.rl.trials import Trials, graph_bytes, rollout_bytes, select_trials
from qrl.common.errors import UsageError
from qrl.common.memory import check_fits
from qrl.common.options import tunable
from qrl.policies.actor import BoundPolicy
from qrl.policies.coherent import CoherentPolicy
from qrl.policies.kinds import TrialPolicy
from qrl.policies.policy import Params, bind
from qrl.policies.recurrent import Outputs

MODEL = "qgru"
"""Default model."""


@dataclass(frozen=True)
class Config(PPOConfig):
    """Options of RL^2."""

    episodes: int = 3
    """Episodes per trial [episodes]; 10 for bandit and tabular_mdp (the shortest trials of Duan et al. 2016), 1 where
    steps are evaluations (algorithm_selection, hyperparameter_tuning)."""
    meta_batch: int = 200
    """Trials per meta-iteration, of all tasks together [trials]; 1000 for bandit, 400 for algorithm_selection, 300 for
    tabular_mdp (ours)."""
    trials: int = 1
    """Trials per task in a meta-iteration [trials] (Duan et al. 2016: 1; ours: 8 where steps are evaluations). With
    several, advantages have a leave-one-out baseline (Kool et al. 2019)."""
    minibatches: int = 4
    """Minibatches per PPO epoch [minibatches] (ours)."""
    memories: Literal["separate", "shared"] = "separate"
    """separate: recurrent networks of their own for actor and critic (Ni et al. 2022); shared: one for both."""
    discount: float = field(default=0.99, metadata=tunable(0.9, 1))
    """Discount factor over the whole trial [per step] (Duan et al. 2016); 0.9 where steps are evaluations, so that
    early ones count for more (ours)."""
    gae_lambda: float = field(default=0.95, metadata=tunable(0.3, 1))
    """Lambda of generalised advantage estimation [per step] (Schulman et al. 2016); 0.3 for tabular_mdp (Duan et al.
    2016)."""
    value_weight: float = field(default=0.5, metadata=tunable(0.05, 2, log=True))
    """Weight of the value loss, in units of the largest discounted return squared (Schulman et al. 2017: 0.5)."""
    previous_observation: bool = False
    """Add the previous observation to the input, next to the last action and reward (Duan et al. 2016: off; ours: on
    for tabular_mdp)."""
    readout: Literal["linear", "bilinear"] = "linear"
    """Map from memory to actions and values (Duan et al. 2016: linear; ours: bilinear for tabular_mdp). With bilinear,
    its weights are linear in the observation, so that the readout can select by state."""
    reward_prediction: float = 0.0
    """Weight of an auxiliary loss, the squared error of rewards that the actor's network predicts [0 = no prediction]
    (Jaderberg et al. 2017; Zintgraf et al. 2020; ours: 0.5 for tabular_mdp)."""
    entropy_schedule: Literal["constant", "linear"] = "constant"
    """constant: the entropy bonus stays; linear: it falls to 0 over the training, like the learning rates (ours; linear
    for quantum_memory with a hidden frame)."""
    restarts: int = 1
    """Initialisations that are tried, for `restart_iterations` of all iterations each, before the best of them on train
    tasks continues (ours; for quantum_memory 4, or 1 with three or more registers). 1: no restarts."""
    restart_iterations: int = 12
    """Length of each attempt [meta-iterations]; ours."""
    truncation: int = 0
    """Segment length of truncated back-propagation through time [steps; 0 = the whole trial]; does not reduce the
    memory for the gradient."""
    memory_budget: float = 2.0
    """Memory for the graph of a gradient [GiB]; the gradient is accumulated over chunks of trials that fit."""
    lr_angles: float = field(default=0.003, metadata=tunable(0.0001, 0.1, log=True))
    """Adam learning rate of circuit angles and hidden weights [rad per step] (ours)."""
    lr_scales: float = field(default=0.001, metadata=tunable(0.0001, 0.1, log=True))
    """Adam learning rate of input scales and projections [per step] (ours: with ten times this rate, gradients of
    quantum cells explode in trials of 100 steps)."""
    lr_heads: float = field(default=0.003, metadata=tunable(0.0001, 0.1, log=True))
    """Adam learning rate of read-out, head and the linear maps after circuits [per step] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("episodes", "meta_batch", "trials", "minibatches", "restarts", "restart_iterations")
        self.require(counts, lambda value: value >= 1, "at least 1")
        self.require(("discount",), lambda value: 0 < value <= 1, "in (0, 1]")
        self.require(("gae_lambda",), lambda value: 0 <= value <= 1, "in [0, 1]")
        weights = ("value_weight", "reward_prediction")
        self.require(weights, lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("truncation",), lambda value: value >= 0, "not negative")
        self.require(("memory_budget",), lambda value: 0 < value < math.inf, "finite and positive")
        if self.meta_batch % self.trials:
            raise UsageError(
                f"agent {self.agent}: meta_batch must be a multiple of trials, {self.trials}, not {self.meta_batch}"
            )
        if self.minibatches > self.meta_batch:
            raise UsageError(
                f"agent {self.agent}: minibatches must be at most meta_batch, {self.meta_batch}, not {self.minibatches}"
            )


def defaults(env_name: str) -> Config:
    """Return the defaults: more and longer trials for short episodes; single episodes where steps are evaluations."""
    if env_name == "quantum_memory":
        return Config(
            episodes=1,
            meta_batch=2000,
            discount=1.0,
            gae_lambda=1.0,
            restarts=4,
            lr_angles=0.03,
            lr_scales=0.01,
            lr_heads=0.1,
        )
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
    """Memory of the current trial of each lane, and the policy with which it acts."""

    hidden: Float[Tensor, "task env memory"]
    last_observation: Float[Tensor, "task env obs"]
    """Observation on which the last action was taken."""
    transition: Float[Tensor, "task env transition"]
    """The last transition as the network's input; see `RecurrentPolicy.transition_input`."""
    bound: BoundPolicy


class RL2:
    """RL^2 learner. `theta` are the parameters of its policy, which training updates in place."""

    n_rollouts = 1

    def __init__(
        self,
        config: Config,
        policy: TrialPolicy,
        horizon: int,
        reward_scale: float,
        initial: Callable[[int], Params] | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        """Build the learner; `initial` draws the initial parameters of each restart.

        Raises UsageError if the steps of all trials, or the graph of a single trial, do not fit into memory.
        """
        self.config, self.policy, self.reward_scale, self.shard = config, policy, reward_scale, shard
        self.theta: Params = dict(policy.named_parameters())
        self.trial_episodes = config.episodes
        self.entropy_factor = 1.0
        """Factor on the entropy bonus in the current update."""
        user = f"agent {config.agent}"
        self.n_tasks, self.n_envs = shard.part(config.meta_batch // config.trials, f"{user}: tasks"), config.trials
        n_trials, steps = self.n_tasks * self.n_envs, config.episodes * horizon
        if config.minibatches > n_trials:
            raise UsageError(f"{user}: minibatches must be at most the {n_trials} trials of a shard")
        rollout, device = f"a rollout of {n_trials} trials of {steps:,} steps", policy.scale.device
        check_fits(user, rollout, n_trials * steps * rollout_bytes(policy), device)
        self.value_scale = reward_scale * float(torch.tensor(config.discount).pow(torch.arange(steps)).sum())
        """Return that corresponds to a critic output of 1: the discounted sum of `reward_scale` over a trial."""
        rates = {name: config.rate(group) for name, group in policy.groups.items()}
        self.optimiser = KLAdaptiveAdam(config, self.theta, rates, policy_buffers(policy))
        self.restarts = Restarts(config.restarts, config.restart_iterations, self.optimiser, initial or _no_restart)
        self.step_bytes = graph_bytes(policy)
        check_fits(user, "the gradient of one trial", self.step_bytes * steps, device)

    def check_training(self, iterations: int) -> None:
        """Raise UsageError if training would end within the attempts of restarts, or the truncation does not fit."""
        if isinstance(self.policy, CoherentPolicy):
            self.policy.check_truncation(self.config.truncation)
        config, attempts = self.config, self.config.restarts * self.config.restart_iterations
        if config.restarts > 1 and iterations <= attempts:
            raise UsageError(
                f"agent {config.agent}: {config.restarts} restarts of {config.restart_iterations} iterations need more "
                f"than {attempts} iterations in all, not {iterations}; restarts 1 trains without them"
            )

    # --- acting ------------------------------------------------------------------------------------------------------

    def begin(self, n_tasks: int, n_envs: int) -> Memory:
        """Return an empty memory."""
        transition = self.policy.initial_transition_input(n_tasks, n_envs)
        with torch.no_grad():
            # Clones, because an update changes the parameters in place.
            bound = bind(self.policy, {name: value.detach().clone() for name, value in self.theta.items()})
        hidden = transition.new_zeros(n_tasks, n_envs, self.policy.n_memory)
        return Memory(hidden, transition.new_zeros(n_tasks, n_envs, len(self.policy.scale)), transition, bound)

    def act(self, state: Memory, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Memory]:
        """Draw an action for each lane."""
        shape = (*observation.shape[:2], self.policy.n_noise)
        uniform = torch.rand(shape, generator=generator, device=observation.device, dtype=observation.dtype)
        return self._act(state, observation, uniform)

    def act_deterministically(self, state: Memory, observation: Tensor) -> tuple[Tensor, Memory]:
        """Take the most likely action of each lane."""
        return self._act(state, observation, None)

    def _act(self, state: Memory, observation: Tensor, uniform: Tensor | None) -> tuple[Tensor, Memory]:
        lanes = observation.shape[:2]
        inputs = self.policy.inputs(observation, state.transition)
        mask = self.policy.action_mask(observation.flatten(0, 1))
        uniform = None if uniform is None else uniform.flatten(0, 1)
        hidden = state.hidden.flatten(0, 1)
        action, hidden = self.policy.draw(state.bound, inputs.flatten(0, 1), hidden, uniform, mask)
        state = replace(state, hidden=hidden.unflatten(0, lanes), last_observation=observation)
        return action.unflatten(0, lanes), state

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the policy's actions to the environment's units."""
        return self.policy.to_environment(action)

    def observe(self, state: Memory, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Memory:
        """Store the last transition; like the observation, it is part of the next step's input."""
        reward = reward / self.reward_scale
        return replace(state, transition=self.policy.transition_input(state.last_observation, action, reward, ended))

    def reset_memory(self, state: Memory, lanes: Bool[Tensor, "task env"]) -> Memory:
        """Return the state with these lanes reset to the beginning of a trial."""
        reset, empty = lanes.unsqueeze(-1), self.policy.initial_transition_input(*lanes.shape)
        hidden, transition = torch.where(reset, 0.0, state.hidden), torch.where(reset, empty, state.transition)
        return replace(state, hidden=hidden, transition=transition)

    def adapt(self, state: Memory, rollout: Rollout) -> Memory:
        """Return the state unchanged: `observe` has already stored every transition."""
        return state

    # --- learning ----------------------------------------------------------------------------------------------------

    def update(self, rollouts: list[Rollout], states: list[Memory], progress_remaining: float) -> dict[str, float]:
        """Take epochs of PPO over minibatches of whole trials; `progress_remaining` multiplies the learning rates.

        Metrics: `loss`, `value_loss`, `reward_loss` if rewards are predicted, `entropy` and `clipped`, the fraction of
        steps beyond the clip range, of the last minibatch; `grad_norm`; `kl` over all trials, of the whole step;
        `explained_variance` of the values before it.
        Raises TrainingError for a non-finite loss or gradient, before any parameter is updated with it.
        """
        (rollout,) = rollouts
        trials, explained_variance = self.trials(rollout)
        # Tasks are drawn independently, so any division into minibatches is a random one.
        n_minibatches = self.config.minibatches
        minibatches = [select_trials(trials, slice(j, None, n_minibatches)) for j in range(n_minibatches)]
        self.entropy_factor = progress_remaining if self.config.entropy_schedule == "linear" else 1.0
        gradients = (self.gradient(minibatch) for minibatch in minibatches * self.config.epochs)
        metrics = self.optimiser.optimise(gradients, lambda: self.evaluate(trials)["kl"], progress_remaining)
        update_normalisation(self.policy, rollouts, self.shard)
        attempt = {} if self.restarts.attempt is None else {"attempt": self.restarts.attempt}
        self.restarts.record(self.shard.mean(float(rollout.returns.mean())))
        return metrics | {"explained_variance": explained_variance} | attempt

    def inputs(self, rollout: Rollout) -> Tensor:
        """Return the network's inputs at every step of the trials [time, trial, input], as in `act`."""
        ended = rollout.terminated | rollout.truncated
        reward = rollout.reward / self.reward_scale
        transition = self.policy.transition_input(rollout.observation, rollout.action, reward, ended)
        first = self.policy.initial_transition_input(*transition.shape[1:3])
        return self.policy.inputs(rollout.observation, torch.cat([first[None], transition[:-1]])).flatten(1, 2)

    @torch.no_grad()
    def trials(self, rollout: Rollout) -> tuple[Trials, float]:
        """Return the trials, collected with the current parameters, and the explained variance of the values."""
        config, valid, reward = self.config, rollout.valid.flatten(1, 2), rollout.reward.flatten(1, 2)
        inputs, mask = self.inputs(rollout), self.policy.action_mask(rollout.observation)
        mask = None if mask is None else mask.flatten(1, 2)
        bound = bind(self.policy, self.theta)
        action = rollout.action.flatten(1, 2)

        def evaluated(chunk: slice) -> Outputs:
            chunk_mask = None if mask is None else mask[:, chunk]
            return self.policy.evaluate(bound, inputs[:, chunk], action[:, chunk], chunk_mask, config.truncation)

        outputs = [evaluated(chunk) for chunk in self.chunks(*valid.shape)]
        old = {name: torch.cat([each.distribution[name] for each in outputs], 1) for name in outputs[0].distribution}
        value = self.value_scale * torch.cat([each.value for each in outputs], dim=1)
        advantage = generalised_advantages(reward, value, valid, config.discount, config.gae_lambda)
        target = advantage + value
        left, whole = (Moments.of(each[valid], self.shard).variance for each in (advantage, target))
        unexplained = left / whole.clamp_min(1e-12)
        advantage = advantage - leave_one_out(advantage.unflatten(1, (-1, self.n_envs))).flatten(1, 2)
        _, mean, _, deviation = Moments.of(advantage[valid], self.shard)
        trials = Trials(
            inputs=inputs,
            action=action,
            valid=valid,
            old_distribution=old,
            old_log_prob=self.policy.head.log_prob(old, action),
            advantage=torch.where(valid, (advantage - mean) / deviation.clamp_min(1e-8), 0.0),
            target=torch.where(valid, target / self.value_scale, 0.0),
            reward=reward / self.reward_scale,
            mask=mask,
        )
        return trials, 1 - float(unexplained)

    def objective(self, theta: Params, trials: Trials) -> Terms:
        """Return the terms of these trials, sums over their valid steps."""
        config, head, valid = self.config, self.policy.head, trials.valid
        distribution, value, reward_outputs = self.outputs(theta, trials)
        log_pi = head.log_prob(distribution, trials.action)
        surrogate = ppo_clip(log_pi, trials.old_log_prob, trials.advantage, valid, config.clip).sum()
        value_loss = torch.where(valid, (value - trials.target).square(), 0.0).sum()
        entropy = torch.where(valid, head.entropy(distribution), 0.0).sum()
        objective = surrogate + config.entropy_bonus * self.entropy_factor * entropy - config.value_weight * value_loss
        auxiliary = {}
        if config.reward_prediction:
            error = self.policy.expected_reward(reward_outputs, trials.action) - trials.reward
            auxiliary["reward_loss"] = torch.where(valid, error.square(), 0.0).sum()
            objective = objective - config.reward_prediction * auxiliary["reward_loss"]
        clipped = (log_pi.detach() - trials.old_log_prob).exp().sub(1).abs() > config.clip
        return {
            "objective": objective,
            **auxiliary,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl": torch.where(valid, head.kl(trials.old_distribution, distribution), 0.0).sum(),
            "clipped": (clipped & valid).sum(),
        }

    def outputs(self, theta: Params, trials: Trials) -> Outputs:
        """Return distributions, values in units of `value_scale` and predicted rewards in units of `reward_scale`."""
        bound = bind(self.policy, theta)
        return self.policy.evaluate(bound, trials.inputs, trials.action, trials.mask, self.config.truncation)

    def gradient(self, trials: Trials) -> tuple[list[Tensor], dict[str, float]]:
        """Return the gradient of the mean objective for every parameter, and the metrics of `evaluate`."""
        theta, chunks = list(self.theta.values()), self.chunks(*trials.valid.shape)
        scale = per_step(trials.valid, self.shard)
        return chunked_gradient(partial(self._terms, trials), theta, chunks, scale, self.shard)

    def evaluate(self, trials: Trials) -> dict[str, float]:
        """Return the means of the terms over valid steps at the current parameters; `loss` is minus the objective."""
        chunks, scale = self.chunks(*trials.valid.shape), per_step(trials.valid, self.shard)
        return chunked_terms(partial(self._terms, trials), chunks, scale, self.shard)

    def _terms(self, trials: Trials, chunk: slice) -> Terms:
        return self.objective(self.theta, select_trials(trials, chunk))

    def chunks(self, n_steps: int, n_trials: int) -> list[slice]:
        """Divide trials into chunks whose graphs fit into the memory budget.

        The division depends on shapes alone, so that a resumed run divides in the same way.
        """
        size = max(1, int(self.config.memory_budget * 2**30 / (self.step_bytes * n_steps)))
        return [slice(first, first + size) for first in range(0, n_trials, size)]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the parameters, the optimiser's state, the policy's buffers and the state of restarts."""
        return self.optimiser.state_dict() | self.restarts.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        self.restarts.load_state_dict({name: each for name, each in tensors.items() if name.startswith(PREFIX)})
        self.optimiser.load_state_dict({n: tensor for n, tensor in tensors.items() if not n.startswith(PREFIX)})


def _no_restart(attempt: int) -> Params:
    raise UsageError(f"agent rl2: restart {attempt} needs a function that draws initial parameters")


def build(config: Config, context: BuildContext) -> RL2:
    """Return the learner of the run's recurrent policy."""

    def policy(attempt: int = 0) -> TrialPolicy:
        return context.make_recurrent_policy(
            attempt=attempt,
            trial_steps=config.episodes * context.horizon,
            shared=config.memories == "shared",
            use_previous_observation=config.previous_observation,
            predict_reward=config.reward_prediction > 0,
            bilinear=config.readout == "bilinear",
        )

    def initial(attempt: int) -> Params:
        return dict(policy(attempt).named_parameters())

    return RL2(config, policy(), context.horizon, context.distribution.reward_scale, initial, context.shard)
