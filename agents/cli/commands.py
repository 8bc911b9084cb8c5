"""Commands: each parses its options and makes all cheap checks before it imports its implementation.

Neither torch nor any plug-in is imported before these checks.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.cli.catalogue import catalogue, help_text
from agents.cli.compare_options import CompareOptions, ReportOptions
from agents.cli.malloc import keep_freed_memory
from agents.cli.options import (
    EvaluateOptions,
    ExportOptions,
    PlotOptions,
    RobustnessOptions,
)
from agents.cli.parse import HelpShown, parse
from agents.cli.resume import parse_resume
from agents.cli.waiting import wait_passively
from agents.runs.folder import RunFolder
from agents.runs.program import program
from agents.runs.replacing import check_target
from agents.runs.saved_spec import weights_note
from agents.runs.seal import CONFIG, is_search
from agents.select.options import SelectOptions, is_selection
from agents.shards import launch
from qrl.common.errors import UsageError, suggest
from qrl.common.files import kind_of
from qrl.common.trust import names_from
from qrl.simulator.engine import engine
from qrl.simulator.native.library import status


@dataclass(frozen=True)
class Command:
    """Command of the command line."""

    about: str
    """Short description for the help text."""
    run: Callable[[list[str]], int]
    """Function that runs the command with its arguments and returns the exit code."""


def run_command(arguments: list[str]) -> int:
    """Run the command named by the arguments, by default `train`; return the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text({name: command.about for name, command in COMMANDS.items()}))
        return 0
    if arguments[0].startswith("-"):
        name, rest = "train", arguments
    else:
        name, *rest = arguments
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}{suggest(name, COMMANDS)}")
    if name not in ("train", "resume"):
        _check_alone(name)
    wait_passively()
    engine()  # refuses a wrong QRL_ENGINE before anything is written
    try:
        return COMMANDS[name].run(rest)
    except HelpShown:
        return 0


def _check_alone(command: str) -> None:
    """Raise UsageError if a launcher has started several processes of a command that they cannot share."""
    if (size := launch.world_size()) > 1:
        raise UsageError(f"{size} processes were started: {command} is for one; `train --shards` and `resume` divide")


def _train(arguments: list[str]) -> int:
    keep_freed_memory()
    from agents.cli.train import parse_train
    from agents.core.spec import default_out

    spec, options, note, trust = parse_train(arguments)
    if options.seeds is not None:
        _check_alone("train --seeds")
        return _sweep(arguments, "train")
    if options.jobs is not None:
        raise UsageError("--jobs is the number of parallel runs of several seeds: add --seeds")
    if options.ray is not False:
        raise UsageError("--ray distributes the runs of several seeds: add --seeds")
    out = options.out or default_out(spec)
    if launch.n_restarts() and kind_of(out / CONFIG) != "missing":
        return _resume([str(out), "--trust"])  # these processes have been given the run's options, and its code, before
    if launch.leads():
        check_target(out, overwrite=options.overwrite)
    from agents.experiment.start import follow_training, run_training

    with names_from(options.config, trust):
        if not launch.leads():
            follow_training(spec)
            return 0
        run_training(
            spec,
            out,
            overwrite=options.overwrite,
            start_from=options.from_,
            track=options.track,
            command=_command("train", arguments),
            note=note or (weights_note(options.config) if options.config and not options.from_ else ""),
        )
    return 0


def _sweep(arguments: list[str], command: str = "sweep") -> int:
    from agents.cli.sweep import run_sweep

    return run_sweep(arguments, _command(command, arguments))


def _tune(arguments: list[str]) -> int:
    keep_freed_memory()
    from agents.cli.tune import run_tune

    return run_tune(arguments, _command("tune", arguments))


def _evaluate(arguments: list[str]) -> int:
    options = parse(
        "evaluate", EvaluateOptions, arguments, description="Evaluate a trained run: return after 0, 1, … steps."
    )
    for path in (options.run, *options.compare):
        _check_run_folder(path)
    keep_freed_memory()
    if options.video:  # pygame, which renders some environments, then works without a display
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    from agents.cli.evaluate import run_evaluation

    return run_evaluation(options)


