"""Plug-ins that a command line chooses, and their options."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.cli.parse import Group, Option, Parser, options_of
from agents.core.plain import from_plain, init_names, inside, to_plain
from agents.core.registry import DEFAULT_NAMES, REGISTRIES
from agents.core.spec import CONFIGS, Spec, check_names
from agents.runs.saved_spec import read_spec
from envs.core.registry import ENVS
from qrl.common.errors import UsageError
from qrl.common.options import DataclassInstance
from qrl.common.summaries import first_line

ALIASES = {"vary": ("--vary",), "ood": ("--ood",), "fixed": ("--set",), "workers": ("--workers",)}
"""Options of Gymnasium's environments that may be given without the prefix."""


def start_spec(arguments: Sequence[str], file: str, names: Mapping[str, str]) -> tuple[Spec, str]:
    """Return the spec before other options are applied, and a note on the choice of the agent.

    It follows from --config, --env, --agent, --model, and the options of the environment, which may decide the agent.

    Args:
        arguments: all arguments.
        file: the file of --config, or "".
        names: plug-ins given by --env, --agent and --model, by role.
    """
    saved = read_spec(Path(file)) if file else {}
    check_names(saved, file, {})
    given = [role for role in REGISTRIES if role in names and file]
    before = {role: saved[role] if role in saved else getattr(Spec.from_json(saved, file), role) for role in given}
    for role in given:
        if names[role] != REGISTRIES[role].canonical(str(before[role])):
            saved.pop(f"{role}_config", None)  # Saved options of another plug-in do not apply.
    saved |= names
    env = ENVS.load(saved.setdefault("env", DEFAULT_NAMES["env"]))
    config = from_plain(env.Config, saved.get("env_config") or {}, inside(file, "env_config"))
    options = list(options_of(env.Config, config, "--env.", ("env_config",), ALIASES))
    changes = Parser("train", [Group("", options)], "").known(arguments).get("env_config", {})
    saved["env_config"] = changed(config, changes, "--env")
    spec = Spec.from_json(saved, file)
    if "agent" in saved or spec.agent == DEFAULT_NAMES["agent"]:
        return spec, ""
    from envs.wrapped.ids import IdOptions  # Local, as it imports torch and Gymnasium.

    single = " without --vary, which is a single task" if isinstance(spec.env_config, IdOptions) else ""
    return spec, f"note: training {spec.agent}, the default agent for {spec.env}{single}"


def owners_of(spec: Spec, option: str) -> str:
    """Return which other plug-ins of this library have an option such as "--agent.lr-angles"; "" if none has it."""
    role, dot, name = option.removeprefix("--").partition(".")
    if not dot or role not in REGISTRIES:
        return ""
    registry, field = REGISTRIES[role], name.replace("-", "_")
    usable = [each for each, summary in registry.available().items() if summary.usable and each in registry.shelved()]
    owners = [each for each in usable if field in init_names(registry.load(each).Config)]
    if not owners:
        return ""
    have = "has" if len(owners) == 1 else "have"
    return f"{role} {getattr(spec, role)} has no such option; {', '.join(owners)} {have} it"


def check_aliases(env: object, known: Sequence[str], arguments: Sequence[str]) -> None:
    """Raise UsageError for an option of Gymnasium's environments that this environment lacks."""
    given = {argument.partition("=")[0] for argument in arguments}
    for name, aliases in ALIASES.items():
        if name not in known and (alias := next((each for each in aliases if each in given), None)):
            raise UsageError(
                f"{alias}: env {env!r} has no such option; it is for a Gymnasium id or a class, such as "
                "--env CartPole-v1 --vary gravity=5:15 or --env my_env.py:MyEnv; in a file, use envs.GymnasiumTasks"
            )


def changed(config: object, changes: object, where: str) -> object:
    """Return a plug-in's options with some values changed."""
    assert isinstance(config, DataclassInstance) and isinstance(changes, Mapping)
    return from_plain(type(config), _merged(to_plain(config), changes), where)


def _merged(values: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    merged = dict(values)
    for name, change in changes.items():
        inner = merged.get(name)
        if isinstance(inner, Mapping) and isinstance(change, Mapping):
            change = _merged(inner, change)
        merged[name] = change
    return merged


def options_by_plugin(spec: Spec) -> dict[str, list[Option]]:
    """Return the options of each plug-in of a spec and of the policy head, by prefix: env, agent, model, policy."""
    return {
        prefix: list(options_of(type(getattr(spec, key)), getattr(spec, key), f"--{prefix}.", (key,), ALIASES))
        for prefix, key in CONFIGS.items()
    }


def plugin_group(spec: Spec, prefix: str, options: Sequence[Option]) -> Group:
    """Return the group of a help text with these options of a plug-in, or of the policy head."""
    if prefix not in REGISTRIES:
        return Group(prefix, options, "How the model's outputs become a distribution over actions.")
    name = getattr(spec, prefix)
    return Group(f"{prefix} {name}", options, first_line(REGISTRIES[prefix].load(name).__doc__))


def changed_configs(spec: Spec, changes: Mapping[str, object]) -> dict[str, object]:
    """Return the options of each plug-in and of the policy head, with some values changed, by field of the spec."""
    return {key: changed(getattr(spec, key), changes.get(key, {}), f"--{prefix}") for prefix, key in CONFIGS.items()}
