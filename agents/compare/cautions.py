"""Warnings about comparisons that a careful reader would object to: one line each."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from agents.compare.groups import IDENTITY, RunGroup, differing_options
from agents.compare.relations import scales_differ
from agents.compare.result import Group
from agents.compare.statistics import MIN_SEEDS

HEADLINE_SEEDS = 10
"""Number of seeds that a headline claim needs."""
STEPS_RATIO = 1.1
"""Ratio of environment steps beyond which budgets differ; episodes that end early make small differences."""
BUDGETS = ("iterations",)
"""Options that are part of the budget."""
TASK_OPTIONS = ("env.", "origins.env")
"""Beginnings of the names of options that define the tasks."""
MOST_SHOWN = 4
"""Maximum number of options or groups that a warning names."""


def warnings_of(groups: Sequence[Group], own: Sequence[RunGroup]) -> tuple[str, ...]:
    """Return the warnings about measured groups and their runs, in the same order."""
    checks: tuple[Callable[[Sequence[Group], Sequence[RunGroup]], list[str]], ...] = (
        _seeds,
        _unequal_seeds,
        _tasks,
        _scales,
        _budgets,
        _tuning,
        _provenance,
    )
    return tuple(itertools.chain.from_iterable(check(groups, own) for check in checks))


def _seeds(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    fewest = min(group.n_seeds for group in groups)
    if fewest < MIN_SEEDS:
        few = [group.label for group in groups if group.n_seeds < MIN_SEEDS]
        which = f" ({_listed(few)})" if len(few) < len(groups) else ""
        return [
            f"too few seeds for a claim: {_seeds_text(fewest)}{which}; intervals are shown from {MIN_SEEDS} seeds on"
        ]
    if fewest < HEADLINE_SEEDS:
        return [f"few seeds: {fewest}; a headline claim needs {HEADLINE_SEEDS} or more"]
    return []


def _unequal_seeds(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    if len({frozenset(map(str, group.seeds)) for group in groups}) == 1:
        return []
    counts = _listed([f"{group.label}: {group.n_seeds}" for group in groups])
    return [f"seeds differ between groups ({counts}); paired differences use the seeds that both groups have"]


def _tasks(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    found = []
    curves = [group.runs[0].curve for group in own]
    options = [_part(group.options, lambda name: name.startswith(TASK_OPTIONS)) for group in own]
    if differing := differing_options(options):
        shown = [
            f"{name} {_values(options, name)}" if not name.startswith("origins.") else f"the {name} of the code"
            for name in differing
        ]
        found.append(f"tasks differ: {_listed(shown)}; no differences are shown across them, nor shares and Ŝ")
    if len({curve.n_tasks for curve in curves}) > 1:
        counts = sorted({curve.n_tasks for curve in curves})
        found.append(f"tasks differ: evaluated on {_listed(map(str, counts))} tasks; evaluate all runs on the same")
    if len({run.curve.seed for group in own for run in group.runs}) > 1:
        same = "the tasks are the same, the episodes are not"
        found.append(f"evaluations differ in their seed: {same if curves[0].split != 'train' else 'tasks differ, too'}")
    return found


def _scales(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    if not scales_differ(groups):
        return []
    trained = [group for group in groups if group.learning is not None]
    scales = ["return of an episode" if group.axis == "gradient_steps" else "return of a trial" for group in trained]
    return [f"learning curves differ in scale {_by_group(trained, scales)}; no Ŝ is shown"]


def _budgets(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    parts = []
    if trained := [group for group in groups if group.learning is not None]:
        iterations = [str(group.options.get("iterations")) for group in trained]
        if len({*iterations}) > 1:
            parts.append("iterations " + _by_group(trained, iterations))
        steps = [group.env_steps for group in trained]
        if max(steps) > STEPS_RATIO * max(min(steps), 1):
            parts.append("environment steps " + _by_group(trained, [f"{each:,.0f}" for each in steps]))
    spent = [_experience(group) for group in groups]
    if len({*spent}) > 1:
        parts.append("experience before the compared return " + _by_group(groups, spent))
    curves = [run.curve for group in own for run in group.runs]
    adapted = [curve for curve in curves if curve.axis == "gradient_steps" and len(curve.x) > 1]
    per_point = {curve.episodes[1] - curve.episodes[0] for curve in adapted}
    if len(per_point) > 1:
        parts.append(f"episodes of an evaluation per step: {_listed(map(str, sorted(per_point)))}")
    return [f"budgets differ: {'; '.join(parts)}"] if parts else []


def _experience(group: Group) -> str:
    episodes = group.episodes[group.x.index(group.at.x)]
    return f"{episodes} episode{'s' * (episodes != 1)}"


def _tuning(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    """Warn if options differ together with agent or model, so that an effect cannot be attributed to either.

    A full grid, where each combination of plug-ins has each combination of options, is deliberate and no objection.
    """
    found = []
    if unknown := [group.label for group in groups if not _knows_options(group)]:
        found.append(f"tuning is unknown: the options of {_listed(unknown)} are not in the run folders")
    plugins = [tuple(str(group.options.get(name)) for name in IDENTITY) for group in groups]
    agents_differ, models_differ = (len({plugin[i] for plugin in plugins}) > 1 for i in (1, 2))
    if not (agents_differ or models_differ):
        return found
    own_options = ["agent."] * agents_differ + ["model."] * models_differ
    skipped = (*own_options, "evaluated.", "origins.", "env.")
    rest = [
        _part(group.options, lambda name: name not in (*BUDGETS, *IDENTITY) and not name.startswith(skipped))
        for group in groups
    ]
    differing = differing_options(rest)
    settings = [tuple(str(options.get(name)) for name in differing) for options in rest]
    crossed = {*zip(plugins, settings, strict=True)} == {*itertools.product({*plugins}, {*settings})}
    if differing and not crossed:
        compared = " and ".join(["agent"] * agents_differ + ["model"] * models_differ)
        found.append(
            f"tuning differs: besides the {compared}, groups differ in {_listed(differing)}; "
            "the effect of one cannot be told from that of the other"
        )
    return found


def _knows_options(group: Group) -> bool:
    return any(name.startswith("agent.") for name in group.options) or group.learning is None


def _provenance(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    members = [member.provenance for group in groups for member in group.members]
    names = dict.fromkeys(name for provenance in members for name in provenance)
    parts = []
    for name in names:
        values = sorted({provenance.get(name, "unknown") for provenance in members})
        if len(values) > 1:
            parts.append(f"{name} {_listed([_short(name, value) for value in values])}")
    return [f"runs were made by different versions: {'; '.join(parts)}"] if parts else []


def _short(name: str, value: str) -> str:
    if name != "commit" or value == "unknown":
        return value
    commit, plus, changes = value.partition("+")
    return commit[:10] + plus + changes


def _part(options: Mapping[str, object], keep: Callable[[str], bool]) -> dict[str, object]:
    return {name: value for name, value in options.items() if keep(name)}


def _values(options: Sequence[Mapping[str, object]], name: str) -> str:
    return " and ".join(dict.fromkeys(str(each.get(name)) for each in options))


def _by_group(groups: Sequence[Group], values: Sequence[str]) -> str:
    return f"({_listed([f'{group.label}: {value}' for group, value in zip(groups, values, strict=True)])})"


def _seeds_text(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _listed(items: "Sequence[str] | map[str]") -> str:
    """Return items joined by commas, the later ones of a long list counted only."""
    every = list(items)
    more = len(every) - MOST_SHOWN
    return ", ".join(every[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
