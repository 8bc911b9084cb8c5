"""Command `tune`: a search over options of agent and model, by their scores on train tasks."""

import dataclasses
import difflib
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli.parse import Group, Parser, options_of, wants_help
from agents.cli.sweep import ARGUMENTS
from agents.cli.train import option_names, parse_train
from agents.core.plain import from_plain
from agents.core.spec import Spec
from agents.runs.messages import printable
from agents.runs.program import program
from agents.study.places import place
from agents.study.setting import Setting, setting, settings, split_words
from agents.tuning.options import SearchOptions
from agents.tuning.ranges import Wanted, parse_wanted, text_of
from agents.tuning.storage import check_optuna
from qrl.common.checks import shown
from qrl.common.errors import TrainingError, UsageError
from qrl.common.trust import Trust, names_from

if TYPE_CHECKING:
    from agents.tuning.request import SearchRequest
    from agents.tuning.tune import Tuning

DESCRIPTION = """Search for options of agent and model whose trainings score best on train tasks; started again, or by
several processes at a time, continue. Every other option of `train` is taken and holds for all trials. Test tasks are
never touched (docs/tuning.md)."""

FOREIGN = ("overwrite", "seeds", "from", "track", "validate-every", "validate-tasks", "patience")
"""Options of `train` that a search has no use for."""

SHARING = ("jobs", "ray")
"""Options about the processes that share a search, which these themselves do not get."""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(SearchOptions):
    """Options of `tune` besides those of `train`."""

    tune: tuple[str, ...] = ()
    """Option to tune: NAME, in its own range; NAME=LOW:HIGH, NAME=LOW:HIGH:log, or NAME=A,B,C. May be given more than
    once (default: all options of agent and model that have a range)."""


@dataclass(frozen=True)
class Parsed:
    """Search that words or arguments stand for."""

    spec: Spec
    wanted: Sequence[Wanted] | None
    """Options to tune; None for all that have a range."""
    options: SearchOptions
    source: Path | None
    """Configuration from which names of plug-ins may come."""
    trust: Trust
    """Code that the words vouch for."""
    words: tuple[str, ...]
    """Command line of a process that works on the search."""

    def request(self) -> "SearchRequest":
        """Return the request of the search. Raises UsageError if a training would not start, or a range is invalid."""
        from agents.tuning.request import make_request  # Local, as it imports torch.

        with names_from(self.source, self.trust):
            return make_request(self.spec, self.wanted, self.options)

    def run(self, *, command: Sequence[str] = (), again: str, quiet: bool = False) -> "Tuning":
        """Run the search; see `agents.tuning.tune.run_tuning`."""
        where = place(self.options.ray) if self.options.has_workers else None
        from agents.tuning.tune import run_tuning
        from agents.tuning.workers import Workers

        request = self.request()
        workers = None if where is None else Workers(where, self.words, self.options.jobs)
        with names_from(self.source, self.trust):
            return run_tuning(request, workers, command=command, again=again, quiet=quiet)


def run_tune(arguments: Sequence[str], command: Sequence[str]) -> int:
    """Run the command `tune`; return the exit code: 1 if a worker has failed, or trials have not ended.

    Args:
        arguments: arguments of the command.
        command: whole command line, recorded with the search.
    """
    tuning = parse_tune(arguments).run(command=command, again=shlex.join(command))
    from agents.tuning.report import summary

    print("\n".join(map(printable, summary(tuning.path, tuning.record))))
    return int(bool(tuning.failed) or tuning.record.n_ended < tuning.record.wanted)


def parse_tune(arguments: Sequence[str]) -> Parsed:
    """Parse the arguments of the command.

    Raises:
        UsageError: an argument is invalid, or Optuna is missing.
        HelpShown: help was requested and has been printed.
    """
    parser = Parser("tune", [Group("options", list(options_of(TuneOptions)))], DESCRIPTION)
    if wants_help(arguments):
        parser.show_help()
    own = {name.removeprefix("--") for group in parser.groups for option in group.options for name in option.names}
    given = split_words(arguments, "tune")
    words = [word for each in given if each.name in own for word in each.words]
    options = from_plain(TuneOptions, parser.values(words), "--")
    wanted = [parse_wanted(each) for each in options.tune] or None
    further = [each for each in given if each.name not in own]
    _check_spelling(further, own)
    shared = tuple(word for each in given if each.name not in SHARING for word in each.words)
    return _parsed(further, wanted, options, shared)


