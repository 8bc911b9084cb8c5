"""Specification of a run: one value that defines the run completely and can be saved and rerun."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from agents.core.registry import AGENTS
from agents.core.values import check_finite, from_plain, to_plain
from envs.core.registry import ENVS
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, suggest
from qrl.common.files import from_json as read_json
from qrl.common.files import path_error
from qrl.common.registry import Plugin, Registry
from qrl.models import MODELS

if TYPE_CHECKING:
    from qrl.policies.actor import PolicyConfig

DEFAULT_NAMES = {"env": "navigation", "agent": "maml", "model": "reuploading"}

LARGEST_EPISODES = 100_000
"""Maximum number of episodes, or trials, per task in an evaluation; all of them run in parallel."""

LARGEST_ITERATIONS = 10_000_000
"""Upper bound on the number of iterations; larger values are rejected as typos."""

REGISTRIES: Mapping[str, Registry[object]] = {"env": ENVS, "agent": AGENTS, "model": MODELS}
"""Registry of each role."""


@runtime_checkable
class TunedPlugin(Protocol):
    """Plug-in whose default options depend on the environment."""

    def defaults(self, env_name: str) -> object:
        """Return the plug-in's default Config for an environment."""


@runtime_checkable
class ModelChooser(Protocol):
    """Plug-in of an agent with its own default model, `MODEL`."""

    MODEL: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Specification of a run. Equal specs give equal runs on the same machine with the same number of threads.

    Raises:
        UsageError: a count is not positive, the seed is negative, a number is not finite, or the device is unknown.
    """

    env: str = DEFAULT_NAMES["env"]
    """Task family: a name that `run.py list` shows, a file, or module:attribute."""

    env_config: Any = None
    """Options of the environment, an instance of its Config."""

    agent: str = DEFAULT_NAMES["agent"]
    """Agent: a name that `run.py list` shows, a file, or module:attribute."""

    agent_config: Any = None
    """Options of the agent, an instance of its Config."""

    model: str = DEFAULT_NAMES["model"]
    """Model of the policy network: a name that `run.py list` shows, a file, or module:attribute."""

    model_config: Any = None
    """Options of the model, an instance of its Config."""

    policy: Any = None
    """Options of the policy head, a PolicyConfig."""

    backend: str = "torch"
    """Backend of the circuits: torch, the fused simulator, or pennylane:DEVICE with options after commas, such as
    pennylane:lightning.qubit or pennylane:default.qubit,gradient=spsa."""

    shots: int = 0
    """Shots of each circuit in each measurement basis [shots]; 0: exact expectation values."""

    noise: tuple[str, ...] = ()
    """Noise model, such as depolarizing=0.01 readout=0.02: kinds and strengths of `qrl.noise.model.Noise`, after each
    gate or, with after=layer, after each layer of gates on all wires; and calibration=FILE.json, the calibration of a
    device (docs/backends.md), which is saved with the run. May be given more than once."""

    seed: int = 0
    """Seed of all random streams in training. Test tasks do not depend on it."""

    iterations: int = 60
    """Length of training [meta-iterations]."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Torch device of all tensors."""

    threads: int = 0
    """CPU threads of torch [threads]; 0: torch's default."""

    checkpoint_every: int = 10
    """Checkpoint interval [meta-iterations]."""

    eval_tasks: int = 100
    """Evaluation at the end of training: test tasks [tasks]."""

    eval_steps: int = 3
    """Evaluation at the end of training: adaptation [gradient steps]."""

    eval_episodes: int = 40
    """Evaluation at the end of training: episodes per task and gradient step [episodes]; for an in-context agent,
    trials per task [trials]."""

    def __post_init__(self) -> None:
        check_count("iterations", self.iterations, most=LARGEST_ITERATIONS)
        check_count("checkpoint-every", self.checkpoint_every)
        check_count("eval-steps", self.eval_steps)
        check_count("eval-episodes", self.eval_episodes, most=LARGEST_EPISODES)
        check_count("eval-tasks", self.eval_tasks, least=2)  # an interval over tasks needs two
        check_seed("seed", self.seed)
        check_count("threads", self.threads, least=0)
        check_count("shots", self.shots, least=0)
        if self.device not in ("cpu", "cuda"):
            raise UsageError(f"unknown device {self.device!r}{suggest(self.device, ('cpu', 'cuda'))}")
        check_finite(self, "")

    @classmethod
    def default(cls, env: str = "", agent: str = "", model: str = "", **fields: Any) -> "Spec":
        """Return the spec of three plug-ins with their default options, which may depend on the environment.

        Args:
            env: name of the environment; by default the one in `DEFAULT_NAMES`.
            agent: name of the agent; by default the one in `DEFAULT_NAMES`.
            model: name of the model; by default the agent's own default model, else the one in `DEFAULT_NAMES`.
            fields: values of other fields.

        Raises:
            UsageError: a name or a value is invalid.
        """
        given = {role: name for role, name in (("env", env), ("agent", agent), ("model", model)) if name}
        names = plugin_names(given)
        _check_keys(fields)
        configs: dict[str, object] = {
            f"{role}_config": default_config(REGISTRIES[role].load(name), names["env"]) for role, name in names.items()
        }
        configs["policy"] = policy_config()()
        return cls(**{**names, **configs, **fields})

    def to_json(self) -> dict[str, object]:
        """Return this spec as a JSON object; `from_json` is the inverse."""
        return to_plain(self)

    @classmethod
    def from_json(cls, data: object, where: str = "configuration") -> "Spec":
        """Return the spec of a JSON object. Missing fields keep their defaults.

        Args:
            data: parsed JSON.
            where: name of the data in error messages, such as the name of the file.

        Raises:
            UsageError: an unknown key (a near match is suggested), a value of the wrong type, not finite or out of
                range, or a plug-in that is unknown or not installed.
        """
        if not isinstance(data, Mapping):
            raise UsageError(f"{where}: expected a JSON object")
        _check_keys(data, where)
        given = dict(data)
        for role in DEFAULT_NAMES:
            if not isinstance(given.get(role, ""), str):
                raise UsageError(f"{where}.{role}: expected a name, found {given[role]!r}")
        given |= (names := plugin_names(given))
        for role, name in names.items():
            plugin = REGISTRIES[role].load(name)
            key = f"{role}_config"
            if given.get(key) is None:
                given[key] = default_config(plugin, names["env"])
            else:
                given[key] = from_plain(plugin.Config, given[key], f"{where}.{key}")
        policy = policy_config()
        given["policy"] = (
            policy() if given.get("policy") is None else from_plain(policy, given["policy"], f"{where}.policy")
        )
        return from_plain(cls, given, where)


