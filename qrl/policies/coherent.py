"""Policy that acts on registers of qubits: it measures, records the outcomes as part of its action, and answers.

    a = (answer, outcome, error)     log pi(a | past) = log P(outcome | past) + log pi(answer | outcome, past)

The outcome is Nature's, but its probability depends on the policy's circuit, so that it enters the log-probability like
any other stochastic choice; the law of the storage errors does not depend on parameters. An update replays the recorded
outcomes and errors from the registers of the whole episode. Entropy is that of the answer alone: a bonus on outcomes
would reward measurements that tell nothing. The critic sees outcomes, answers and rewards, never a state.
"""

from typing import Any, cast

import gymnasium
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qrl.circuits.registers import Registers
from qrl.common.errors import TrainingError, UsageError, wrap_errors
from qrl.common.registry import name_of
from qrl.models import MODELS
from qrl.policies.actor import Actor, BoundNetwork, BoundPolicy, PolicyConfig
from qrl.policies.features import learning_rate_groups
from qrl.policies.frame import Frame
from qrl.policies.gru_cell import GRU
from qrl.policies.heads import Distribution, MeasuredAnswer
from qrl.policies.outcome_readout import BoundReadout, OutcomeReadout, read_outcome
from qrl.policies.recurrent import Outputs, RecurrentNetwork
from qrl.policies.registers import Evolved, RegisterFeatures

N_CRITIC = 16
"""Width of the critic's memory [units]; ours."""


