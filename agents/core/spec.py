"""Everything that defines a run, as one value that can be saved and rerun."""

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
from qrl.common.files import unusable
from qrl.common.registry import Plugin, Registry
from qrl.models import MODELS

if TYPE_CHECKING:
    from qrl.policies.actor import PolicyConfig

DEFAULT_NAMES = {"env": "navigation", "agent": "maml", "model": "reuploading"}

LARGEST_EPISODES = 100_000
"""Episodes, or trials, of a task in an evaluation, at most: they are played side by side."""

LARGEST_ITERATIONS = 10_000_000
"""Beyond that a number of iterations is a slip of the hand."""

REGISTRIES: Mapping[str, Registry[object]] = {"env": ENVS, "agent": AGENTS, "model": MODELS}
"""The registry of each role."""


@runtime_checkable
class TunedPlugin(Protocol):
    """A plug-in whose default options depend on the environment."""

    def defaults(self, env_name: str) -> object:
        """Return its default Config for an environment."""


@runtime_checkable
class ModelChooser(Protocol):
    """An agent's plug-in that names the model it uses unless told otherwise."""

    MODEL: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that defines a run. Equal specs, on the same machine with the same threads, give equal runs.

    Raises:
        UsageError: a count is not positive, the seed is negative, a number is not finite, or the device is unknown.
    """

    env: str = DEFAULT_NAMES["env"]
    """The tasks: a name that `run.py list` shows, a file, or module:attribute."""

    env_config: Any = None
    """The environment's own options, an instance of its Config."""

    agent: str = DEFAULT_NAMES["agent"]
    """The meta-learner, named likewise."""

    agent_config: Any = None
    """The agent's own options, an instance of its Config."""

    model: str = DEFAULT_NAMES["model"]
    """The policy network, named likewise."""

    model_config: Any = None
    """The model's own options, an instance of its Config."""

    policy: Any = None
    """The policy head's options, a PolicyConfig."""

    backend: str = "torch"
    """Where circuits run: torch, the fused simulator, or pennylane:DEVICE with options after commas, such as
    pennylane:lightning.qubit or pennylane:default.qubit,gradient=spsa."""

    shots: int = 0
    """Shots of each circuit in each basis that is measured [shots]; 0: exact expectation values."""

    noise: tuple[str, ...] = ()
    """What happens on the device, such as depolarizing=0.01 readout=0.02: kinds and strengths of
    `qrl.noise.model.Noise`, after each gate or, with after=layer, after each layer of gates on all wires; and
    calibration=FILE.json, a device's (docs/backends.md), which is kept with the run. May be given more than once."""

    seed: int = 0
    """Seed of everything drawn in training. Test tasks do not depend on it."""

    iterations: int = 60
    """Length of training [meta-iterations]."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where tensors live."""

    threads: int = 0
    """CPU threads torch uses [threads]; 0 leaves it to torch."""

    checkpoint_every: int = 10
    """Checkpoint interval [meta-iterations]."""

    eval_tasks: int = 100
    """Evaluation at the end of training: test tasks [tasks]."""

    eval_steps: int = 3
    """Evaluation at the end of training: adaptation [gradient steps]."""

    eval_episodes: int = 40
    """Evaluation at the end of training: episodes per task and gradient step [episodes]; of an agent that learns in its
    memory, trials per task [trials]."""

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
        """The spec of three plug-ins with their own defaults, which may depend on the environment.

        Args:
            env: a plug-in's name; by default `DEFAULT_NAMES`.
            agent: likewise.
            model: likewise.
            fields: values of other fields.

        Raises:
            UsageError: a name or a value cannot be used.
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
        """This spec as a JSON object; `from_json` gives it back."""
        return to_plain(self)

    @classmethod
    def from_json(cls, data: object, where: str = "configuration") -> "Spec":
        """The spec of a JSON object. What is not given keeps its default.

        Args:
            data: what JSON gave.
            where: how messages call it, such as the name of the file.

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
    """The JSON object of a spec, from a run folder, its `config.json`, or a file with a bare spec. Checks no values.

    Raises:
        UsageError: the file cannot be read, or holds neither.
    """
    try:
        file = path / "config.json" if path.is_dir() else path
    except OSError as error:
        raise unusable(path, error) from error
    data = read_json(file)
    spec = data.get("spec", data) if isinstance(data, dict) else data
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: no configuration of a run: expected a JSON object")
    _check_keys(spec, str(file))
    return spec


def plugin_names(given: Mapping[str, object]) -> dict[str, str]:
    """The names of env, agent and model: those that are given, else the defaults; an agent may have a MODEL of its own.

    Raises:
        UsageError: the agent cannot be loaded.
    """
    names = DEFAULT_NAMES | {role: str(given[role]) for role in DEFAULT_NAMES if role in given}
    if "model" not in given:
        agent = AGENTS.load(names["agent"])
        names["model"] = agent.MODEL if isinstance(agent, ModelChooser) else names["model"]
    return names


def default_config(plugin: Plugin[object], env_name: str) -> object:
    """A plug-in's default Config: `defaults(env_name)` where it offers that, else `Config()`.

    Raises:
        UsageError: its Config has fields without defaults.
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
    """The dataclass of the policy head's options. Imported here because it brings torch."""
    from qrl.policies.actor import PolicyConfig

    return PolicyConfig


def check_seed(name: str, value: object) -> None:
    """Check a seed given by the user.

    Raises:
        UsageError: it is not a whole number in [0, 2**63), which every generator takes.
    """
    check_count(name, value, least=0)
    if isinstance(value, int) and value >= 2**63:
        raise UsageError(f"{name} must be less than 2**63, is {value}")


def _check_keys(data: Mapping[str, object], where: str = "configuration") -> None:
    known = [field.name for field in dataclasses.fields(Spec)]
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown option {key!r}{suggest(str(key), known)}")
