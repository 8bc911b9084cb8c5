"""Task settings: groups whose returns may be compared have been evaluated alike on the same tasks of one family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.compare.configuration import flat
from agents.compare.groups import RunGroup, differing_options
from qrl.common.files import to_json

ENV, CODE = "env.", "origins.env."
"""Beginnings of the names of options of the task family, and of what is known about its code."""
TASKS, SEED, EPISODES = "tasks", "evaluation seed", "episodes per step"
"""Names of the further parts of a setting."""
BOUNDS = ("classical ceiling", "kind of ceiling", "optimum")
"""Names of what a certificate compares a success rate with."""

Setting = dict[str, object]
"""Options of the task family, number of tasks, seed of the evaluation, its episodes for each gradient step, and the
ceiling and the optimum on quantum data."""


@dataclass(frozen=True)
class AlikeGroups:
    """Groups with one task setting."""

    setting: str
    """In what the setting differs from others of the environment; empty if there is only one."""
    groups: tuple[RunGroup, ...]


def by_setting(groups: Sequence[RunGroup]) -> tuple[AlikeGroups, ...]:
    """Return the groups of one environment, those of each task setting together, in the order of the first ones."""
    settings = _completed([_setting_of(group) for group in groups])
    together: dict[str, list[int]] = {}
    for index, setting in enumerate(settings):
        together.setdefault(to_json(setting), []).append(index)
    names = differing_options(settings)
    return tuple(
        AlikeGroups(
            ", ".join(_text(name, settings[members[0]].get(name)) for name in names),
            tuple(groups[i] for i in members),
        )
        for members in together.values()
    )


def _setting_of(group: RunGroup) -> Setting:
    curve = group.runs[0].curve
    options = dict(flat(curve.env_options, ENV)) or _below(group.options, ENV)
    seeds = sorted({run.curve.seed for run in group.runs})
    per_step = curve.episodes[1] - curve.episodes[0] if curve.axis == "gradient_steps" and len(curve.x) > 1 else None
    code = _below(group.options, CODE)
    certificate = curve.certificate
    bounds = {} if certificate is None else dict(zip(BOUNDS, certificate.bounds, strict=True))
    return {**options, **code, **bounds, TASKS: curve.n_tasks, SEED: " and ".join(map(str, seeds)), EPISODES: per_step}


def _completed(settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings, those without gradient steps with the episodes of the only other setting like them."""
    found = []
    for setting in settings:
        alike = [each for each in settings if {**each, EPISODES: None} == {**setting, EPISODES: None}]
        known = {each[EPISODES] for each in alike} - {None}
        found.append({**setting, EPISODES: known.pop()} if setting[EPISODES] is None and len(known) == 1 else setting)
    return found


def _text(name: str, value: object) -> str:
    if name in (TASKS, EPISODES):
        return f"{value} {name}" if value is not None else "no gradient steps"
    if name.startswith(CODE):
        return f"{name.removeprefix(CODE)} of the code {value}"
    return f"{name.removeprefix(ENV)} {value}"


def _below(options: Mapping[str, object], prefix: str) -> Setting:
    return {name: value for name, value in options.items() if name.startswith(prefix)}
