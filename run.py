"""Train, evaluate and resume from the command line; see `python run.py --help`.

This file composes: it reads the names of the three plug-ins, imports those alone, and hands their options to tyro.
Until then neither torch nor any plug-in is imported.
"""

import ctypes
import errno
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from agents.cli.options import (
    EvaluateOptions,
    ExportOptions,
    PlotOptions,
    ResumeOptions,
    RobustnessOptions,
    SelectOptions,
    default_out,
    parse_train,
)
from agents.cli.parse import HelpShown, parse, value_of, written_out
from agents.core.spec import REGISTRIES
from qrl.common.errors import TrainingError, UsageError, suggest
from qrl.common.importing import own_remedy

COMMANDS = {
    "train": "train an agent, then evaluate it (the default command)",
    "evaluate": "evaluate a trained run on tasks of a split",
    "resume": "continue a run from its last checkpoint",
    "robustness": "evaluate a trained run under noise and from finite shots",
    "export": "write an adapted policy's circuits as OpenQASM or for Qiskit",
    "plot": "draw the adaptation curves of several runs into one picture",
    "select": "choose a learning algorithm for a CSV file of one's own, in a few tries",
    "list": "list environments, agents and models",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 training failed, 2 unusable input, 128 + signal interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except UsageError as error:
        return _complain(error, 2)
    except TrainingError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has left. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        of_the_system = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
        if error.filename is None and not of_the_system:
            raise
        return _complain(f"{error.filename or 'writing'}: {error.strerror or error}", 2)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        return _complain(_out_of_memory(error), 2)
    except ModuleNotFoundError as error:
        remedy = own_remedy(error)
        if not remedy:
            raise
        return _complain(f"{error}{remedy}", 2)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0].startswith("-"):
        command, rest = "train", arguments
    else:
        command, *rest = arguments
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command!r}{suggest(command, COMMANDS)}")
    try:
        return _COMMANDS[command](rest)
    except HelpShown:
        return 0


_NO_MEMORY = re.compile("can't allocate memory|out of memory|bad_alloc|[Ss]torage size calculation overflowed")
"""How torch says it, as a RuntimeError."""


def _out_of_memory(error: Exception) -> str:
    reason = re.sub(r"^\[.*?\] .*?\. (?=DefaultCPUAllocator)", "", " ".join(str(error).split()))
    detail = f": {textwrap.shorten(reason, 160, placeholder=' …')}" if reason else ""
    return f"not enough memory{detail}; use fewer tasks, episodes or wires"