class CoherentPolicy(Actor):
    """Policy on registers; `make_coherent_policy` also builds its cell.

    An action is (answer, outcome, error), integers [..., 3]. All lanes are at the same register of their episodes.
    """

    cell: nn.Module
    head: MeasuredAnswer

    def __init__(
        self,
        cell: nn.Module,
        critic: RecurrentNetwork | None,
        prediction: OutcomeReadout | None,
        registers: Registers,
        action_space: gymnasium.spaces.Discrete,
    ) -> None:
        optional = {"critic": critic, "prediction": prediction}
        networks = {"cell": cell} | {name: module for name, module in optional.items() if module is not None}
        head, scale = MeasuredAnswer(int(action_space.n)), torch.ones(registers.shape[-1])
        super().__init__(networks, head, action_space, scale, PolicyConfig())
        assert isinstance(cell, RegisterFeatures)
        self.registers = registers
        self.has_critic, self.has_prediction = critic is not None, prediction is not None
        self.n_memory = cell.n_memory

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter: "angles", "scales" or "heads"."""
        critics = [self._critic.features] if self.has_critic else []
        return learning_rate_groups(self, self.cell, *critics)

    @property
    def broadcasts(self) -> bool:
        return True

    @property
    def n_noise(self) -> int:
        return self.head.n_noise + self._cell.n_noise

    def no_action(self, *lanes: int) -> Tensor:
        return super().no_action(*lanes, 3)

    @property
    def _cell(self) -> RegisterFeatures:
        # No attribute: a module with two names keeps the parameters of `functional_call` after the call.
        return cast(RegisterFeatures, self.cell)

    @property
    def _critic(self) -> RecurrentNetwork:
        critic = self.get_submodule("critic")
        assert isinstance(critic, RecurrentNetwork)
        return critic

    @property
    def _prediction(self) -> OutcomeReadout:
        prediction = self.get_submodule("prediction")
        assert isinstance(prediction, OutcomeReadout)
        return prediction

    def bind(self) -> BoundPolicy:
        """Compute everything that depends only on the parameters."""
        critics = (self._critic.bind(),) if self.has_critic else ()
        prediction = self._prediction.bind()._asdict() if self.has_prediction else {}
        return BoundPolicy(BoundNetwork(self._cell.bind(), prediction), {}, critics)

    def to_environment(self, action: Int[Tensor, "*lanes 3"]) -> Int[Tensor, "*lanes"]:
        """Return the answers."""
        return action[..., 0]

    # --- inputs ------------------------------------------------------------------------------------------------------

    def transition_input(
        self,
        observation: Float[Tensor, "*lanes obs"],
        action: Int[Tensor, "*lanes 3"],
        reward: Float[Tensor, "*lanes"],
        ended: Bool[Tensor, "*lanes"],
    ) -> Float[Tensor, "*lanes transition"]:
        """Encode the last transition: outcome of each wire (+1, -1; 0: none), answer, reward, end of episode."""
        position = observation[..., self.registers.arriving].argmax(-1)
        bits = self._cell.bits(position, action[..., 1])
        answer = F.one_hot(action[..., 0], self.head.n_outputs).to(reward.dtype)
        return torch.cat([bits, answer, reward.unsqueeze(-1), ended.to(reward.dtype).unsqueeze(-1)], dim=-1)

    def initial_transition_input(self, *shape: int) -> Float[Tensor, "*lanes transition"]:
        """Encode the first step of a trial: no outcome, no answer, no reward, as if an episode had ended."""
        transition_input = self.scale.new_zeros(*shape, self._cell.n_bits + self.head.n_outputs + 2)
        transition_input[..., -1] = 1
        return transition_input

    # --- acting ------------------------------------------------------------------------------------------------------

    def draw(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
        uniform: Float[Tensor, "*tasks batch noise"] | None,
        mask: Bool[Tensor, "*tasks batch act"] | None = None,
    ) -> tuple[Int[Tensor, "*tasks batch 3"], Float[Tensor, "*tasks batch memory"]]:
        """Measure, draw an answer, and return the action and the next memory; `uniform` are numbers in [0, 1).

        Raises UsageError without `uniform`, since outcomes of measurements are random.
        """
        if uniform is None:
            raise UsageError("policy: a policy that measures has no most likely action: outcomes are random")
        delivered, classical = self._split(inputs)
        position = self._position(inputs)
        evolved = self._cell.evolve(bound.actor.features, position, delivered, classical, memory)
        outcome = _draw(evolved.weights, uniform[..., 0])
        logits = self._cell.logits(bound.actor.features, position, outcome, evolved.hidden)
        answer = _draw(logits.softmax(-1), uniform[..., 1])
        error = self._cell.draw_error(uniform[..., 2:])
        action = torch.stack([answer, outcome, error], dim=-1)
        return action, self._cell.after(evolved, position, outcome, error)

    def check_truncation(self, truncation: int) -> None:
        """Raise UsageError for a truncation within episodes [steps]."""
        if truncation % self.registers.n_registers:
            n = self.registers.n_registers
            raise UsageError(f"truncation must be a multiple of {n}, the steps of an episode, not {truncation}")

    def evaluate(
        self,
        bound: BoundPolicy,
        inputs: Float[Tensor, "time *tasks batch input"],
        action: Int[Tensor, "time *tasks batch 3"],
        mask: Bool[Tensor, "time *tasks batch act"] | None = None,
        truncation: int = 0,
    ) -> Outputs:
        """Return distributions and values of whole trials, with the recorded outcomes and errors.

        `truncation`: as for `RecurrentNetwork.unroll`; the values are 0 without a critic. Raises UsageError for a
        truncation within episodes, which would drop the dependence of outcomes on earlier circuits.
        """
        self.check_truncation(truncation)
        memory = inputs.new_zeros(*inputs.shape[1:-1], self.n_memory)
        rows: list[Distribution] = []
        predicted: list[Tensor] = []
        for t, (row, recorded) in enumerate(zip(inputs, action, strict=True)):
            if truncation and t % truncation == 0:
                memory = memory.detach()
            position = t % self.registers.n_registers
            evolved, distribution = self._replay(bound, position, row, recorded, memory)
            memory = self._cell.after(evolved, position, recorded[..., 1], recorded[..., 2])
            rows.append(distribution)
            predicted.append(self._predict(bound, position, recorded[..., 1], evolved.hidden))
        distribution = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        value = inputs.new_zeros(inputs.shape[:-1])
        if bound.critics:
            value = self._critic.unroll(bound.critics[0], self._split(inputs)[1], truncation)[..., 0]
        return Outputs(distribution, value, torch.stack(predicted))

    def expected_reward(
        self, reward_outputs: Float[Tensor, "*lanes answer"], action: Int[Tensor, "*lanes 3"]
    ) -> Float[Tensor, "*lanes"]:
        """Predict the rewards of these answers, given the outcomes."""
        return reward_outputs.gather(-1, action[..., :1]).squeeze(-1)

    def _predict(self, bound: BoundPolicy, position: int, outcome: Tensor, hidden: Tensor) -> Tensor:
        """Return the expected reward of each answer; 0 before the last register, of width 0 without predictions."""
        n_answers = self.head.n_outputs if self.has_prediction else 0
        if not self.has_prediction or position < self.registers.n_registers - 1:
            return hidden.new_zeros(*outcome.shape, n_answers)
        return read_outcome(BoundReadout(**bound.actor.readout), outcome, hidden)

    def episodes(
        self,
        bound: BoundPolicy,
        observation: Float[Tensor, "*tasks time env obs"],
        action: Int[Tensor, "*tasks time env 3"],
    ) -> Distribution:
        """Return the distributions of episodes, for agents without transitions as inputs [*tasks, time * env, ...]."""
        axis = observation.ndim - 3
        outputs = self.evaluate(bound, observation.movedim(axis, 0), action.movedim(axis, 0))
        return {name: value.movedim(0, axis).flatten(axis, axis + 1) for name, value in outputs.distribution.items()}

    def _replay(
        self, bound: BoundPolicy, position: int, inputs: Tensor, action: Tensor, memory: Tensor
    ) -> tuple[Evolved, Distribution]:
        delivered, classical = self._split(inputs)
        evolved = self._cell.evolve(bound.actor.features, position, delivered, classical, memory)
        outcome = action[..., 1]
        chosen, total = evolved.weights.gather(-1, outcome.unsqueeze(-1)).squeeze(-1), evolved.weights.sum(-1)
        probabilities = evolved.weights / total.unsqueeze(-1)
        distribution = {
            "log_probs": self._cell.logits(bound.actor.features, position, outcome, evolved.hidden).log_softmax(-1),
            "outcome_log_prob": chosen.log() - total.log(),
            "outcome_probs": F.pad(probabilities, (0, self._cell.n_outcomes - probabilities.shape[-1])),
        }
        return evolved, distribution

    def _split(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Split inputs into the delivered amplitudes and the classical inputs."""
        n_parts = self.registers.arriving.start
        return inputs[..., :n_parts], inputs[..., n_parts:]

    def _position(self, inputs: Tensor) -> int:
        """Return the number of the arriving register. Raises TrainingError if it differs between lanes."""
        flags = inputs[..., self.registers.arriving].flatten(0, -2)
        if not bool((flags == flags[0]).all()):
            raise TrainingError("policy: lanes are at different registers of their episodes")
        return int(flags[0].argmax())