def read_spec(path: Path) -> dict[str, object]:
    """Read the JSON object of a spec from a run folder, its `config.json`, or a file with a bare spec.

    Field names are checked, values are not.

    Raises:
        UsageError: the file cannot be read, holds no JSON object, or has an unknown field.
    """
    try:
        file = path / "config.json" if path.is_dir() else path
    except OSError as error:
        raise path_error(path, error) from error
    data = read_json(file)
    spec = data.get("spec", data) if isinstance(data, dict) else data
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: no configuration of a run: expected a JSON object")
    _check_keys(spec, str(file))
    return spec


def plugin_names(given: Mapping[str, object]) -> dict[str, str]:
    """Return the names of env, agent and model: the given ones, else the defaults.

    An agent's plug-in may define its own default model, `MODEL`.

    Raises:
        UsageError: the agent cannot be loaded.
    """
    names = DEFAULT_NAMES | {role: str(given[role]) for role in DEFAULT_NAMES if role in given}
    if "model" not in given:
        agent = AGENTS.load(names["agent"])
        names["model"] = agent.MODEL if isinstance(agent, ModelChooser) else names["model"]
    return names


def default_config(plugin: Plugin[object], env_name: str) -> object:
    """Return a plug-in's default Config: `defaults(env_name)` if the plug-in has this function, else `Config()`.

    Raises:
        UsageError: the plug-in's Config has fields without defaults.
    """
    if isinstance(plugin, TunedPlugin):
        return plugin.defaults(env_name)
    required = [
        field.name
        for field in dataclasses.fields(plugin.Config)
        if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if required:
        name = getattr(plugin, "__name__", repr(plugin))
        raise UsageError(f"{name}: every field of Config needs a default; {required[0]} has none")
    return plugin.Config()


def policy_config() -> "type[PolicyConfig]":
    """Return the dataclass of the policy head's options. The import is local because it imports torch."""
    from qrl.policies.actor import PolicyConfig

    return PolicyConfig


def check_seed(name: str, value: object) -> None:
    """Check a seed given by the user.

    Raises:
        UsageError: the seed is not an integer in [0, 2**63), the range that every generator accepts.
    """
    check_count(name, value, least=0)
    if isinstance(value, int) and value >= 2**63:
        raise UsageError(f"{name} must be less than 2**63, is {value}")


def _check_keys(data: Mapping[str, object], where: str = "configuration") -> None:
    known = [field.name for field in dataclasses.fields(Spec)]
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown option {key!r}{suggest(str(key), known)}")
