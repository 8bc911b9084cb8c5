"""Help text of the command line, and the list of plug-ins."""

from collections.abc import Mapping

from agents.core.spec import REGISTRIES
from agents.runs.program import program

_USAGE = """\
[train] [--env NAME] [--agent NAME] [--model NAME] [--seed N] [--iterations N] [--out RUN] ...
[train] --env CartPole-v1 --vary gravity=5:15 [--vary NAME=RANGE] [--ood NAME=RANGE] ...
evaluate RUN [--tasks N] [--steps K] [--episodes E] [--split train|test|ood] [--video]
evaluate RUN [--shots N] [--noise depolarizing=0.01] [--noise calibration=FILE.json] ...
resume RUN [--iterations N]
robustness RUN [--noise KIND ...] [--strengths P ...] [--shots N ...]
export RUN [--out FOLDER] [--format openqasm2|openqasm3|qiskit] [--observations FILE.json]
plot RUN ... [--out FILE] [--against episodes|env-steps|x]
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
    """Return a list of all environments, agents and models with their first lines.

    A plug-in with missing packages is listed with instructions to install them.
    """
    titles = {"env": "environments", "agent": "agents", "model": "models"}
    blocks = []
    for role, title in titles.items():
        lines = [f"{title} (--{role})"]
        summaries = REGISTRIES[role].available().values()
        width = max((len(summary.name) for summary in summaries), default=0)
        for summary in summaries:
            state = f"  [unreadable: {summary.broken}]" if summary.broken else ""
            state = f"  [needs: {summary.remedy}]" if summary.missing else state
            lines.append(f"  {summary.name:{width}} {summary.doc}{state}".rstrip())
        blocks.append("\n".join(lines if len(lines) > 1 else [*lines, "  (none)"]))
    return "\n\n".join(blocks)
