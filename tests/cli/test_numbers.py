"""Numbers that no option can take, for every option of every plug-in and command."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator

import pytest

from agents.cli.compare_options import CompareOptions, ReportOptions
from agents.cli.options import (
    EvaluateOptions,
    ExportOptions,
    PlotOptions,
    ResumeOptions,
    RobustnessOptions,
)
from agents.cli.parse import parse
from agents.core.plain import from_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec, policy_config
from agents.select.options import SelectOptions
from qrl.common.checks import check_count, finite_number
from qrl.common.errors import UsageError

HUGE = 10**25
WITHOUT_DECIMAL_FORM = 10**5000
COMMANDS = {
    "evaluate": (EvaluateOptions, ["run"]),
    "resume": (ResumeOptions, ["run"]),
    "robustness": (RobustnessOptions, ["run"]),
    "export": (ExportOptions, ["run"]),
    "plot": (PlotOptions, ["run"]),
    "compare": (CompareOptions, ["run"]),
    "report": (ReportOptions, ["run"]),
    "select": (SelectOptions, ["file.csv"]),
}


def kinds(hint: object) -> set[object]:
    """Types of the numbers of an option."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, list):
        return set().union(*map(kinds, typing.get_args(hint)))
    return {hint}


def numbers(cls: type) -> Iterator[tuple[str, object, bool]]:
    """Name and type of each option that holds numbers, and whether it holds several."""
    for name, hint in typing.get_type_hints(cls).items():
        if name in {field.name for field in dataclasses.fields(cls)}:
            for kind in kinds(hint) & {int, float}:
                yield name, kind, typing.get_origin(hint) in (tuple, list)


def plugins() -> Iterator[tuple[str, str]]:
    for role, registry in REGISTRIES.items():
        yield from ((role, name) for name, summary in registry.available().items() if summary.usable)


def refused(cls: type, name: str, value: object, several: bool) -> str:
    given = [value] if several else value
    with pytest.raises(UsageError) as caught:
        from_plain(cls, {name: given}, "configuration")
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


def check_options(cls: type) -> None:
    for name, kind, several in numbers(cls):
        bad = (
            [HUGE, -HUGE, WITHOUT_DECIMAL_FORM]
            if kind is int
            else [WITHOUT_DECIMAL_FORM, math.inf, -math.inf, math.nan]
        )
        for value in bad:
            assert name.split("_")[0] in refused(cls, name, value, several)
        if kind is int:
            refused(cls, name, -1, several)


@pytest.mark.parametrize(("role", "name"), list(plugins()))
def test_every_option_of_every_plugin(role, name):
    check_options(REGISTRIES[role].load(name).Config)


def test_every_option_of_the_policy_and_of_a_run():
    check_options(policy_config())
    whole = {field.name for field in dataclasses.fields(Spec)}
    for name, hint in typing.get_type_hints(Spec).items():
        if name in whole and hint is int:
            for value in (HUGE, -HUGE, WITHOUT_DECIMAL_FORM, -1, 2**63 - 1 if name != "seed" else 2**63):
                with pytest.raises(UsageError, match=name.split("_")[0]):
                    Spec.default(**{name: value})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command(command):
    cls, arguments = COMMANDS[command]
    for name, kind, _ in numbers(cls):
        option = f"--{name.replace('_', '-')}"
        for word in ("9" * 5000, "1e400", "nan", "", "three", *(["9" * 25, "-1", "1.5"] if kind is int else [])):
            if (command, name) == ("robustness", "shots") and word == "-1":
                continue  # refused with the backends
            with pytest.raises(UsageError, match=option):
                parse(command, cls, [*arguments, option, word], description="")


def test_messages_name_the_largest_value_and_shorten_long_ones():
    with pytest.raises(
        UsageError, match=r"^n must be at most 9223372036854775807, not a number of about 5,000 digits$"
    ):
        check_count("n", 10**5000)
    with pytest.raises(UsageError, match=r"^x must be finite, not a number of about 5,000 digits$"):
        finite_number("x", 10**5000)
    assert "at most 1024, not 5000" in refused(Spec, "threads", 5000, several=False)
    assert "must be at most 1000000, not 1000001" in refused(Spec, "eval_tasks", 1_000_001, several=False)
