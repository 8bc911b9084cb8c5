"""Command line of `draw`: a run folder, or a model with the options of `train` that it is built with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agents.cli.options import DrawOptions
from agents.cli.parse import Group, Parser, options_of, wants_help
from agents.cli.plugins import changed_configs, check_aliases, options_by_plugin, owners_of, plugin_group, start_spec
from agents.cli.train import is_run_option
from agents.core.plain import from_plain, init_names
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError
from qrl.common.files import kind_of
from qrl.common.registry import file_and_attribute
from qrl.common.trust import Trust
from qrl.models import MODELS

ABOUT = "Draw the circuits of a trained run, or of a model as it is built for an environment and an agent."

BUILT_FOR = ("env", "agent")
"""Plug-ins that a model is built for."""


@dataclass(frozen=True)
class Drawing:
    """What `draw` is asked for: the policy of a run, or of a spec."""

    source: Path | Spec
    out: Path | None
    trust: Trust


def parse_draw(arguments: Sequence[str]) -> Drawing:
    """Parse the arguments of `draw`.

    Raises:
        UsageError: an argument is invalid, or there is no such run folder or model.
        HelpShown: help was requested and has been printed.
    """
    known = Parser("draw", [Group("", list(options_of(DrawOptions)))], "").known(arguments)
    target = str(known.get("run_or_model", ""))
    if target and not _is_run(target):
        return _parse_model(target, arguments)
    groups = [Group("options", list(options_of(DrawOptions)))]
    parser = Parser("draw", groups, ABOUT, _why_not)
    if wants_help(arguments):
        parser.show_help()
    options = from_plain(DrawOptions, parser.values(arguments), "--")
    RunFolder.open(Path(options.run_or_model))
    return Drawing(Path(options.run_or_model), options.out, options.confirmed)


def _is_run(target: str) -> bool:
    """Return whether a run folder is meant, and no model: an existing folder, or a path that is no plug-in's file."""
    path, file = Path(target), file_and_attribute(target)[0]
    if kind_of(path) == "folder":
        return target not in MODELS.available() or kind_of(path / "config.json") == "file"
    return len(path.parts) > 1 and not file


def _why_not(option: str) -> str:
    """Return why `draw` lacks an option of `train`; "" for another option."""
    return "it is for training a run; draw only builds the policy: leave it out" if is_run_option(option) else ""


def _parse_model(model: str, arguments: Sequence[str]) -> Drawing:
    try:
        MODELS.load(model)
    except UsageError as error:
        raise UsageError(f"draw: no run folder {model}, and {error}") from error
    rest = [*arguments]
    rest.remove(model)
    own = [option for option in options_of(DrawOptions) if option.path[0] in (*BUILT_FOR, "out")]
    docs = {role: f"{role.capitalize()} that the model is built for, as of `train`." for role in BUILT_FOR}
    own = [replace(each, doc=docs.get(each.path[0], each.doc)) for each in own]
    given = Parser("draw", [Group("", own)], "").known(rest)
    names = {"model": model} | {role: str(given[role]) for role in BUILT_FOR if role in given}
    spec, _ = start_spec(rest, "", {role: REGISTRIES[role].canonical(name) for role, name in names.items()})
    check_aliases(spec.env, init_names(type(spec.env_config)), rest)
    options = options_by_plugin(spec)
    plugins = [plugin_group(spec, role, options[role]) for role in ("model", *BUILT_FOR)]

    def why_not(name: str) -> str:
        return owners_of(spec, name) or _why_not(name)

    parser = Parser(f"draw {model}", [Group("options", own), *plugins], ABOUT, why_not)
    if wants_help(rest):
        parser.show_help()
    values = parser.values(rest)
    out = from_plain(DrawOptions, {"run_or_model": model, "out": values.get("out")}, "--").out
    return Drawing(replace(spec, **changed_configs(spec, values)), out, Trust())  # type: ignore[arg-type]
