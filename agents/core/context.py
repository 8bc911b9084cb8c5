"""Build context of agents: the task family and the policy network of the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import gymnasium
import numpy as np
import torch

from agents.core.agent import Agent, Learner, NetworkAgent, missing_members
from agents.core.given import ReadyAgent
from agents.core.shard import WHOLE, Shard, Sharded
from agents.core.spec import Spec
from envs import TaskDistribution
from envs.core.check import actions, valid_actions
from qrl.backends.backend import Backend, Execution, executions, run_on
from qrl.circuits.registers import Registers
from qrl.common.errors import TrainingError, UsageError, wrap_errors
from qrl.common.options import DataclassInstance
from qrl.noise.model import Noise
from qrl.policies.actor import PolicyConfig
from qrl.policies.coherent import CoherentPolicy, make_coherent_policy
from qrl.policies.kinds import EpisodePolicy, TrialPolicy
from qrl.policies.policy import Policy, make_policy
from qrl.policies.recurrent import make_recurrent_policy
from qrl.policies.summary import PolicySummary
from qrl.simulator.program import check_noisy_wires

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True)
class FeatureNetwork:
    """Feature network of the run, for agents that build a custom network around it."""

    model: object
    """Model, by name or as an object."""
    model_config: DataclassInstance | None
    seed: int
    """Seed of the initial weights."""
    on_backend: Callable[[torch.nn.Module], torch.nn.Module]
    """Function that moves a network to the run's device, and its circuits to the run's backend."""


@dataclass(frozen=True)
class BuildContext:
    """Argument of an agent's `build(config, context)`."""

    distribution: TaskDistribution
    """Task family of the run; only references that are specific to one family inspect it."""
    device: torch.device
    make_policy: Callable[[], Policy]
    """Function that builds the run's policy network on the device. An agent without a network does not call it."""
    make_recurrent_policy: Callable[..., TrialPolicy]
    """Function that builds the run's policy network with a memory; its arguments are the options of
    `qrl.policies.recurrent.make_recurrent_policy`, and `attempt`: 0, or the number of a further initialisation."""
    network: FeatureNetwork | None = None
    """Feature network, for an agent that builds a custom network around it."""
    make_register_policy: Callable[[], CoherentPolicy] | None = None
    """Function that builds the run's policy network if observations are registers of qubits; None if they are numbers.
    """
    shard: Shard = WHOLE
    """Part of the training that the agent is; see `agents.core.shard`."""

    def make_episode_policy(self) -> EpisodePolicy:
        """Build the run's policy network, for agents that can also use one on registers of qubits."""
        return self.make_policy() if self.make_register_policy is None else self.make_register_policy()

    @property
    def observation_space(self) -> gymnasium.Space[object]:
        """Observation space of a single environment."""
        return self.distribution.observation_space

    @property
    def action_space(self) -> gymnasium.Space[object]:
        """Action space of a single environment."""
        return self.distribution.action_space

    @property
    def horizon(self) -> int:
        """Maximum length of an episode [steps]."""
        return self.distribution.horizon


def refuse_masks(agent: str, context: BuildContext) -> None:
    """Raise UsageError for an agent that ignores masks in a family whose invalid actions fail."""
    if context.distribution.invalid_actions_fail:
        raise UsageError(
            f"agent {agent} takes no action masks, which {context.distribution.name} has; use an agent that does, such "
            "as maml, rl2, reinforce or random"
        )


def seed_sequences(seed: int) -> dict[str, np.random.SeedSequence]:
    """Spawn an independent random stream for each purpose from the run's seed."""
    purposes = ("parameters", "tasks", "environment", "actions", "shots")
    return dict(zip(purposes, np.random.SeedSequence(seed).spawn(len(purposes)), strict=True))


