"""Combinations of plug-ins in a study, and the options that apply to each of them."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agents.core.registry import REGISTRIES
from agents.study.request import Request, Variant
from agents.study.setting import Setting
from qrl.common.checks import abbreviated


@dataclass(frozen=True)
class Combination:
    """Plug-ins of some runs, their variant, and the settings that apply to these plug-ins."""

    names: dict[str, str]
    """Names of the chosen plug-ins by role; a role without a name has its default."""
    variant: Variant
    settings: tuple[Setting, ...] = ()
    """Settings of all runs and of the variant."""
    axes: tuple[tuple[Setting, ...], ...] = ()
    """Axes of the grid."""

    def label(self, point: Sequence[Setting] = ()) -> str:
        """Return a description for messages."""
        parts = [*(f"{role} {name}" for role, name in self.names.items())]
        parts += [f"variant {self.variant.name}"] if self.variant.name else []
        return ", ".join([*parts, *(f"{each.name} {abbreviated(each.text)}" for each in point)])


def combinations(request: Request) -> list[Combination]:
    """Return the combinations of plug-ins and variants of a request, without settings."""
    found = []
    for variant in request.variants:
        lists = {role: [variant.names[role]] if role in variant.names else request.names.get(role) or [None]
                 for role in REGISTRIES}  # fmt: skip
        for names in itertools.product(*lists.values()):
            chosen = zip(lists, names, strict=True)
            found.append(Combination({role: name for role, name in chosen if name is not None}, variant))
    return found


def with_settings(
    request: Request, found: Sequence[Combination], known: Callable[[Combination], frozenset[str]]
) -> tuple[list[Combination], list[str]]:
    """Return the combinations with the settings that apply to each, and notes on those that apply to some only.

    A setting that applies to none stays in all: it is refused when the words are parsed. A variant none of whose
    settings apply to a combination is left out there.

    Args:
        request: request of the study.
        found: combinations without settings.
        known: function that returns the names of the options of `train` for a combination, such as "--agent.discount".
    """
    options = [known(combination) for combination in found]
    anywhere = frozenset[str]().union(*options)
    notes: dict[str, None] = {}

    def note(one: Setting, variant: Variant | None = None) -> None:
        """Note that an option applies to some combinations only, of a variant or of all."""
        if f"--{one.name}" in anywhere:
            pairs = zip(found, options, strict=True)
            having = [(each, f"--{one.name}" in own) for each, own in pairs if variant in (None, each.variant)]
            notes[_partial(one, having)] = None

    for one in (*request.settings, *(axis[0] for axis in request.grid.values())):
        note(one)
    for variant in request.variants:
        for one in variant.settings:
            note(one, variant)
    made = []
    for combination, own in zip(found, options, strict=True):

        def applies(one: Setting, own: frozenset[str] = own) -> bool:
            return f"--{one.name}" in own or f"--{one.name}" not in anywhere

        variant = combination.variant
        mine = tuple(each for each in variant.settings if applies(each))
        if variant.settings and not mine:
            notes[f"note: no run of {combination.label()}: no option of the variant applies"] = None
            continue
        replaced = {each.name for each in mine}
        common = tuple(each for each in request.settings if applies(each) and each.name not in replaced)
        grid = tuple(axis for axis in request.grid.values() if applies(axis[0]))
        made.append(Combination(combination.names, variant, (*common, *mine), grid))
    return made, [note for note in notes if note]


def _partial(one: Setting, having: Sequence[tuple[Combination, bool]]) -> str:
    """Return a note on an option that only some plug-ins have; "" if all have it."""
    if all(has for _, has in having):
        return ""
    role = one.role if one.role in REGISTRIES else "env"  # Options such as --vary are those of environments.
    names = [(each.names.get(role, f"the default {role}"), has) for each, has in having]
    have, lack = (_listed(name for name, has in names if has is wanted) for wanted in (True, False))
    if not have:
        return f"note: --{one.name} does not apply to {lack}"
    return f"note: --{one.name} applies to {have}, not to {lack}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