def _complain(error: object, code: int) -> int:
    print(f"run.py: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


# --- the commands -----------------------------------------------------------------------------------------------------


def _train(arguments: list[str]) -> int:
    _keep_freed_memory()
    spec, options = parse_train(arguments)
    out = options.out or default_out(spec)
    from agents.runs.folder import check_target

    check_target(out, overwrite=options.overwrite)
    from agents.cli.commands import run_training

    command = ["run.py", "train", *arguments]
    return run_training(spec, out, overwrite=options.overwrite, command=command)


def _evaluate(arguments: list[str]) -> int:
    value_of("--out", arguments)
    arguments = written_out(arguments)
    options = parse(
        "evaluate", EvaluateOptions, arguments, description="Evaluate a trained run: return after 0, 1, … steps."
    )
    _require_run_folder(options.run)
    _keep_freed_memory()
    if options.video:  # nothing is to be shown: pygame, which draws some of the pictures, needs no screen
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    from agents.cli.commands import run_evaluation

    return run_evaluation(
        options.run,
        **options.how,
        out=options.out,
        backend=options.backend,
        shots=options.shots,
        noise=options.noise,
        video=options.video,
    )


def _resume(arguments: list[str]) -> int:
    options = parse("resume", ResumeOptions, arguments, description="Continue a run from its last checkpoint.")
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents.cli.commands import run_resume

    return run_resume(options.run, iterations=options.iterations)


def _robustness(arguments: list[str]) -> int:
    value_of("--out", arguments)
    description = "Evaluate a trained run exactly, under noise of growing strength and from few to many shots."
    arguments = written_out(arguments)
    options = parse("robustness", RobustnessOptions, arguments, description=description)
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents.cli.commands import run_robustness

    return run_robustness(options.run, options.noise, options.strengths, options.shots, out=options.out, **options.how)


def _export(arguments: list[str]) -> int:
    value_of("--out", arguments)
    description = "Adapt a trained policy to a task and write its circuits for given observations."
    options = parse("export", ExportOptions, arguments, description=description)
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents.cli.commands import run_export

    return run_export(
        options.run,
        options.out,
        kind=options.format,
        observations=options.observations,
        task=options.task,
        **options.how,
    )


def _plot(arguments: list[str]) -> int:
    value_of("--out", arguments)
    description = "Draw the adaptation curves of several runs of one environment into one picture."
    options = parse("plot", PlotOptions, arguments, description=description)
    for path in options.runs:
        _require_run_folder(path)
    from agents.cli.commands import run_plot

    return run_plot(options.runs, options.out, options.against.replace("-", "_"), options.split)


def _select(arguments: list[str]) -> int:
    value_of("--out", arguments)
    description = "Choose a learning algorithm for a CSV file: a trained selector proposes, each is cross-validated."
    options = parse("select", SelectOptions, arguments, description=description)
    if not options.target:
        raise UsageError("select needs a column to predict: usage is run.py select FILE.csv --target COLUMN")
    if options.selector is not None:
        _require_run_folder(options.selector)
    from agents.select.command import run_select

    return run_select(options, ["run.py", "select", *arguments])


def _require_run_folder(path: Path) -> None:
    """Complain about a wrong folder at once, not after the seconds that importing torch takes."""
    from agents.runs.folder import RunFolder

    RunFolder.open(path)


def _list(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: run.py list\n\n{COMMANDS['list']}")
        return 0
    if arguments:
        raise UsageError(f"list takes no arguments, found {arguments[0]!r}")
    print(_catalogue())
    return 0


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "resume": _resume,
    "robustness": _robustness,
    "export": _export,
    "plot": _plot,
    "select": _select,
    "list": _list,
}


# --- help -------------------------------------------------------------------------------------------------------------


def _help() -> str:
    commands = "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items())
    return f"""\
usage: run.py [train] [--env NAME] [--agent NAME] [--model NAME] [--seed N] [--iterations N] [--out RUN] ...
       run.py [train] --env CartPole-v1 --vary gravity=5:15 [--vary NAME=RANGE] [--ood NAME=RANGE] ...
       run.py evaluate RUN [--tasks N] [--steps K] [--episodes E] [--split train|test|ood] [--video]
       run.py evaluate RUN [--shots N] [--noise depolarizing=0.01] [--noise calibration=FILE.json] ...
       run.py resume RUN [--iterations N]
       run.py robustness RUN [--noise KIND ...] [--strengths P ...] [--shots N ...]
       run.py export RUN [--out FOLDER] [--format openqasm2|openqasm3|qiskit] [--observations FILE.json]
       run.py plot RUN ... [--out FILE] [--against episodes|env-steps|x]
       run.py select FILE.csv --target COLUMN [--tries N] [--bins N] [--ignore COLUMN ...] [--balance]
       run.py list

Quantum policies that learn to adapt.

commands
{commands}

{_catalogue()}

`run.py COMMAND --help` lists the options of a command; `run.py train --env NAME --agent NAME --model NAME --help`
those of the chosen environment, agent and model too."""


def _catalogue() -> str:
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


# --- memory -----------------------------------------------------------------------------------------------------------


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of returning it at once.

    Each iteration allocates and frees the same large tensors; handed back every time, they cost a page fault per 4 KiB
    when next touched, which makes the simulator 1.3 to 4 times slower. Set here and not on import, because it concerns
    the whole process.
    """
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        mallopt = ctypes.CDLL(None).mallopt
    except (ValueError, OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.
    mallopt(trim_threshold, 1 << 30)
    # Older versions refuse more than 32 MiB.
    if not mallopt(mmap_threshold, 1 << 30):
        mallopt(mmap_threshold, 32 << 20)


if __name__ == "__main__":
    sys.exit(main())
