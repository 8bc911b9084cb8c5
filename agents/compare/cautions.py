"""Warnings about comparisons that a careful reader would object to: one line each."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from agents.compare.configuration import FROM
from agents.compare.groups import IDENTITY, RunGroup, differing_options
from agents.compare.relations import scales_differ
from agents.compare.result import Group
from agents.compare.statistics import MIN_SEEDS
from agents.runs.program import program

HEADLINE_SEEDS = 10
"""Number of seeds that a headline claim needs."""
STEPS_RATIO = 1.1
"""Ratio of environment steps beyond which budgets differ; episodes that end early make small differences."""
BUDGETS = ("iterations",)
"""Options that are part of the budget."""
LEAST_TASKS = 20
"""Number of tasks from which on the coverage of intervals is known (`benchmarks.coverage`)."""
MOST_SHOWN = 4
"""Maximum number of options or groups that a warning names."""


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
        _tuning,
        _provenance,
    )
    return tuple(itertools.chain.from_iterable(check(groups, own) for check in checks))


def _seeds(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    counted = [group for group in groups if not group.is_deterministic] or groups
    fewest = min(group.n_seeds for group in counted)
    if fewest < MIN_SEEDS:
        few = [group.label for group in counted if group.n_seeds < MIN_SEEDS]
        which = f" ({_labels(few)})" if len(few) < len(counted) else ""
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
    return [f"equal returns of all seeds on every task: {_labels(copied)}; they count as one seed, without an interval"]


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
        f"runs of {_labels(mixed)} were evaluated with different seeds: the tasks are the same, the episodes are not"
    ]


def _unfinished(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    runs = [run for group in own for run in group.runs if run.shortfall]
    if not runs:
        return []
    which = _listed([f"{run.path} {run.shortfall}" for run in runs])
    return [f"training has not come to its end: {which}; {program()} resume RUN continues and evaluates it"]


def _pretrained(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    labels = [group.label for group in groups if group.options.get(FROM) is not None]
    if not labels:
        return []
    return [f"environment steps and Ŝ of {_labels(labels)} leave out the training of the weights that they start from"]


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


def _tuning(groups: Sequence[Group], own: Sequence[RunGroup]) -> list[str]:
    """Warn if options differ together with agent or model, so that an effect cannot be attributed to either.

    A full grid, where each combination of plug-ins has each combination of options, is deliberate and no objection.
    """
    found = []
    if unknown := [group.label for group in groups if not _knows_options(group)]:
        found.append(f"tuning is unknown: the options of {_labels(unknown)} are not in the run folders")
    agents_differ = len({group.agent for group in groups}) > 1
    models_differ = len({group.model for group in groups}) > 1
    if not (agents_differ or models_differ):
        return found
    differing = _confounded(groups)
    if differing:
        compared = " and ".join(["agent"] * agents_differ + ["model"] * models_differ)
        found.append(
            f"tuning differs: besides the {compared}, groups differ in {_listed(differing)}; "
            "the effect of one cannot be told from that of the other"
        )
    return found


def _confounded(groups: Sequence[Group]) -> list[str]:
    """Return the options that differ together with agent or model.

    They are looked for among all groups, without the options that agents or models have for themselves, and among the
    groups of one agent or one model, whose options are the same ones.
    """
    agents, models = {group.agent for group in groups}, {group.model for group in groups}
    own = (*["agent."] * (len(agents) > 1), *["model."] * (len(models) > 1))
    found = _uncrossed(groups, ("",), (*own, "evaluated.", "origins.", "env."))
    for agent in agents:
        found += _uncrossed([group for group in groups if group.agent == agent], ("agent.",))
    for model in models - {""}:
        found += _uncrossed([group for group in groups if group.model == model], ("model.",))
    return list(dict.fromkeys(found))


def _uncrossed(groups: Sequence[Group], kept: tuple[str, ...], left_out: tuple[str, ...] = ()) -> list[str]:
    """Return the options in which groups differ together with agent or model.

    There is none if agent and model are the same, or if each of their combinations has each combination of options.

    Args:
        groups: the groups.
        kept: beginnings of the names of options.
        left_out: beginnings of names among these that do not count.
    """
    skipped = (*BUDGETS, *IDENTITY)
    rest = [
        _part(
            group.options, lambda name: name not in skipped and name.startswith(kept) and not name.startswith(left_out)
        )
        for group in groups
    ]
    differing = differing_options(rest)
    plugins = [(group.agent, group.model) for group in groups]
    settings = [tuple(str(options.get(name)) for name in differing) for options in rest]
    crossed = {*zip(plugins, settings, strict=True)} == {*itertools.product({*plugins}, {*settings})}
    return [] if crossed or len({*plugins}) == 1 else differing


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


def _by_group(groups: Sequence[Group], values: Sequence[str]) -> str:
    return f"({_listed([f'{group.label!r}: {value}' for group, value in zip(groups, values, strict=True)])})"


def _labels(labels: Sequence[str]) -> str:
    return _listed([repr(label) for label in labels])


def _seeds_text(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _listed(items: "Sequence[str] | map[str]") -> str:
    """Return items joined by commas, the later ones of a long list counted only."""
    every = list(items)
    more = len(every) - MOST_SHOWN
    return ", ".join(every[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
