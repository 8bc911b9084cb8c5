"""What an agent is built from: the spaces of its tasks and the policy network of the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch

from agents.core.spec import Spec, load_plugin
from envs import TaskDistribution
from qrl.backends.backend import Backend, Execution, executions, run_on
from qrl.common.errors import UsageError, describe
from qrl.noise.model import Noise
from qrl.policies.policy import Policy, make_policy
from qrl.policies.recurrent import RecurrentPolicy, make_recurrent_policy

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True)
class FeatureNetwork:
    """What it takes to make one."""

    model: str
    model_config: Any
    seed: int
    """Its first weights are drawn from this."""
    on_backend: Callable[[torch.nn.Module], torch.nn.Module]
    """Puts it on the run's device, and its circuits on the run's backend."""


@dataclass(frozen=True)
class BuildContext:
    """Handed to an agent's `build(config, context)`."""

    distribution: TaskDistribution
    """The family of tasks; only references that know the rules of one look into it."""
    device: torch.device
    make_policy: Callable[[], Policy]
    """Builds the run's policy network, on the device. An agent without one does not call it."""
    make_recurrent_policy: Callable[..., RecurrentPolicy]
    """The same with a memory; `trial_steps`, `shared`, `use_previous_observation`, `predict_reward` and `bilinear` as
    in `qrl.policies.recurrent`."""
    network: FeatureNetwork | None = None
    """For an agent that makes a network of its own around the features of the run's model."""

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """Of one environment."""
        return self.distribution.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """Of one environment."""
        return self.distribution.action_space

    @property
    def horizon(self) -> int:
        """Longest episode [steps]."""
        return self.distribution.horizon


def seed_sequences(seed: int) -> dict[str, np.random.SeedSequence]:
    """One independent stream of random numbers a purpose, all from the run's seed."""
    purposes = ("parameters", "tasks", "environment", "actions", "shots")
    return dict(zip(purposes, np.random.SeedSequence(seed).spawn(len(purposes)), strict=True))


def torch_generator(sequence: np.random.SeedSequence, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded from a stream."""
    return torch.Generator(device).manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def backend_of(spec: Spec) -> Backend:
    """Where a spec has its circuits run. Raises UsageError for what cannot be."""
    return Backend(spec.backend, spec.shots, Noise.parse(spec.noise))


def set_backend(agent: Any, backend: Backend, device: str) -> None:
    """Have an agent's circuits run on a backend. Raises UsageError if it has none and they should not run exactly."""
    run_on(getattr(agent, "policy", torch.nn.Module()), backend, torch.Generator(device))


def find_execution(agent: Any) -> Execution | None:
    """What runs the agent's circuits, if it has any: of several the first, with the generator and counter of all."""
    return next(iter(executions(agent.policy)), None) if hasattr(agent, "policy") else None


def seed_shots(agent: Any, sequence: np.random.SeedSequence) -> None:
    """Have the shots of its circuits drawn from a stream of their own from now on."""
    if (execution := find_execution(agent)) is not None:
        generator = execution.generator
        generator.set_state(torch_generator(sequence, generator.device).get_state())


def build(spec: Spec) -> tuple[Any, Any]:
    """The task distribution and the agent of a spec.

    Raises UsageError for a device that is not there and for parts that do not fit each other.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use cpu")
    if spec.threads:
        torch.set_num_threads(spec.threads)
    device = torch.device(spec.device)
    distribution = _distribution(spec)

    spaces = (distribution.observation_space, distribution.action_space)
    backend = backend_of(spec)
    shots = torch_generator(seed_sequences(spec.seed)["shots"], device)

    def on_backend(policy: M) -> M:
        run_on(policy, backend, shots)
        return policy.to(device)

    def options() -> dict[str, Any]:
        generator = torch_generator(seed_sequences(spec.seed)["parameters"])
        return {
            "observation_scale": distribution.observation_scale,
            "unavailable": distribution.unavailable,
            "config": spec.policy,
            "generator": generator,
        }

    def policy() -> Policy:
        return on_backend(make_policy(spec.model, spec.model_config, *spaces, **options()))

    def recurrent(**wiring: Any) -> RecurrentPolicy:
        return on_backend(make_recurrent_policy(spec.model, spec.model_config, *spaces, **(options() | wiring)))

    seed = int(seed_sequences(spec.seed)["parameters"].generate_state(1)[0])
    network = FeatureNetwork(spec.model, spec.model_config, seed, on_backend)
    return distribution, _agent(spec, BuildContext(distribution, device, policy, recurrent, network))


LEARNER = ("update", "n_tasks", "n_envs", "n_rollouts", "state_dict", "load_state_dict")
"""What an agent with an outer step has besides an adapter's methods."""


def _distribution(spec: Spec) -> TaskDistribution:
    """Built, and tried out for one step, so that a misfit shows before anything is done."""
    try:
        distribution = load_plugin("env", spec.env).build(spec.env_config)
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
    except Exception as error:  # an environment may be anybody's code; what it raises is a defect of its file
        raise UsageError(f"env {spec.env!r}: {describe(error)}") from error
    expected = {"observation": (2, *(distribution.observation_space.shape or ())), "reward": (2,), "terminated": (2,)}
    found = dict(zip(expected, (observation, *results[1:3]), strict=True))
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise UsageError(f"env {spec.env!r}: {name} of 2 lanes has shape {tuple(found[name].shape)}, not {shape}")
    return distribution


def _agent(spec: Spec, context: BuildContext) -> Any:
    """Built, with all that training or evaluation will ask for."""
    try:
        agent = load_plugin("agent", spec.agent).build(spec.agent_config, context)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # an agent may be anybody's code; what it raises is a defect of its file
        raise UsageError(f"agent {spec.agent!r}: {describe(error)}") from error
    wanted = ("begin", "act", "to_environment", "adapt", *(LEARNER if hasattr(agent, "update") else ()))
    missing = [name for name in wanted if not hasattr(agent, name)]
    if missing:
        raise UsageError(f"agent {spec.agent!r}: {type(agent).__name__} has no {', '.join(missing)}")
    return agent