def tune(
    out: Path | str | None = None,
    *,
    env: str = "navigation",
    agent: str | None = None,
    model: str | None = None,
    tune: Sequence[str] | Mapping[str, object] | None = None,
    trials: int = 40,
    storage: str | None = None,
    tune_seeds: int = 1,
    tune_tasks: int = 20,
    score_every: int = 0,
    held_out_seeds: int = 5,
    take_over: bool = False,
    jobs: int | None = None,
    ray: bool | str = False,
    progress: bool = True,
    **options: object,
) -> "Tuning":
    """Search for options of agent and model whose trainings score best on train tasks, as `run.py tune`.

    Called again, also by several processes at a time, continue. Test tasks are never touched.

    Args:
        out: folder of the search; by default studies/tune-<env>-<agent>-<model>.
        env: environment: a name, a file or module:attribute.
        agent: agent, likewise; by default what suits the environment.
        model: model of the policy network, likewise; by default what suits the agent.
        tune: options to tune: a list of names and ranges as on the command line, such as "agent.clip=0.1:0.4", or lists
            of choices by name, such as {"agent.epochs": [1, 3]}; by default all that have a range.
        trials: trials of all processes together [trials].
        storage: journal:FILE, or the URL of a database; by default a journal in the folder.
        tune_seeds: trainings of a trial, each from another seed [seeds].
        tune_tasks: train tasks of a score [tasks].
        score_every: interval of the scores by which trials are pruned [meta-iterations]; 0: a quarter of the training.
        held_out_seeds: trainings of the best and of the default options in the comparison at the end [seeds]; 0: none.
        take_over: continue trials that were begun in other folders, whose processes are gone.
        jobs: processes that share the trials, each with one thread unless `threads` is given [processes]; by default
            this process alone, and on Ray as many as its CPUs allow.
        ray: train on Ray: True starts one on this machine; "HOST:PORT" is the head of a cluster, "auto" the cluster of
            which this machine is part.
        progress: print a line about each trial to standard error.
        options: further options of `agents.train` for all trials: iterations=20, agent_config={"clip": 0.1}.

    Raises:
        UsageError: an option is invalid, the folder or the storage holds something else, or Ray does not answer;
            nothing has been written.
        TrainingError: no trial came to its end, a training of the comparison diverges, or a process of several failed.
        KeyboardInterrupt: after a signal, once checkpoints are saved.
    """
    for name, value in {"env": env, "agent": agent, "model": model}.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name}: {shown(value)} is no name: the configuration of the best options needs a file")
    names = {role: name for role, name in (("env", env), ("agent", agent), ("model", model)) if name is not None}
    wanted = _wanted(tune)
    own = SearchOptions(
        trials=trials,
        storage=storage,
        tune_seeds=tune_seeds,
        tune_tasks=tune_tasks,
        score_every=score_every,
        held_out_seeds=held_out_seeds,
        out=None if out is None else Path(out),
        take_over=take_over,
        jobs=jobs,
        ray=ray,
    )
    further = settings({ARGUMENTS.get(name, name): value for name, value in options.items()}, "options")
    given = (*settings(names, "options"), *further)
    shared = (*given, *_own_settings(own, wanted)) if own.has_workers else ()
    words = [word for each in shared for word in each.words]
    tuning = _parsed(given, wanted, own, words).run(again="call agents.tune again", quiet=not progress)
    if tuning.failed:
        raise TrainingError(f"the search is complete, but {'; '.join(tuning.failed)}")
    return tuning


def _parsed(
    given: Sequence[Setting], wanted: Sequence[Wanted] | None, options: SearchOptions, shared: Sequence[str]
) -> Parsed:
    """Return the search with these settings of its trainings, each on one thread unless they say otherwise.

    Args:
        given: settings of the trainings.
        wanted: options to tune; None for all that have a range.
        options: options of the search.
        shared: all words of the command of a process that shares the search.
    """
    check_optuna()
    if foreign := [each.name for each in given if each.name in FOREIGN]:
        raise UsageError(f"--{foreign[0]} is no option of a search; `{program()} tune --help` shows what is accepted")
    words = [word for each in given for word in each.words]
    if not any(each.name == "threads" for each in given):
        words += ["--threads", "1"]
    spec, further, _, trust = parse_train(words)
    return Parsed(spec, wanted, options, further.config, trust, ("tune", *shared))


def _check_spelling(further: Sequence[Setting], own: Set[str]) -> None:
    """Raise UsageError for an option that `train` lacks and that is likely one of `tune`, mistyped."""
    known = option_names([word for each in further for word in each.words])
    for name in (f"--{each.name}" for each in further if f"--{each.name}" not in known):
        near = difflib.get_close_matches(name, [*known, *(f"--{each}" for each in own)], n=1)
        if near and near[0].removeprefix("--") in own:
            raise UsageError(f"unknown option {name}; did you mean {near[0]}?")


def _wanted(tune: Sequence[str] | Mapping[str, object] | None) -> list[Wanted] | None:
    """Return the options to tune that were given in Python; None for all that have a range."""
    if tune is None:
        return None
    if isinstance(tune, str) or not isinstance(tune, Sequence | Mapping):
        raise UsageError(f"tune: expected a list of options, or lists of choices by option, found {shown(tune)}")
    if not isinstance(tune, Mapping):
        return [parse_wanted(str(each)) for each in tune]
    found = []
    for name, choices in tune.items():
        if not isinstance(choices, list | tuple) or not choices:
            raise UsageError(f"tune: {name}: expected a list of choices, found {shown(choices)}")
        found.append(Wanted(str(name), choices=tuple(choices)))
    return found


def _own_settings(options: SearchOptions, wanted: Sequence[Wanted] | None) -> tuple[Setting, ...]:
    """Return the settings of a search given in Python, for the processes that share it.

    Raises:
        UsageError: a choice cannot be given on a command line.
    """
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    given = {name: value for name, value in values.items() if name not in SHARING and value is not None}
    tuned = () if not wanted else (setting("tune", [text_of(each) for each in wanted], "tune"),)
    return (
        *settings({name: str(each) if isinstance(each, Path) else each for name, each in given.items()}, "options"),
        *tuned,
    )
