"""Circuit of the next episode of a policy on registers, with its angles as numbers."""

import torch
from torch import Tensor

from qrl.circuits.gates import Gate
from qrl.circuits.register_episode import History, RegisterEpisode, RegisterStep, check_histories
from qrl.common.errors import UsageError
from qrl.models.shared.register_cell import BoundCell, RegisterCell
from qrl.policies.actor import BoundPolicy
from qrl.policies.coherent import CoherentPolicy


@torch.no_grad()
def describe_episode(
    policy: CoherentPolicy, bound: BoundPolicy, memory: Tensor, transition: Tensor | None = None
) -> RegisterEpisode:
    """Return the circuit of the episode that a policy would act in next.

    Args:
        policy: policy whose model is a `RegisterCell`.
        bound: policy bound to the parameters of a single task, without a task axis.
        memory: memory after the last episode [..., memory], of a single lane; only its classical part matters.
        transition: last transition as the policy's input [..., transition], for policies that observe transitions.

    Rewards before the last step count as 0, as in every family on registers. Raises UsageError for another model, and
    if angles depend on too many histories.
    """
    cell, parameters = policy.get_submodule("cell"), bound.actor.features
    if not (isinstance(cell, RegisterCell) and isinstance(parameters, BoundCell)):
        raise UsageError("export: the model acts on registers, but has no description of its circuit")
    return _Episode(policy, cell, parameters, memory.flatten()[cell.n_parts :], transition).describe()


class _Episode:
    """The episode's steps, with the classical memory after each history."""

    def __init__(
        self, policy: CoherentPolicy, cell: RegisterCell, bound: BoundCell, hidden: Tensor, transition: Tensor | None
    ) -> None:
        self.policy, self.cell, self.bound = policy, cell, bound
        self.n_answers = int(policy.head.n_outputs)
        self.adaptive = cell.n_hidden > 0
        self.first = (hidden[None], transition.flatten()[None] if transition is not None else None)

    def describe(self) -> RegisterEpisode:
        """Return the episode. Raises UsageError if angles depend on too many histories."""
        cell, n_steps = self.cell, self.cell.registers.n_registers
        measured = [self._measured(position) for position in range(n_steps)]
        if self.adaptive:
            check_histories([2 ** len(wires) for wires in measured[:-1]], self.n_answers)
        hidden: dict[History, Tensor] = {(): self._remember((), *self.first)}
        steps = []
        for position, wires in enumerate(measured):
            turns = tuple(self._turns(position, each) for each in hidden.values())
            steps.append(RegisterStep(turns, self._gates(position), wires))
            if position < n_steps - 1:
                hidden = self._after(position, 2 ** len(wires), hidden)
        return RegisterEpisode(
            cell.circuit.n_memory,
            cell.circuit.n_register,
            self.n_answers,
            tuple(steps),
            tuple(self._answers(each) for each in hidden.values()),
            cell.storage.dephasing,
        )

    def _measured(self, position: int) -> tuple[int, ...]:
        circuit = self.cell.circuit
        memory = tuple(range(circuit.n_memory)) if self.cell.is_last(position) else self.cell.measured
        return (*memory, *range(circuit.n_memory, circuit.n_wires))

    def _gates(self, position: int) -> tuple[Gate, ...]:
        """Return the gates that do not depend on the history."""
        angles = iter(self.bound.angles[position].tolist())
        return tuple(
            Gate(gate.name, gate.wires, next(angles)) if gate.is_parametric else gate
            for gate in self.cell.circuit.gates()
        )

    def _turns(self, position: int, hidden: Tensor) -> tuple[Gate, ...]:
        """Return the rotations of the register that depend on the classical memory."""
        if not self.adaptive:
            return ()
        angles = iter((hidden @ self.bound.steering[position].mT).flatten().tolist())
        circuit = self.cell.circuit
        return tuple(
            Gate(name, (wire,), next(angles))
            for wire in range(circuit.n_memory, circuit.n_wires)
            for name in ("RZ", "RY", "RZ")
        )

    def _remember(self, history: History, hidden: Tensor, transition: Tensor | None) -> Tensor:
        """Return the classical memory at the step after a history, [1, hidden]."""
        classical = self.cell.classical
        if classical is None:
            return hidden
        assert self.bound.classical is not None and transition is not None
        inputs = torch.cat([self._arriving(len(history)), transition], dim=-1)
        return classical.run(self.bound.classical, inputs, hidden)[1]

    def _arriving(self, position: int) -> Tensor:
        """Return the one-hot vector of the arriving register, [1, register]."""
        n_registers = self.cell.registers.n_registers
        return torch.eye(n_registers, dtype=self.bound.angles.dtype, device=self.bound.angles.device)[[position]]

    def _after(self, position: int, n_outcomes: int, hidden: dict[History, Tensor]) -> dict[History, Tensor]:
        """Return the classical memory at the next step for each history; a single one if none matters."""
        if not self.adaptive:
            return hidden
        registers = self.cell.registers
        observation = self.bound.angles.new_zeros(1, registers.shape[-1])
        observation[:, registers.arriving] = self._arriving(position)
        reward = observation.new_zeros(1)
        found = {}
        for history, earlier in hidden.items():
            for outcome in range(n_outcomes):
                for answer in range(self.n_answers):
                    action = torch.tensor([[answer, outcome, 0]], device=observation.device)
                    transition = self.policy.transition_input(observation, action, reward, reward > 0)
                    longer = (*history, (outcome, answer))
                    found[longer] = self._remember(longer, earlier, transition)
        return found

    def _answers(self, hidden: Tensor) -> tuple[tuple[float, ...], ...]:
        """Return the probability of each answer after each outcome of the last step."""
        n = self.cell.n_outcomes
        outcomes = torch.arange(n, device=hidden.device)
        logits = self.cell.logits(self.bound, self.cell.registers.n_registers - 1, outcomes, hidden.expand(n, -1))
        return tuple(tuple(row) for row in logits.double().softmax(-1).tolist())
