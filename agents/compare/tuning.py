"""Warnings about options that differ together with agent or model."""

import itertools
from collections.abc import Sequence

from agents.compare.groups import IDENTITY, differing_options
from agents.compare.listing import listed, quoted
from agents.compare.result import Group

BUDGETS = ("iterations",)
"""Options that are part of the budget."""


def tuning_warnings(groups: Sequence[Group]) -> list[str]:
    """Warn if options differ together with agent or model, so that an effect cannot be attributed to either.

    A full grid, where each combination of plug-ins has each combination of options, is deliberate and no objection.
    """
    found = []
    if unknown := [group.label for group in groups if not _knows_options(group)]:
        found.append(f"tuning is unknown: the options of {quoted(unknown)} are not in the run folders")
    agents_differ = len({group.agent for group in groups}) > 1
    models_differ = len({group.model for group in groups}) > 1
    if not (agents_differ or models_differ):
        return found
    differing = _confounded(groups)
    if differing:
        compared = " and ".join(["agent"] * agents_differ + ["model"] * models_differ)
        found.append(
            f"tuning differs: besides the {compared}, groups differ in {listed(differing)}; "
            "their effects cannot be separated"
        )
    return found


def _confounded(groups: Sequence[Group]) -> list[str]:
    """Return the options that differ together with agent or model.

    They are looked for among all groups, without the options that agents or models have for themselves, and among the
    groups of one agent or one model, whose options are the same ones.
    """
    agents, models = (list(dict.fromkeys(each)) for each in zip(*((g.agent, g.model) for g in groups), strict=True))
    own = (*["agent."] * (len(agents) > 1), *["model."] * (len(models) > 1))
    found = _uncrossed(groups, ("",), (*own, "evaluated.", "origins.", "env."))
    for agent in agents:
        found += _uncrossed([group for group in groups if group.agent == agent], ("agent.",))
    for model in filter(None, models):  # an agent without a network has none
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
        {
            name: value
            for name, value in group.options.items()
            if name not in skipped and name.startswith(kept) and not name.startswith(left_out)
        }
        for group in groups
    ]
    differing = differing_options(rest)
    plugins = [(group.agent, group.model) for group in groups]
    settings = [tuple(str(options.get(name)) for name in differing) for options in rest]
    crossed = {*zip(plugins, settings, strict=True)} == {*itertools.product({*plugins}, {*settings})}
    return [] if crossed or len({*plugins}) == 1 else differing


def _knows_options(group: Group) -> bool:
    return any(name.startswith("agent.") for name in group.options) or group.learning is None
