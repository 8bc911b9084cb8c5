"""Agents that keep the registers of an episode and measure all of them at its last step."""

import torch
from jaxtyping import Bool, Complex128, Float, Int
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.effects import Operator, mean_states, success_rate
from agents.references.shared.trial import TrialConfig
from envs.quantum_memory import QuantumMemory
from qrl.circuits.registers import Registers
from qrl.simulator.kernels import as_complex

Held = Complex128[Tensor, "task env delivery amplitude"]
"""Registers of the episode so far: amplitudes of each delivery, zero before the first one."""


def no_registers(space: Registers, n_tasks: int, n_envs: int, device: torch.device) -> Held:
    """Return the registers before the first delivery."""
    shape = (n_tasks, n_envs, space.n_deliveries, space.n_amplitudes)
    return torch.zeros(shape, dtype=torch.complex128, device=device)


def hold(space: Registers, held: Held, observation: Float[Tensor, "task env obs"]) -> Held:
    """Return the registers with those that arrive; they replace the registers of the previous episode."""
    amplitudes = as_complex(observation[..., space.amplitudes].double())
    delivered = observation[..., space.arriving][..., : space.n_deliveries] > 0.5
    return torch.where(delivered[..., None], amplitudes[..., None, :], held)


def last_arrives(space: Registers, observation: Float[Tensor, "task env obs"]) -> Bool[Tensor, "task env"]:
    """Return whether the last register of the episode arrives, which is when the agent answers."""
    return observation[..., space.arriving][..., -1] > 0.5


def joint_state(held: Held) -> Complex128[Tensor, "task env D"]:
    """Return the state of all registers of the episode, register 0 most significant."""
    joint, *others = held.unbind(-2)
    for register in others:
        joint = (joint[..., :, None] * register[..., None, :]).flatten(-2)
    return joint


def measure(
    effects: Complex128[Tensor, "outcome D D"], joint: Complex128[Tensor, "task env D"], generator: torch.Generator
) -> Int[Tensor, "task env"]:
    """Draw an outcome in each lane: k + 1 with probability ⟨Ψ|effects[k]|Ψ⟩, 0 with the remaining probability."""
    images = torch.einsum("kij,tej->teki", effects, joint)
    cumulative = (joint.conj()[..., None, :] * images).sum(-1).real.cumsum(-1)
    uniform = torch.rand(
        joint.shape[:-1], generator=generator, dtype=cumulative.dtype, device=cumulative.device
    ).unsqueeze(-1)
    n_passed = (uniform >= cumulative).sum(-1)
    return (n_passed + 1) % (len(effects) + 1)


class MeasuringAgent:
    """Agent that answers with the outcome of one measurement, an `agents.core.agent.InContextAgent`.

    The measurement is the same in all episodes: nothing is learned in a trial. The state is `Held`.

    Args:
        effect: effect of answer 1 on all registers of an episode.
        family: task family.
        config: length of a trial.
        context: the run's device.
        line: expected return of an episode to draw in pictures; by default the exact success rate of the effect.
        label: name in pictures.
    """

    def __init__(
        self,
        effect: Operator,
        family: QuantumMemory,
        config: TrialConfig,
        context: BuildContext,
        *,
        label: str,
        line: float | None = None,
    ) -> None:
        self.space, self.device, self.label = family.registers, context.device, label
        self.trial_episodes = config.episodes
        self.effects = torch.from_numpy(effect[None]).to(self.device)
        self.line = success_rate(effect, mean_states(family)) if line is None else line

    @property
    def expected_returns(self) -> list[float]:
        """Expected return of each episode of a trial, over all tasks."""
        return [self.line] * self.trial_episodes

    def begin(self, n_tasks: int, n_envs: int) -> Held:
        """Return the state without registers."""
        return no_registers(self.space, n_tasks, n_envs, self.device)

    def act(self, state: Held, observation: Tensor, generator: torch.Generator) -> tuple[Int[Tensor, "task env"], Held]:
        """Keep what arrives; with the last register, measure all of them. Earlier actions do not count: fair coins."""
        held = hold(self.space, state, observation)
        last = last_arrives(self.space, observation)
        coin = torch.randint(2, last.shape, generator=generator, device=last.device)
        if not bool(last.any()):
            return coin, held
        return torch.where(last, measure(self.effects, joint_state(held), generator), coin), held

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(self, state: Held, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Held:
        """Return the state unchanged: nothing is learned from rewards."""
        return state

    def adapt(self, state: Held, rollout: Rollout) -> Held:
        """Return the state unchanged."""
        return state
