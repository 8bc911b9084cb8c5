"""The tests' run-time checks of shapes and types."""

import dataclasses
from typing import Literal

import pennylane
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from agents.core.rollout import Rollout
from agents.rl import returns
from qrl.common import errors
from tests.support import typechecks

THREE, FOUR = torch.zeros(3), torch.zeros(4)


@typechecks.checked
def summed(x: Float[Tensor, " row"], y: Float[Tensor, " row"], name: str = "") -> Float[Tensor, " row"]:
    return torch.cat([x, y]) if name == "joined" else x + y


@typechecks.checked
def plain(x: int) -> str:
    return "three" if x == 3 else x


@typechecks.checked
def named(x: "str", y: "Nowhere", z: list["Nowhere"]) -> Literal["three"]:
    return x


def doubled(factor: int):
    @typechecks.checked
    def scaled(x: Float[Tensor, " row"], y: Float[Tensor, " row"], *, name: str = "") -> Float[Tensor, " row"]:
        return factor * summed(x, y, name)

    return scaled


@pytest.mark.parametrize(
    "call",
    [
        *(lambda factor=factor: doubled(factor)(THREE, FOUR[:1]) for factor in (2, 3)),
        lambda: doubled(2)(THREE, THREE, name="joined"),
        lambda: summed(THREE, FOUR[:1]),
        lambda: summed(THREE, THREE.long()),
        lambda: summed(THREE, THREE, 4),
        lambda: summed(THREE, THREE, "joined"),
        lambda: plain("three"),
        lambda: plain(4),
    ],
)
def test_mismatches_are_rejected_unless_checks_are_disabled(call, monkeypatch):
    assert torch.equal(summed(THREE, THREE), THREE) and torch.equal(summed(FOUR, FOUR), FOUR) and plain(3) == "three"
    with pytest.raises(BeartypeCallHintViolation):
        call()
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    call()


def test_of_many_calls_in_one_test_some_are_checked():
    for _ in range(typechecks.ALWAYS):
        plain(3)
    n_checked = 0
    for _ in range(10 * typechecks.ONE_IN):
        try:
            plain("four")
        except BeartypeCallHintViolation:
            n_checked += 1
    assert n_checked == 10
    typechecks.PROGRESS.n_tests += 1
    with pytest.raises(BeartypeCallHintViolation):
        plain("four")


def test_functions_within_functions_have_their_own_variables():
    """Their checks are compiled once."""
    two, three = doubled(2), doubled(3)
    assert (two(THREE + 1, THREE) == 2).all() and (three(FOUR + 1, FOUR, name="") == 3).all()


def test_types_given_as_strings_are_checked_if_defined():
    assert named("three", 1, 2) == "three"
    for wrong in (3, "four"):
        with pytest.raises(TypeCheckError):
            named(wrong, 1, 2)


def test_functions_and_dataclasses_of_the_project_are_checked():
    rows = torch.zeros(5, 2)
    with pytest.raises(BeartypeCallHintViolation):
        errors.suggest(3, [])
    with pytest.raises(BeartypeCallHintViolation):
        returns.generalised_advantages(rows, rows[:4], rows > 0, 0.9, 0.9)
    whole = {field.name: torch.zeros(5, 3, 2) for field in dataclasses.fields(Rollout)}
    whole |= {name: whole[name].bool() for name in ("valid", "terminated", "truncated")}
    whole |= {"observation": torch.zeros(5, 3, 2, 4), "episode": whole["episode"].long(), "final": torch.zeros(3, 2, 4)}
    assert Rollout(**whole).n_steps == 0
    with pytest.raises(BeartypeCallHintViolation):
        Rollout(**whole | {"reward": torch.zeros(5, 3, 1)})


def test_third_party_modules_are_not_decorated():
    assert isinstance(errors.__loader__, typechecks.CheckedLoader)
    assert not isinstance(pennylane.__loader__, typechecks.CheckedLoader)
