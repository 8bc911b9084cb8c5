"""Specification of a run: one value that defines the run completely and can be saved and rerun."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints, runtime_checkable

from agents.core.limits import (
    LARGEST_EPISODES,
    LARGEST_ITERATIONS,
    LARGEST_SHARDS,
    LARGEST_STEPS,
    LARGEST_TASKS,
    LARGEST_THREADS,
)
from agents.core.plain import GpuName, check_value, from_plain, init_names, inside, located, plain_value, to_plain
from agents.core.registry import DEFAULT_NAMES, REGISTRIES
from qrl.common.checks import MAX_SHOTS, check_count, check_seed, check_text
from qrl.common.errors import UsageError, suggest
from qrl.common.options import DataclassInstance
from qrl.common.registry import GIVEN, Plugin, name_of, short_name

if TYPE_CHECKING:
    from qrl.policies.actor import PolicyConfig

CONFIGS = {"env": "env_config", "agent": "agent_config", "model": "model_config", "policy": "policy"}
"""Field of the spec with the options of each role, and of the policy head."""

OBJECT_ROLES = (*DEFAULT_NAMES, "backend")
"""Roles for which Python code may give an object in place of a name."""

Given = str | object
"""Plug-in, by name or as an object."""


@runtime_checkable
class TunedPlugin(Protocol):
    """Plug-in whose default options depend on the environment."""

    def defaults(self, env_name: str) -> DataclassInstance:
        """Return the plug-in's default Config for an environment."""


@runtime_checkable
class AgentChooser(Protocol):
    """Plug-in of an environment with its own default agent and model."""

    def default_agent(self, config: object) -> tuple[str, str]:
        """Return the names of the agent and of the model that suit the environment with these options."""


