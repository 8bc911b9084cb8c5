"""Help text of the command line, and the list of plug-ins."""

from collections.abc import Mapping

from agents.core.registry import REGISTRIES
from agents.runs.program import program
from qrl.common.summaries import Summary

_USAGE = """\
[train] [--env NAME] [--agent NAME] [--model NAME] [--seed N] [--iterations N] [--out RUN] ...
[train] --env CartPole-v1 --vary gravity=5:15 [--vary NAME=RANGE] [--ood NAME=RANGE] ...
sweep [STUDY.toml] [--models NAME,NAME ...] [--grid OPTION=VALUE,VALUE] [--seeds N] [--jobs N] [--out STUDY] ...
evaluate RUN [--tasks N] [--steps K] [--episodes E] [--split train|validation|test|ood] [--video]
evaluate RUN [--shots N] [--noise depolarizing=0.01] [--noise calibration=FILE.json] ...
resume RUN [--iterations N] [--agent.lr-angles X] ...
robustness RUN [--noise KIND ...] [--strengths P ...] [--shots N ...]
export RUN [--out FOLDER] [--format openqasm2|openqasm3|qiskit] [--observations FILE.json]
draw RUN_OR_MODEL [--out FILE] [--env NAME] [--agent NAME] [--model.n-layers N] ...
compare RUN_OR_STUDY ... [--reference GROUP] [--at X] [--out FILE ...] [--video]
report RUN [--out FILE] [--video]
plot RUN ... [--out FILE] [--against episodes|env-steps|x] [--labels LABEL ...]
select FILE.csv --target COLUMN [--evaluations N] [--bins N] [--ignore COLUMN ...] [--balance]
list"""


def help_text(commands: Mapping[str, str]) -> str:
    """Return the help text of the whole command line, from descriptions of its commands by name."""
    usage = "\n       ".join(f"{program()} {line}" for line in _USAGE.splitlines())
    described = "\n".join(f"  {name:10} {text}" for name, text in commands.items())
    return f"""\
usage: {usage}

Quantum policies that learn to adapt.

commands
{described}

{catalogue()}

`{program()} COMMAND --help` lists the options of a command; those of the chosen environment, agent and model too:
`{program()} train --env NAME --agent NAME --model NAME --help`"""


def catalogue() -> str:
    """Return a list of all environments, agents and models with their first lines, by title.

    A plug-in with missing packages is listed with instructions to install them.
    """
    return "\n\n".join(_section(role, title) for role, title in TITLES.items())


TITLES = {"env": "environments", "agent": "agents", "model": "models"}


def _section(role: str, title: str) -> str:
    summaries = REGISTRIES[role].available().values()
    width = max((len(summary.name) for summary in summaries), default=0)
    groups: dict[str, list[Summary]] = {}
    for summary in summaries:
        groups.setdefault(summary.title or "registered or installed", []).append(summary)
    lines = [f"{title} (--{role})"]
    shelves = [shelf.title for shelf in REGISTRIES[role].shelves]
    # The first shelf, then what belongs to none, then the further shelves.
    for group in sorted(groups, key=lambda name: shelves.index(name) * 2 if name in shelves else 1):
        lines += [f"  {group}"] if len(groups) > 1 else []
        lines += [_line(summary, width, 4 if len(groups) > 1 else 2) for summary in groups[group]]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  (none)"])


def _line(summary: Summary, width: int, indent: int) -> str:
    state = f"  [unreadable: {summary.broken}]" if summary.broken else ""
    state = f"  [needs: {summary.remedy}]" if summary.missing else state
    return f"{' ' * indent}{summary.name:{width}} {summary.doc}{state}".rstrip()
