"""Command line of `resume`: its options, and those of the run that may change."""

from collections.abc import Mapping, Sequence

from agents.cli.options import ResumeOptions
from agents.cli.parse import Group, Option, Parser, parse
from agents.runs.folder import RunFolder
from agents.runs.history import OF_THE_RUN, changeable
from qrl.common.errors import UsageError

PREFIX = "--agent."


def parse_resume(arguments: Sequence[str]) -> tuple[ResumeOptions, dict[str, object]]:
    """Parse the options of `resume`; return also the options of the run that change, by name, without the iterations.

    Raises:
        UsageError: an argument is invalid, the run folder cannot be opened, or an option may not change.
        HelpShown: help was requested and has been printed.
    """
    own, rates = _divided(arguments)
    description = (
        "Continue a run from its last checkpoint. The agent's learning rates may change, such as "
        f"{PREFIX}lr-angles 0.005; config.json keeps a history of changes."
    )
    options = parse("resume", ResumeOptions, own, description=description)
    folder = RunFolder.open(options.run)
    changes = {name: getattr(options, name) for name in OF_THE_RUN if name != "iterations"}
    return options, {name: value for name, value in changes.items() if value is not None} | _rates(folder, rates)


def _divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the arguments into those of the command, and the agent's options with their values."""
    own: list[str] = []
    rates: list[str] = []
    for index, word in enumerate(arguments):
        before = arguments[index - 1] if index else ""
        is_value = before.startswith(PREFIX) and "=" not in before and not word.startswith("--")
        (rates if word.startswith(PREFIX) or is_value else own).append(word)
    return own, rates


def _rates(folder: RunFolder, words: Sequence[str]) -> dict[str, object]:
    """Return the changed learning rates by name, such as "agent_config.lr_angles"."""
    options = [
        Option(_flag(name), tuple(name.split(".")), float, "") for name in changeable(folder.spec) if "." in name
    ]
    flags = ", ".join(option.name for option in options) or "none of the agent's options"
    saved = folder.spec.get("agent_config")
    fixed = {_flag(f"agent_config.{name}") for name in saved or ()} if isinstance(saved, Mapping) else set()
    for word in words:
        name = word.partition("=")[0].replace("_", "-")
        if name in fixed and name not in {option.name for option in options}:
            raise UsageError(f"resume cannot change {name}, only {flags}; --config {folder.path} trains anew with it")
    changed = Parser("resume", [Group("learning rates", options)], "").values(words).get("agent_config", {})
    assert isinstance(changed, Mapping)
    return {f"agent_config.{name}": value for name, value in changed.items()}


def _flag(name: str) -> str:
    return f"{PREFIX}{name.partition('.')[2].replace('_', '-')}"