@runtime_checkable
class RunChooser(Protocol):
    """Plug-in of an environment with default options of runs and agents that depend on its own options."""

    def default_run(self, config: object, agent: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
        """Return default fields of a spec, such as `iterations`, and options that replace the agent's defaults."""


@runtime_checkable
class ModelChooser(Protocol):
    """Plug-in of an agent, or of an environment for all agents, with its own default model, `MODEL`."""

    MODEL: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Specification of a run. Equal specs give equal runs on the same machine with the same number of threads.

    Raises:
        UsageError: a value has the wrong type, a count is not positive, the seed is negative, a number is not finite,
            or the device is unknown.
    """

    env: str = DEFAULT_NAMES["env"]
    """Task family: a name of `run.py list`, a Gymnasium id, a file, or module:attribute."""

    env_config: DataclassInstance | None = None
    """Options of the environment, an instance of its Config."""

    agent: str = DEFAULT_NAMES["agent"]
    """Agent: a name, a file, or module:attribute."""

    agent_config: DataclassInstance | None = None
    """Options of the agent, an instance of its Config."""

    model: str = DEFAULT_NAMES["model"]
    """Model of the policy network, likewise."""

    model_config: DataclassInstance | None = None
    """Options of the model, an instance of its Config."""

    policy: DataclassInstance | None = None
    """Options of the policy head, a PolicyConfig."""

    iterations: int = 60
    """Length of training [meta-iterations]."""

    seed: int = 0
    """Seed of training; test tasks do not depend on it."""

    backend: str = "torch"
    """Backend of the circuits: torch (fused simulator), or pennylane:DEVICE, such as pennylane:lightning.qubit."""

    shots: int = 0
    """Shots per circuit and basis [shots]; 0: exact."""

    noise: tuple[str, ...] = ()
    """Noise model, such as depolarizing=0.01 readout=0.02, or calibration=FILE.json (docs/backends.md). May be given
    more than once."""

    device: Literal["cpu", "cuda"] | GpuName = "cpu"
    """Torch device of all tensors; of several GPUs, cuda:N."""

    threads: int = 0
    """CPU threads of torch [threads]; 0: torch's default."""

    checkpoint_every: int = 10
    """Checkpoint interval [meta-iterations]."""

    shards: int = 1
    """Equal parts of the tasks of an iteration, which several processes can share [shards] (docs/scaling.md)."""

    eval_tasks: int = 100
    """Evaluation at the end of training: test tasks [tasks]."""

    eval_steps: int = 3
    """Adaptation in an evaluation [gradient steps]."""

    eval_episodes: int = 40
    """Episodes per task and gradient step of an evaluation [episodes]; in context, trials per task [trials]."""

    validate_every: int = 0
    """Validation interval [meta-iterations]; 0: none."""

    validate_tasks: int = 20
    """Tasks of a validation [tasks]."""

    patience: int = 0
    """End after N validations without improvement; 0: never."""

    objects: Mapping[str, object] = field(default_factory=dict)
    """Plug-ins and devices given as objects in Python, by role: env, agent, model, backend. Not part of the JSON form,
    where the role's name ends in "(given in Python)"."""

    def __post_init__(self) -> None:
        hints = get_type_hints(Spec)
        for name in _FIELDS:
            value = getattr(self, name)
            if name not in CONFIGS.values():
                check_value(hints[name], value, name)
            elif isinstance(value, DataclassInstance):  # The round trip detects options of a wrong type.
                from_plain(type(value), to_plain(value), name)
            elif value is not None:
                raise UsageError(f"{name}: expected the Config of a plug-in, found {value!r}")
        check_count("iterations", self.iterations, most=LARGEST_ITERATIONS)
        check_count("checkpoint-every", self.checkpoint_every, most=LARGEST_ITERATIONS)
        check_count("eval-steps", self.eval_steps, most=LARGEST_STEPS)
        check_count("eval-episodes", self.eval_episodes, most=LARGEST_EPISODES)
        check_count("eval-tasks", self.eval_tasks, least=2, most=LARGEST_TASKS)  # an interval over tasks needs two
        check_count("validate-every", self.validate_every, least=0, most=LARGEST_ITERATIONS)
        check_count("validate-tasks", self.validate_tasks, least=2, most=LARGEST_TASKS)
        check_count("patience", self.patience, least=0, most=LARGEST_ITERATIONS)
        if self.patience and not self.validate_every:
            raise UsageError(f"patience {self.patience} needs validations: give validate-every, such as 5")
        check_count("shards", self.shards, most=LARGEST_SHARDS)
        check_seed("seed", self.seed)
        check_count("threads", self.threads, least=0, most=LARGEST_THREADS)
        check_count("shots", self.shots, least=0, most=MAX_SHOTS)

    @classmethod
    def default(
        cls, env: Given | None = None, agent: Given | None = None, model: Given | None = None, **fields: object
    ) -> "Spec":
        """Return the spec of three plug-ins, by default with their own default options.

        Args:
            env: environment, by name or as an object; by default the one in `DEFAULT_NAMES`.
            agent: agent, by name or as an object; by default what suits the environment.
            model: model, by name or as an object; by default what suits the agent.
            fields: values of other fields; options of a plug-in as its Config, or as a mapping of those that differ
                from the defaults for this environment.

        Raises:
            UsageError: a name or a value is invalid.
        """
        given = {"env": env, "agent": agent, "model": model, "backend": fields.pop("backend", None)}
        given = {role: thing for role, thing in given.items() if thing is not None}
        objects = {role: thing for role, thing in given.items() if not isinstance(thing, str)}
        names = {role: name_of(thing) for role, thing in given.items()}
        return cls._of({**names, **fields}, "", objects, tuned=True)

    def plugin(self, role: str) -> Plugin[object]:
        """Return the plug-in of a role: env, agent or model.

        Raises:
            UsageError: the name is unknown, or a package is missing.
        """
        return REGISTRIES[role].load(self.objects.get(role, getattr(self, role)))

    def options(self, role: str) -> dict[str, object]:
        """Return the options of a role as plain JSON values; empty for a plug-in without options."""
        config = getattr(self, CONFIGS[role])
        return {} if config is None else to_plain(config)

    def to_json(self) -> dict[str, object]:
        """Return this spec as a JSON object; `from_json` is the inverse."""
        return {name: plain_value(getattr(self, name)) for name in _FIELDS}

    @classmethod
    def from_json(
        cls, data: object, where: str = "configuration", objects: Mapping[str, object] | None = None
    ) -> "Spec":
        """Return the spec of a JSON object.

        Missing fields keep their defaults; missing options of a plug-in, those of its Config.

        Args:
            data: parsed JSON.
            where: name of the data in error messages, such as the name of the file.
            objects: objects of the roles whose names end in "(given in Python)", by role.

        Raises:
            UsageError: an unknown key (a near match is suggested), a value of the wrong type, not finite or out of
                range, a plug-in that is unknown or not installed, or a missing object.
        """
        if not isinstance(data, Mapping):
            raise UsageError(located(where, "expected a JSON object"))
        return cls._of(data, where, objects or {}, tuned=False)

    @classmethod
    def _of(cls, data: Mapping[str, object], where: str, objects: Mapping[str, object], *, tuned: bool) -> "Spec":
        """Return a spec; with `tuned`, missing options of a plug-in are the defaults for the environment."""
        check_keys(data, where)
        given: dict[str, Any] = dict(data)
        check_names(given, where, objects)
        chosen = _Chosen(given, objects, where, tuned=tuned)
        env = chosen.add("env", DEFAULT_NAMES["env"])
        agent_name, model_name = DEFAULT_NAMES["agent"], DEFAULT_NAMES["model"]
        if isinstance(env, AgentChooser):
            agent_name, suited = env.default_agent(given["env_config"])
            model_name = suited if given.get("agent", agent_name) == agent_name else model_name
        own = chosen.own_options("agent")
        agent = chosen.add("agent", agent_name)
        if isinstance(agent, ModelChooser) and given["agent"] != agent_name:
            model_name = agent.MODEL
        if isinstance(env, ModelChooser):
            model_name = env.MODEL
        if isinstance(env, RunChooser):
            fields, options = env.default_run(given["env_config"], str(given["agent"]))
            given = {**fields, **given}
            chosen.given = given
            missing = {} if own is None else {name: value for name, value in options.items() if name not in own}
            if missing:
                given["agent_config"] = dataclasses.replace(given["agent_config"], **missing)
        chosen.add("model", model_name)
        policy = policy_config()
        head = given.get("policy")
        given["policy"] = policy() if head is None else from_plain(policy, head, inside(where, "policy"))
        return dataclasses.replace(from_plain(cls, given, where), objects=objects)


class _Chosen:
    """Choice of the plug-ins of a spec: names and options are completed in `given`."""

    def __init__(self, given: dict[str, object], objects: Mapping[str, object], where: str, *, tuned: bool) -> None:
        self.given, self.objects, self.where, self.tuned = given, objects, where, tuned

    def own_options(self, role: str) -> Collection[str] | None:
        """Return the names of the options given for a role, if others keep the environment's defaults; else None."""
        options = self.given.get(f"{role}_config")
        if options is None:
            return ()
        return list(map(str, options)) if self.tuned and isinstance(options, Mapping) else None

    def add(self, role: str, default: str) -> Plugin[object]:
        """Complete the name and the options of a role; return its plug-in."""
        name = REGISTRIES[role].canonical(str(self.given.get(role, default)))
        self.given[role] = name
        plugin = REGISTRIES[role].load(self.objects.get(role, name))
        key = f"{role}_config"
        options = self.given.get(key)
        if options is None:
            self.given[key] = default_config(plugin, str(self.given["env"]))
        else:
            if self.tuned and isinstance(options, Mapping) and isinstance(plugin, TunedPlugin):
                options = {**to_plain(plugin.defaults(str(self.given["env"]))), **options}
            self.given[key] = from_plain(plugin.Config, options, inside(self.where, key))
        return plugin


_FIELDS = [name for name in init_names(Spec) if name != "objects"]
"""Fields of the JSON form."""


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


def default_out(spec: Spec) -> Path:
    """Return the default run folder: runs/<env>-<agent>-<model>-seed<seed>."""
    names = [short_name(name) for name in (spec.env, spec.agent, spec.model)]
    return Path("runs", f"{'-'.join(names)}-seed{spec.seed}")


def check_names(data: Mapping[str, object], where: str, objects: Mapping[str, object]) -> None:
    """Raise UsageError for a name that is no string, and for names of objects that are not given."""
    missing = []
    for role in OBJECT_ROLES:
        name = data.get(role, "")
        if not isinstance(name, str):
            raise UsageError(f"{inside(where, role)}: expected a name, found {name!r}")
        check_text(inside(where, role), name)
        if name.endswith(GIVEN) and role not in objects:
            missing.append(role)
    if missing:
        names = ", ".join(f"{inside(where, role)} is {data[role]!r}" for role in missing)
        arguments = ", ".join(f"{role}=..." for role in missing)
        what = "that object" if len(missing) == 1 else "these objects"
        raise UsageError(f"{names}: pass {what} again, in Python, to agents.load or agents.resume: {arguments}")


def check_keys(data: Mapping[str, object], where: str) -> None:
    """Raise UsageError for the first key that is no field of a spec."""
    for key in data:
        if key not in _FIELDS:
            raise UsageError(located(where, f"unknown option {key!r}{suggest(str(key), _FIELDS)}"))