def _draw(weights: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """Draw indices with probabilities proportional to the weights.

    Raises TrainingError if a weight is no number, or all weights of a lane are 0.
    """
    cumulative = weights.cumsum(-1)
    total = cumulative[..., -1:]
    if not bool(total.isfinite().all()):
        raise TrainingError("the policy's outputs are not finite: its weights diverged")
    if not bool((total > 0).all()):
        raise TrainingError("policy: a register in a state of norm 0: an episode begins with register 0")
    drawn = (cumulative <= uniform.unsqueeze(-1) * total).sum(-1)
    return drawn.clamp_max(weights.shape[-1] - 1)


def make_coherent_policy(
    model: object,
    model_config: object,
    registers: Registers,
    action_space: gymnasium.Space[Any],
    *,
    config: PolicyConfig | None = None,
    trial_steps: int = 0,
    predict_reward: bool = False,
    generator: torch.Generator | None = None,
) -> CoherentPolicy:
    """Build a policy on registers with the cell of a model that acts on registers: a name or an object.

    `trial_steps`: length of a trial, for agents that observe transitions and have a critic; 0 for others.
    `predict_reward`: the policy predicts the rewards of its answers. Raises UsageError for actions that are not
    discrete, options of a read-out, and a model that reads numbers.
    """
    generator = generator or torch.Generator().manual_seed(0)
    if not isinstance(action_space, gymnasium.spaces.Discrete):
        raise UsageError(f"policy: answers about registers must be discrete, not {action_space}")
    if config not in (None, PolicyConfig()):
        raise UsageError("policy: options of read-out, head and normalisation have no effect on registers of qubits")
    with wrap_errors(f"model {name_of(model)!r}", usage_errors=True):
        frame = Frame(registers.shape[-1], int(action_space.n), trial_steps=trial_steps, registers=registers)
        cell = MODELS.load(model).build(model_config, frame, generator)
        if not (isinstance(cell, nn.Module) and isinstance(cell, RegisterFeatures)):
            raise UsageError(
                "it reads numbers, but the observations are registers of qubits, whose amplitudes no agent can read; "
                "use a model that acts on registers, such as coherent"
            )
        critic = prediction = None
        if predict_reward:
            n_hidden = cell.n_hidden
            prediction = OutcomeReadout(cell.n_outcomes, int(action_space.n), n_hidden, generator)
        if trial_steps:
            n_classical = registers.n_registers + cell.n_bits + int(action_space.n) + 2
            critic = RecurrentNetwork(GRU(n_classical, torch.zeros(N_CRITIC), generator), 1, PolicyConfig(), generator)
        return CoherentPolicy(cell, critic, prediction, registers, action_space)