def torch_generator(sequence: np.random.SeedSequence, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator seeded from a stream."""
    return torch.Generator(device).manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def backend_of(spec: Spec) -> Backend:
    """Return the backend of a spec's circuits. Raises UsageError for an invalid one."""
    noise = Noise.parse(spec.noise)
    return Backend(spec.objects.get("backend", spec.backend), spec.shots, noise)


def find_execution(agent: object) -> Execution | None:
    """Return the execution of the agent's circuits, or None without circuits.

    If there are several executions, return the first one; all of them share its generator and counter.
    """
    return next(iter(executions(agent.policy)), None) if isinstance(agent, NetworkAgent) else None


def policy_summary(spec: Spec, agent: object) -> PolicySummary | None:
    """Return the summary of the agent's policy network, or None without a network."""
    return PolicySummary.of(agent.policy, backend_of(spec)) if isinstance(agent, NetworkAgent) else None


def seed_shots(agent: object, sequence: np.random.SeedSequence) -> None:
    """Draw the shots of the agent's circuits from this random stream from now on."""
    if (execution := find_execution(agent)) is not None:
        generator = execution.generator
        generator.set_state(torch_generator(sequence, generator.device).get_state())


def check_device(name: str) -> None:
    """Raise UsageError, naming the devices that exist, unless torch finds the device: cpu, cuda or cuda:N."""
    if name == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise UsageError(f"--device {name}: torch finds no CUDA device here; use cpu")
    if (torch.device(name).index or 0) >= count:
        found = ", ".join(f"cuda:{index}" for index in range(count))
        raise UsageError(f"--device {name}: torch finds {count} CUDA device{'s' * (count > 1)} here: {found}")


def build(spec: Spec, shard: Shard = WHOLE) -> tuple[TaskDistribution, Agent[object]]:
    """Build the task distribution and the agent of a spec, or of one shard of its training.

    Raises UsageError for an unavailable device and for incompatible plug-ins.
    """
    check_device(spec.device)
    if spec.threads:
        torch.set_num_threads(spec.threads)
    distribution = _build_distribution(spec)
    return distribution, build_agent(spec, distribution, backend_of(spec), shard)


def build_agent(spec: Spec, distribution: TaskDistribution, backend: Backend, shard: Shard = WHOLE) -> Agent[object]:
    """Build the agent of a spec, or of one shard of its training, with its circuits on a backend.

    Raises UsageError for incompatible plug-ins, for a backend other than the exact one if the agent has no circuits,
    and for several shards if the agent cannot be split.
    """
    context = _context(spec, distribution, backend, shard)
    plugin = spec.plugin("agent")
    if isinstance(plugin, ReadyAgent) and backend != Backend():
        raise UsageError(f"agent {spec.agent!r} is built already: its circuits keep their backend, shots and noise")
    with wrap_errors(f"agent {spec.agent!r}"):
        agent = plugin.build(spec.agent_config, context)
    missing = missing_members(agent, Learner if "update" in dir(agent) else Agent)
    if missing:
        raise UsageError(f"agent {spec.agent!r}: {type(agent).__name__} has no {', '.join(missing)}")
    assert isinstance(agent, Agent)
    if spec.shards > 1 and not (isinstance(agent, Sharded) and agent.shard is shard):
        raise UsageError(f"agent {spec.agent!r} cannot be trained in shards; leave out shards {spec.shards}")
    return agent


@runtime_checkable
class _HasWires(Protocol):
    """Options of a model with a number of wires."""

    n_wires: int


_OPTIONS_ON_NUMBERS = {
    "shared": "memories shared",
    "use_previous_observation": "previous_observation",
    "bilinear": "readout bilinear",
}
"""Options of agents, by argument of `make_recurrent_policy`, that policies on registers do not have."""


def _context(spec: Spec, distribution: TaskDistribution, backend: Backend, shard: Shard) -> BuildContext:
    if backend.name == "torch" and isinstance(spec.model_config, _HasWires):
        check_noisy_wires(spec.model_config.n_wires, backend.noise)  # before the exact circuit is built, which is slow
    device = torch.device(spec.device)
    spaces = (distribution.observation_space, distribution.action_space)
    shots = torch_generator(seed_sequences(spec.seed)["shots"], device)

    def on_backend(network: M) -> M:
        run_on(network, backend, shots)
        return network.to(device)

    def generator(attempt: int = 0) -> torch.Generator:
        first = seed_sequences(spec.seed)["parameters"]
        return torch_generator(first if attempt == 0 else first.spawn(attempt)[-1])

    model, head = spec.objects.get("model", spec.model), spec.policy
    assert head is None or isinstance(head, PolicyConfig)

    registers = spaces[0] if isinstance(spaces[0], Registers) else None

    def coherent(trial_steps: int = 0, attempt: int = 0, predict_reward: bool = False) -> CoherentPolicy:
        assert registers is not None
        return on_backend(
            make_coherent_policy(
                model,
                spec.model_config,
                registers,
                spaces[1],
                config=head,
                trial_steps=trial_steps,
                predict_reward=predict_reward,
                generator=generator(attempt),
            )
        )

    def policy() -> Policy:
        return on_backend(
            make_policy(
                model,
                spec.model_config,
                *spaces,
                observation_scale=distribution.observation_scale,
                invalid_action_slice=distribution.invalid_action_slice,
                config=head,
                generator=generator(),
            )
        )

    def recurrent(attempt: int = 0, **wiring: bool | int) -> TrialPolicy:
        if registers is not None:
            understood = ("trial_steps", "predict_reward")
            if refused := [name for name, value in wiring.items() if name not in understood and value]:
                option = _OPTIONS_ON_NUMBERS.get(refused[0], refused[0])
                raise UsageError(f"{option} has no effect on a policy that acts on registers of qubits; leave it out")
            return coherent(int(wiring["trial_steps"]), attempt, bool(wiring.get("predict_reward", False)))
        return on_backend(
            make_recurrent_policy(
                model,
                spec.model_config,
                *spaces,
                observation_scale=distribution.observation_scale,
                invalid_action_slice=distribution.invalid_action_slice,
                config=head,
                generator=generator(attempt),
                **wiring,  # type: ignore[arg-type]
            )
        )

    seed = int(seed_sequences(spec.seed)["parameters"].generate_state(1)[0])
    network = FeatureNetwork(model, spec.model_config, seed, on_backend)
    on_registers = None if registers is None else coherent
    return BuildContext(distribution, device, policy, recurrent, network, on_registers, shard)


def _build_distribution(spec: Spec) -> TaskDistribution:
    """Build the task distribution and take one step in it, so that an error shows before training.

    Raises UsageError, also for an observation, reward or termination of the wrong shape.
    """
    try:
        with wrap_errors(f"env {spec.env!r}"):
            distribution = spec.plugin("env").build(spec.env_config)
            if not isinstance(distribution, TaskDistribution):
                raise UsageError(f"build returned {type(distribution).__name__}, not an envs.TaskDistribution")
            env = distribution.vectorise(1, 2)
            observation, _ = env.reset(seed=0)
            results = env.step(valid_actions(env, actions(env, 1)[0], observation))
            env.close()
    except (UsageError, TrainingError) as error:
        named = str(error).startswith((f"{spec.env}:", f"env {spec.env!r}"))
        raise UsageError(str(error) if named else f"env {spec.env!r}: {error}") from error
    expected = {"observation": (2, *(distribution.observation_space.shape or ())), "reward": (2,), "terminated": (2,)}
    found = dict(zip(expected, (observation, *results[1:3]), strict=True))
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise UsageError(f"env {spec.env!r}: {name} of 2 lanes has shape {tuple(found[name].shape)}, not {shape}")
    return distribution
