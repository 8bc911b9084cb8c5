"""Comparison of runs and studies: read them, group them by configuration and by task setting, compare the groups."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from agents.compare.comparison import Comparison
from agents.compare.defaults import DELTA, EPSILON
from agents.compare.groups import group_runs, short_labels
from agents.compare.measure import check_alike
from agents.compare.runs import EvaluatedRun, FoundRuns, find_runs, read_run
from agents.compare.section import Request, names_a_group, reference_error, section_of
from agents.compare.settings import AlikeGroups, by_setting
from agents.experiment.run import Which
from agents.study.study import Study
from envs.core.distribution import Split
from qrl.common.checks import check_choice, finite_number
from qrl.common.errors import UsageError


def compare(
    paths: Sequence[Path | str] | Path | str | Study,
    reference: str | None = None,
    *,
    at: int | None = None,
    epsilon: float = EPSILON,
    delta: float = DELTA,
    threshold: float | None = None,
    split: str = "test",
    checkpoint: Which = "last",
) -> Comparison:
    """Compare evaluated runs, grouped by what differs besides the seed. Reading executes no code of the runs.

    Groups are compared only if they have been evaluated alike on the same tasks: each environment, and each task
    setting of one, has a section of its own.

    Args:
        paths: run folders, and studies: folders of run folders; or a study as `agents.sweep` returns it.
        reference: group that the others are compared with, by its label, or by its agent or model if that names one
            group; by default the first group whose runs were trained to their end.
        at: x of the adaptation curve, gradient steps or episodes, at which returns are compared; by default the last.
        epsilon: ε of the sample complexity in (0, 1): the threshold is 1 - ε of the way to the optimum.
        delta: δ of the sample complexity in (0, 1]: share of the seeds that must exceed the threshold.
        threshold: return that the sample complexity refers to, in place of the one that ε defines.
        split: split of the evaluated tasks.
        checkpoint: "last", or "best" for the evaluations of the best checkpoints on validation tasks.

    Raises:
        UsageError: a path is no run and no study, an evaluation is missing or damaged, runs of different environments
            are given one by one, a configuration has the same seed twice, the seeds of a group were not evaluated
            alike, or an argument is invalid.
    """
    check_choice("compare", "split", split, get_args(Split))
    check_choice("compare", "checkpoint", checkpoint, get_args(Which))
    if not 0 < finite_number("epsilon", epsilon) < 1:
        raise UsageError(f"epsilon must be between 0 and 1, not {epsilon}")
    if not 0 < finite_number("delta", delta) <= 1:
        raise UsageError(f"delta must be greater than 0 and at most 1, not {delta}")
    if threshold is not None:
        finite_number("threshold", threshold)
    request = Request(reference, at, epsilon, delta, threshold, split, checkpoint)
    given = _paths(paths)
    found = find_runs(given, split, checkpoint)
    runs = [read_run(path, split, checkpoint) for path in found.runs]
    settings = _settings(runs, found, given)
    if threshold is not None and len(settings) > 1:
        raise UsageError(f"--threshold: a return means the same in one task setting only; there are {len(settings)}")
    _check_reference(reference, settings)
    sections = tuple(
        section_of(alike, request, reference if reference and names_a_group(reference, alike.groups) else None)
        for alike in settings
    )
    return Comparison(sections, (*_notes(settings, reference), *found.notes), found.studies, given, _words(request))


def _paths(paths: object) -> tuple[Path, ...]:
    """Return the paths. Raises UsageError for anything else than a path, a sequence of paths, or a study."""
    if isinstance(paths, Study):
        return paths.paths if paths.has_others else (paths.path,)
    every = [paths] if isinstance(paths, Path | str) else paths
    if not isinstance(every, Sequence) or not all(isinstance(path, Path | str) for path in every):
        raise UsageError(f"compare: expected the paths of run folders or studies, found {paths!r}")
    return tuple(map(Path, every))


def _settings(runs: Sequence[EvaluatedRun], found: FoundRuns, given: Sequence[Path]) -> list[AlikeGroups]:
    """Return the groups of each task setting of each environment, checked.

    Raises:
        UsageError: the seeds of a group were not evaluated alike, or runs of different environments, which are not of
            one study, were given one by one.
    """
    by_env: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        by_env.setdefault(run.curve.env, []).append(run)
    if len(by_env) > 1 and len(found.studies) < len(given) and not found.of_one_study:
        listed = ", ".join(f"{env} ({each[0].path})" for env, each in by_env.items())
        raise UsageError(f"compare: runs of different environments cannot share a table: {listed}")
    settings: list[AlikeGroups] = []
    for each in by_env.values():
        groups = group_runs("compare", each)
        for label, group in zip(short_labels(groups), groups, strict=True):
            check_alike(label, group)
        settings += by_setting(groups)
    return settings


def _check_reference(name: str | None, settings: Sequence[AlikeGroups]) -> None:
    """Raise UsageError if no setting has the reference."""
    if name is not None and not any(names_a_group(name, alike.groups) for alike in settings):
        raise reference_error(name, [group for alike in settings for group in alike.groups])


def _notes(settings: Sequence[AlikeGroups], reference: str | None) -> list[str]:
    """Return notes on sections that could surprise: task settings that differ, and a reference that some lack."""
    found = []
    envs = [alike.groups[0].runs[0].curve.env for alike in settings]
    for env in dict.fromkeys(envs):
        names = [alike.setting for alike, other in zip(settings, envs, strict=True) if env == other]
        if len(names) > 1:
            found.append(f"task settings of {env} differ ({'; '.join(names)}): nothing is compared across them")
    if lacking := sum(reference is not None and not names_a_group(reference, each.groups) for each in settings):
        found.append(
            f"{lacking} of {len(settings)} task settings have no group {reference!r}: the first is taken there"
        )
    return found


def _words(request: Request) -> tuple[str, ...]:
    """Return the options that differ from their defaults as words of a command line."""
    defaults = asdict(Request())
    return tuple(
        word for name, value in asdict(request).items() if value != defaults[name] for word in (f"--{name}", str(value))
    )
