"""Warnings about comparisons that a careful reader would object to: one line each."""

import itertools
from collections.abc import Callable, Sequence

from agents.compare.configuration import FROM
from agents.compare.groups import RunGroup
from agents.compare.listing import listed, quoted
from agents.compare.relations import scales_differ
from agents.compare.result import Group
from agents.compare.statistics import MIN_SEEDS
from agents.compare.tuning import tuning_warnings
from agents.runs.program import program

HEADLINE_SEEDS = 10
"""Number of seeds that a headline claim needs."""
STEPS_RATIO = 1.1
"""Ratio of environment steps beyond which budgets differ; episodes that end early make small differences."""
LEAST_TASKS = 20
"""Number of tasks from which on the coverage of intervals is known (`benchmarks.coverage`)."""


def warnings_of(groups: Sequence[Group], own: Sequence[RunGroup]) -> tuple[str, ...]:
    """Return the warnings about measured groups and their runs, in the same order."""
    checks: tuple[Callable[[Sequence[Group], Sequence[RunGroup]], list[str]], ...] = (
        _seeds,
        _copies,
        _unequal_seeds,
        _few_tasks,
        _episodes,
        _unfinished,
        _pretrained,
        _scales,
        _budgets,
        lambda groups, own: tuning_warnings(groups),
        _provenance,
    )
    return tuple(itertools.chain.from_iterable(check(groups, own) for check in checks))


def _seeds(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    counted = [group for group in groups if not group.is_deterministic] or groups
    fewest = min(group.n_seeds for group in counted)
    if fewest < MIN_SEEDS:
        few = [group.label for group in counted if group.n_seeds < MIN_SEEDS]
        which = f" ({quoted(few)})" if len(few) < len(counted) else ""
        return [
            f"too few seeds for a claim: {_seeds_text(fewest)}{which}; intervals are shown from {MIN_SEEDS} seeds on"
        ]
    if fewest < HEADLINE_SEEDS:
        return [f"few seeds: {fewest}; a headline claim needs {HEADLINE_SEEDS} or more"]
    return []


def _copies(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    copied = [group.label for group in groups if group.is_deterministic]
    if not copied:
        return []
    return [f"equal returns of all seeds on every task: {quoted(copied)}; they count as one seed, without an interval"]


def _unequal_seeds(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    compared = [group for group in groups if not group.is_deterministic]  # Copies pair with every seed.
    if len({frozenset(map(str, group.seeds)) for group in compared}) <= 1:
        return []
    which = _by_group(compared, [identities(group.seeds) for group in compared])
    return [f"seeds differ between groups {which}; paired differences use the seeds that both groups have"]


def identities(seeds: Sequence[object]) -> str:
    """Return which seeds these are, such as "seeds 0 to 4 and 17".

    >>> identities([3, 0]), identities([5]), identities([0, 1, 2, 9]), identities(["a"])
    ('seeds 0 and 3', 'seed 5', 'seeds 0 to 2 and 9', 'seed a')
    """
    numbers = sorted(seed for seed in seeds if isinstance(seed, int))
    parts = [str(seed) for seed in seeds if not isinstance(seed, int)]
    for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        first, *rest = (seed for _, seed in run)
        parts += [f"{first} to {rest[-1]}"] if len(rest) > 1 else map(str, [first, *rest])
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"seed{'s' * (len(seeds) > 1)} {listed}"


def _few_tasks(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    fewest = min(group.n_tasks for group in groups)
    if fewest >= LEAST_TASKS:
        return []
    return [f"few tasks: {fewest}; a claim about new tasks needs {LEAST_TASKS} or more"]


def _episodes(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    mixed = [
        group.label for group, one in zip(groups, own, strict=True) if len({run.curve.seed for run in one.runs}) > 1
    ]
    if not mixed:
        return []
    return [
        f"runs of {quoted(mixed)} were evaluated with different seeds: the tasks are the same, the episodes are not"
    ]


def _unfinished(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    runs = [run for group in own for run in group.runs if run.shortfall]
    if not runs:
        return []
    which = listed([f"{run.path} {run.shortfall}" for run in runs])
    return [f"training has not come to its end: {which}; {program()} resume RUN continues and evaluates it"]


def _pretrained(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    labels = [group.label for group in groups if group.options.get(FROM) is not None]
    if not labels:
        return []
    return [f"environment steps and Ŝ of {quoted(labels)} leave out the training of the weights that they start from"]


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
    return [f"budgets differ: {'; '.join(parts)}"] if parts else []


def _experience(group: Group) -> str:
    episodes = group.episodes[group.x.index(group.at.x)]
    return f"{episodes} episode{'s' * (episodes != 1)}"


def _provenance(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    members = [member.provenance for group in groups for member in group.members]
    names = dict.fromkeys(name for provenance in members for name in provenance)
    parts = []
    for name in names:
        values = sorted({provenance.get(name, "unknown") for provenance in members})
        if len(values) > 1:
            parts.append(f"{name} {listed([_short(name, value) for value in values])}")
    return [f"runs were made by different versions: {'; '.join(parts)}"] if parts else []


def _short(name: str, value: str) -> str:
    if name != "commit" or value == "unknown":
        return value
    commit, plus, changes = value.partition("+")
    return commit[:10] + plus + changes


def _by_group(groups: Sequence[Group], values: Sequence[str]) -> str:
    return f"({listed([f'{group.label!r}: {value}' for group, value in zip(groups, values, strict=True)])})"


def _seeds_text(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"
