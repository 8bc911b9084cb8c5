"""Criteria of the comparison of recurrent models, by hand."""

import pytest

from benchmarks import trials
from benchmarks.shared.statistics import interval, t_interval


def model(trial=0.0, gain=(0.0,), forgetful=(0.0,)):
    return {"trial": {"mean": trial}, "gain": t_interval(list(gain)), "forgetful_gain": t_interval(list(forgetful))}


def test_targets_apply_only_to_their_model():
    case = trials.Case("bandit", 10, {}, least={"qgru": 6.5, "gru": 6.61})
    found = trials.targets(case, {"qgru": model(6.6), "gru": model(6.6), "lstm": model(1.0)})
    assert {name: row["pass"] for name, row in found.items()} == {
        "qgru: return of a trial": True,
        "gru: return of a trial": False,
    }


@pytest.mark.parametrize(
    ("gain", "forgetful", "reached"),
    [
        ((10.0, 11.0, 12.0), (-0.1, 0.0, 0.2), True),
        ((10.0, 11.0, 12.0), (9.0, 9.5, 10.0), False),  # also without its memory
        ((-10.0, 11.0, 12.0), (-0.1, 0.0, 0.2), False),  # not in every seed
        ((10.0,), (0.0,), False),  # one seed shows nothing
    ],
)
def test_gain_counts_only_if_due_to_the_memory(gain, forgetful, reached):
    case = trials.Case("navigation", 3, {}, rises=True)
    (row,) = trials.targets(case, {"gru": model(gain=gain, forgetful=forgetful)}).values()
    assert row["pass"] == reached


def test_cases_use_the_defaults_of_the_agent():
    spec = trials.CASES["bandit-100"].spec("qgru", 2, quick=False)
    assert (spec.env, spec.agent, spec.model, spec.seed) == ("bandit", "rl2", "qgru", 2)
    assert (spec.agent_config.episodes, spec.agent_config.meta_batch) == (100, 1000)
    assert (spec.eval_tasks, spec.eval_episodes) == (20_000, 1)


def test_intervals_are_shown_with_their_half_width():
    assert interval({"mean": 1.25, "low": 1.0, "high": 1.5}, 2) == "1.25 ± 0.25"
    assert interval({"mean": 1.25, "low": None, "high": None}) == "1.2"
