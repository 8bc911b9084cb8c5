"""Criteria of the comparison of recurrent models, by hand."""

import pytest

from benchmarks import trials
from benchmarks.shared.estimates import single


def model(trial=0.0, gain=(0.0,), forgetful=(0.0,)):
    return {"trial": {"mean": trial}, "gain": single(gain), "forgetful_gain": single(forgetful)}


def test_targets_apply_only_to_their_model():
    case = trials.Case({"qgru": 6.5, "gru": 6.61})
    found = trials.targets(case, {"qgru": model(6.6), "gru": model(6.6), "lstm": model(1.0)})
    assert {name: row["pass"] for name, row in found.items()} == {
        "qgru: return of a trial": True,
        "gru: return of a trial": False,
    }


@pytest.mark.parametrize(
    ("gain", "forgetful", "reached"),
    [
        ((10.0, 11.0, 12.0, 10.0, 11.0), (-0.1, 0.0, 0.2, -0.1, 0.0), True),
        ((10.0, 11.0, 12.0, 10.0, 11.0), (9.0, 9.5, 10.0, 9.0, 9.5), False),  # also without its memory
        ((-10.0, 11.0, 12.0, -10.0, 11.0), (-0.1, 0.0, 0.2, -0.1, 0.0), False),  # not in every seed
        ((10.0, 11.0, 12.0), (-0.1, 0.0, 0.2), False),  # too few seeds
        ((10.0,), (0.0,), False),  # one seed shows nothing
    ],
)
def test_gain_counts_only_if_due_to_the_memory(gain, forgetful, reached):
    case = trials.Case(rises=True)
    (row,) = trials.targets(case, {"gru": model(gain=gain, forgetful=forgetful)}).values()
    assert row["pass"] == reached