def _resume(arguments: list[str]) -> int:
    options, changes = parse_resume(arguments)
    keep_freed_memory()
    from agents.experiment.resume import follow_resumed, run_resume

    if not launch.leads():
        further = {} if options.iterations is None else {"iterations": options.iterations}
        follow_resumed(options.run, {**changes, **further}, None, options.confirmed)
        return 0
    run_resume(options.run, options.iterations, changes=changes, trust=options.confirmed, track=options.track)
    return 0


def _robustness(arguments: list[str]) -> int:
    description = "Evaluate a trained run exactly, under noise of growing strength and from few to many shots."
    options = parse("robustness", RobustnessOptions, arguments, description=description)
    _check_run_folder(options.run)
    keep_freed_memory()
    from agents.cli.robustness import run_robustness

    return run_robustness(options)


def _export(arguments: list[str]) -> int:
    description = "Adapt a trained policy to a task and write its circuits for given observations."
    options = parse("export", ExportOptions, arguments, description=description)
    _check_run_folder(options.run)
    keep_freed_memory()
    from agents.cli.export import run_export

    return run_export(options)


def _draw(arguments: list[str]) -> int:
    from agents.cli.draw_options import parse_draw

    drawing = parse_draw(arguments)
    from agents.cli.draw import run_draw

    return run_draw(drawing)


def _plot(arguments: list[str]) -> int:
    description = "Draw the adaptation curves of several runs of one environment into one picture."
    options = parse("plot", PlotOptions, arguments, description=description)
    for path in options.runs:
        _check_run_folder(path)
    from agents.cli.plot import run_plot

    return run_plot(options)


def _compare(arguments: list[str]) -> int:
    description = "Compare runs and studies: tables, intervals over seeds and tasks, figures, and a page."
    options = parse("compare", CompareOptions, arguments, description=description)
    from agents.cli.compare import run_compare

    return run_compare(options)


def _report(arguments: list[str]) -> int:
    description = "Write a page about one run, a search or a selection: what it found, curves, circuits, configuration."
    options = parse("report", ReportOptions, arguments, description=description)
    if is_search(options.run):
        from agents.cli.report_pages import run_search_report

        return run_search_report(options)
    if is_selection(options.run):
        from agents.cli.report_pages import run_selection_report

        return run_selection_report(options)
    _check_run_folder(options.run)
    from agents.cli.compare import run_report

    return run_report(options)


def _select(arguments: list[str]) -> int:
    description = "Choose a learning algorithm for a CSV file: a trained selector proposes, each is cross-validated."
    if "--balance" in arguments:
        raise UsageError("unknown option --balance; use --metric balanced_accuracy")
    options = parse("select", SelectOptions, arguments, description=description)
    if not options.target:
        raise UsageError(f"select needs a column to predict: usage is {program()} select FILE.csv --target COLUMN")
    if options.selector is not None:
        _check_run_folder(options.selector)
    from agents.select.command import run_select

    return run_select(options, _command("select", arguments))


def _list(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: {program()} list\n\n{COMMANDS['list'].about}")
        return 0
    if arguments:
        raise UsageError(f"list takes no arguments, found {arguments[0]!r}")
    print(f"{catalogue()}\n\n{status()}")
    return 0


COMMANDS = {
    "train": Command("train an agent, then evaluate it (the default command)", _train),
    "sweep": Command("train many runs: seeds, models, options; continue where it stopped", _sweep),
    "tune": Command("search for options of agent and model on train tasks", _tune),
    "evaluate": Command("evaluate a trained run on tasks of a split", _evaluate),
    "resume": Command("continue a run from its last checkpoint", _resume),
    "robustness": Command("evaluate a trained run under noise and from finite shots", _robustness),
    "export": Command("write an adapted policy's circuits as OpenQASM or for Qiskit", _export),
    "draw": Command("draw the circuits of a run or of a model, as text and as a picture", _draw),
    "compare": Command("compare runs and studies: tables, figures and one page", _compare),
    "report": Command("write a page about one run", _report),
    "plot": Command("draw the adaptation curves of several runs into one picture", _plot),
    "select": Command("choose a learning algorithm for a CSV file in a few evaluations", _select),
    "list": Command("list environments, agents and models", _list),
}


def _command(name: str, arguments: list[str]) -> list[str]:
    """Return the command line that is recorded with a result."""
    return [*program().split(), name, *arguments]


def _check_run_folder(path: Path) -> None:
    """Raise UsageError for a folder that is not a run folder, before the slow import of torch."""
    RunFolder.open(path)
