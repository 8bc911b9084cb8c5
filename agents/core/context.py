"""What an agent is built from: the family of tasks and the policy network of the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import gymnasium
import numpy as np
import torch

from agents.core.agent import Agent, Learner, NetworkAgent, missing_members
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from envs import TaskDistribution
from envs.core.registry import ENVS
from qrl.backends.backend import Backend, Execution, executions, run_on
from qrl.common.errors import UsageError, describe
from qrl.noise.model import Noise
from qrl.policies.policy import Policy, make_policy
from qrl.policies.recurrent import RecurrentPolicy, make_recurrent_policy

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True)
class FeatureNetwork:
    """What an agent needs that builds a network of its own around the features of the run's model."""

    model: str
    model_config: "DataclassInstance"
    seed: int
    """Seed of its initial weights."""
    on_backend: Callable[[torch.nn.Module], torch.nn.Module]
    """Moves it to the run's device, and its circuits to the run's backend."""


@dataclass(frozen=True)
class BuildContext:
    """Handed to an agent's `build(config, context)`."""

    distribution: TaskDistribution
    """The family of tasks; only references that know the rules of one look into it."""
    device: torch.device
    make_policy: Callable[[], Policy]
    """Build the run's policy network, on the device. An agent without one does not call it."""
    make_recurrent_policy: Callable[..., RecurrentPolicy]
    """The same with a memory; the arguments are the wiring of `qrl.policies.recurrent`."""
    network: FeatureNetwork | None = None
    """For an agent that builds a network of its own."""

    @property
    def observation_space(self) -> gymnasium.Space[object]:
        """Of one environment."""
        return self.distribution.observation_space

    @property
    def action_space(self) -> gymnasium.Space[object]:
        """Of one environment."""
        return self.distribution.action_space

    @property
    def horizon(self) -> int:
        """Longest episode [steps]."""
        return self.distribution.horizon


def seed_sequences(seed: int) -> dict[str, np.random.SeedSequence]:
    """Spawn one independent stream of random numbers per purpose from the run's seed."""
    purposes = ("parameters", "tasks", "environment", "actions", "shots")
    return dict(zip(purposes, np.random.SeedSequence(seed).spawn(len(purposes)), strict=True))


def torch_generator(sequence: np.random.SeedSequence, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator seeded from a stream."""
    return torch.Generator(device).manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def backend_of(spec: Spec) -> Backend:
    """Return the backend of a spec's circuits. Raises UsageError for one that cannot be."""
    return Backend(spec.backend, spec.shots, Noise.parse(spec.noise))


def find_execution(agent: object) -> Execution | None:
    """Return what runs the agent's circuits: of several the first, with the generator and counter of all."""
    return next(iter(executions(agent.policy)), None) if isinstance(agent, NetworkAgent) else None


def seed_shots(agent: object, sequence: np.random.SeedSequence) -> None:
    """Draw the shots of the agent's circuits from a stream of their own from now on."""
    if (execution := find_execution(agent)) is not None:
        generator = execution.generator
        generator.set_state(torch_generator(sequence, generator.device).get_state())


def build(spec: Spec) -> tuple[TaskDistribution, Agent[object]]:
    """Build the task distribution and the agent of a spec.

    Raises UsageError for a device that is not there and for parts that do not fit each other.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use cpu")
    if spec.threads:
        torch.set_num_threads(spec.threads)
    distribution = _build_distribution(spec)
    return distribution, build_agent(spec, distribution, backend_of(spec))


def build_agent(spec: Spec, distribution: TaskDistribution, backend: Backend) -> Agent[object]:
    """Build the agent of a spec, with its circuits on a backend.

    Raises UsageError for parts that do not fit each other, and for a backend other than the exact one if the agent has
    no circuits.
    """
    context = _context(spec, distribution, backend)
    try:
        agent = AGENTS.load(spec.agent).build(spec.agent_config, context)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # an agent may be third-party code; what it raises is a defect of its file
        raise UsageError(f"agent {spec.agent!r}: {describe(error)}") from error
    missing = missing_members(agent, Learner if "update" in dir(agent) else Agent)
    if missing:
        raise UsageError(f"agent {spec.agent!r}: {type(agent).__name__} has no {', '.join(missing)}")
    built: Agent[object] = agent
    return built


def _context(spec: Spec, distribution: TaskDistribution, backend: Backend) -> BuildContext:
    device = torch.device(spec.device)
    spaces = (distribution.observation_space, distribution.action_space)
    shots = torch_generator(seed_sequences(spec.seed)["shots"], device)

    def on_backend(network: M) -> M:
        run_on(network, backend, shots)
        return network.to(device)

    def generator() -> torch.Generator:
        return torch_generator(seed_sequences(spec.seed)["parameters"])

    def policy() -> Policy:
        return on_backend(
            make_policy(
                spec.model,
                spec.model_config,
                *spaces,
                observation_scale=distribution.observation_scale,
                unavailable=distribution.unavailable,
                config=spec.policy,
                generator=generator(),
            )
        )

    def recurrent(**wiring: bool | int) -> RecurrentPolicy:
        return on_backend(
            make_recurrent_policy(
                spec.model,
                spec.model_config,
                *spaces,
                observation_scale=distribution.observation_scale,
                unavailable=distribution.unavailable,
                config=spec.policy,
                generator=generator(),
                **wiring,  # type: ignore[arg-type]
            )
        )

    seed = int(seed_sequences(spec.seed)["parameters"].generate_state(1)[0])
    network = FeatureNetwork(spec.model, spec.model_config, seed, on_backend)
    return BuildContext(distribution, device, policy, recurrent, network)


def _build_distribution(spec: Spec) -> TaskDistribution:
    """Build the task distribution and try it out for one step, so that a misfit shows before anything is done."""
    try:
        distribution = ENVS.load(spec.env).build(spec.env_config)
        if not isinstance(distribution, TaskDistribution):
            raise UsageError(f"build returned {type(distribution).__name__}, not an envs.TaskDistribution")
        env = distribution.vectorise(1, 2)
        observation, _ = env.reset(seed=0)
        env.action_space.seed(0)
        results = env.step(torch.as_tensor(env.action_space.sample()))
    except UsageError as error:
        named = str(error).startswith(f"{spec.env}:")
        raise UsageError(str(error) if named else f"env {spec.env!r}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # an environment may be third-party code; what it raises is a defect of its file
        raise UsageError(f"env {spec.env!r}: {describe(error)}") from error
    expected = {"observation": (2, *(distribution.observation_space.shape or ())), "reward": (2,), "terminated": (2,)}
    found = dict(zip(expected, (observation, *results[1:3]), strict=True))
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise UsageError(f"env {spec.env!r}: {name} of 2 lanes has shape {tuple(found[name].shape)}, not {shape}")
    return distribution
