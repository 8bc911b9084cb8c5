"""Certificates: tails, intervals and counts by hand and by enumeration; fresh episodes; the report and the file."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

import agents
import envs
from agents.core.context import seed_sequences
from agents.core.spec import Spec
from agents.experiment.certificate import (
    Certificate,
    SuccessRate,
    count_successes,
    exact_interval,
    holm_adjusted,
    log10_tail,
    pooled,
)
from agents.experiment.certificate_text import certificate_lines, p_value_text
from agents.experiment.evaluation import Curve, adaptation_curve
from agents.experiment.plot import figure_of
from agents.experiment.returns import EvaluationPlan, evaluate_returns
from agents.random import Random
from envs.core.quantum_data import Ceiling, QuantumDataFamily
from qrl.common.errors import UsageError
from tests.support.compared_runs import curve_of
from tests.support.quantum_data import Coins, certificate


def log10_of(fraction: Fraction) -> float:
    """Return the decimal logarithm of a fraction of any size."""

    def of(number: int) -> float:
        shift = max(0, number.bit_length() - 1000)
        return math.log10(number >> shift) + shift * math.log10(2)

    return of(fraction.numerator) - of(fraction.denominator)


def enumerated(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1)), Fraction(0))


def test_nine_of_ten_by_hand():
    rate = SuccessRate.of(9, 10, 5 / 6, 1.0)
    # 10 (5/6)^9 (1/6) + (5/6)^10 = (5/2) (5/6)^9
    assert rate.p_value == pytest.approx(2.5 * (5 / 6) ** 9, rel=1e-12)
    assert (rate.n_successes, rate.n_episodes, rate.rate) == (9, 10, 0.9)
    assert rate.advantage == pytest.approx(0.4)  # (9/10 - 5/6) / (1/6)
    assert not rate.is_sufficient


@pytest.mark.parametrize(
    ("k", "n", "p"),
    [
        (0, 7, Fraction(1, 3)),
        (7, 7, Fraction(1, 3)),
        (5, 12, Fraction(2, 3)),
        (1500, 2000, Fraction(3, 8)),  # 5e-255
        (1990, 2000, Fraction(1, 2)),  # 2e-576, below the smallest float
        (2000, 2000, Fraction(5, 8)),
    ],
)
def test_tail_is_the_enumerated_one(k, n, p):
    assert log10_tail(k, n, float(p)) == pytest.approx(log10_of(enumerated(k, n, p)), abs=1e-9)


def test_tail_of_many_episodes_joins_at_the_underflow():
    """The logarithm falls smoothly across the place from which on it is computed as a series."""
    tails = np.array([log10_tail(k, 20_000, 2 / 3) for k in range(15_400, 15_900, 5)])
    assert tails[0] > -250 > tails[-1]
    assert np.abs(np.diff(tails, 2)).max() < 0.01


def test_underflowing_p_values_keep_their_logarithm():
    rate = SuccessRate.of(2000, 2000, 0.625, 1.0)
    assert rate.p_value == 0.0 and rate.log10_p_value == pytest.approx(2000 * math.log10(0.625))
    assert p_value_text(rate.log10_p_value) == "10^-408"


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (9, 10), (37, 120)])
def test_interval_has_tails_of_a_fortieth(k, n):
    """At the ends, the enumerated probability of the observed count or a more extreme one is 2.5 %."""
    low, high = exact_interval(k, n)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-8)
    if k:
        assert float(enumerated(k, n, Fraction(low))) == pytest.approx(0.025, abs=1e-9)
    if k < n:
        assert 1 - float(enumerated(k + 1, n, Fraction(high))) == pytest.approx(0.025, abs=1e-9)


def test_totals_of_trials_and_of_updates():
    of_trials = certificate(3, 4, n=5, of_trials=True)
    assert (of_trials.total.n_successes, of_trials.total.n_episodes) == (7, 10)
    of_updates = certificate(3, 4, n=5)
    assert of_updates.total == of_updates.by_x[1]
    assert [(each.n_successes, each.n_episodes) for each in of_updates.by_x] == [(3, 5), (4, 5)]


def test_pooled_counts_add_up():
    both = pooled([certificate(14_000), certificate(13_000)])
    assert (both.n_successes, both.n_episodes, both.rate) == (27_000, 40_000, 0.675)
    with pytest.raises(UsageError, match="different ceilings"):
        pooled([certificate(14_000), certificate(14_000, ceiling=0.6)])


def test_holm_by_hand():
    # p = .001, .1, .01: sorted times 3, 2, 1 are .003, .02, .1
    assert [10**each for each in holm_adjusted([-3.0, -1.0, -2.0])] == pytest.approx([0.003, 0.1, 0.02])
    # .04, .03: the larger is not adjusted below the smaller; and nothing above 1
    assert [10**each for each in holm_adjusted(np.log10([0.04, 0.03]).tolist())] == pytest.approx([0.06, 0.06])
    assert holm_adjusted([0.0, 0.0]) == [0.0, 0.0]


def test_counts_are_those_of_the_rollouts():
    family, plan = Coins(), EvaluationPlan(n_tasks=7, steps=2, episodes=11, seed=3)
    evaluated = evaluate_returns(Random(family.action_space), family, plan)
    expected = evaluated.per_task.sum(0) * plan.episodes
    np.testing.assert_allclose(evaluated.n_successes, expected)
    assert all(isinstance(count, int) for count in evaluated.n_successes)
    found = adaptation_curve(Random(family.action_space), family, plan).certificate
    assert found is not None and found.bounds == (0.4, "exact", 0.6) and not found.sufficient
    assert tuple(rate.n_successes for rate in found.by_x) == evaluated.n_successes
    assert {rate.n_episodes for rate in found.by_x} == {77}


def test_other_families_have_no_certificate():
    family = envs.make("bandit")
    assert not isinstance(family, QuantumDataFamily) and isinstance(Coins(), QuantumDataFamily)
    plan = EvaluationPlan(n_tasks=2, steps=1, episodes=2)
    assert adaptation_curve(Random(family.action_space), family, plan).certificate is None


def test_returns_other_than_0_and_1_are_refused():
    assert count_successes("coins", torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])).tolist() == [3]
    with pytest.raises(UsageError, match=r"coins: an episode on quantum data must return 0 or 1, not 0\.5"):
        count_successes("coins", torch.tensor([[[0.0, 0.5]]]))


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1])
def test_ceilings_are_probabilities(value):
    with pytest.raises(UsageError, match="ceiling of a classical memory"):
        Ceiling(value, "bound")


def test_episodes_are_fresh():
    """Their streams are none of training's or of validations', and differ between training seeds."""

    def keys(sequences):
        return {tuple(sequence.generate_state(4).tolist()) for sequence in sequences}

    plans = [EvaluationPlan(training_seed=seed) for seed in range(5)]
    fresh = [keys(plan.streams) for plan in plans]
    assert len(set.union(*fresh)) == 5 * 4
    others = [keys(seed_sequences(seed).values()) for seed in range(5)] + [keys(EvaluationPlan().streams)]
    assert not set.union(*fresh) & set.union(*others)
    assert others[0] & others[-1]  # Without the training seed, seed 0 evaluates on streams that it was trained on.


def test_runs_of_different_seeds_see_different_episodes(tmp_path):
    small = {"env": Coins(), "agent": "random", "eval_tasks": 3, "eval_episodes": 5, "progress": False}
    runs = [agents.train(tmp_path / str(seed), seed=seed, **small) for seed in range(2)]
    first, second, again = (run.evaluate(episodes=50) for run in (*runs, runs[0]))
    assert first.per_task != second.per_task and first.per_task == again.per_task
    assert first.n_tasks == 3  # as configured, not 100
    data = json.loads((tmp_path / "0" / "evaluation.json").read_text())
    assert data["certificate"]["total"]["n_episodes"] == 15 and data["certificate"]["sufficient"] is False


def test_the_environment_sets_its_number_of_tasks(monkeypatch):
    assert Spec.default(env="bandit").eval_tasks == 100
    fields, options = {"eval_tasks": 500}, {"episodes": 4}
    monkeypatch.setattr("envs.bandit.default_run", lambda config, agent: (fields, options), raising=False)
    assert Spec.default(env="bandit").eval_tasks == 500
    assert Spec.default(env="bandit").agent_config.episodes == 4
    assert Spec.default(env="bandit", eval_tasks=7).eval_tasks == 7


def test_round_trip_and_older_files():
    curve = curve_of([[0.0, 1.0], [1.0, 1.0]], certificate=certificate(13_000, 14_900))
    data = json.loads(json.dumps(curve.to_json()))
    again = Curve.from_json(data)
    assert again == curve and isinstance(again.certificate, Certificate)
    del data["certificate"]
    assert Curve.from_json(data) == replace(curve, certificate=None)
    damaged = curve.to_json()
    damaged["certificate"]["by_x"].pop()
    with pytest.raises(UsageError, match=r"certificate\.by_x has 1 values, x has 2"):
        Curve.from_json(damaged)
    damaged = curve.to_json()
    damaged["certificate"]["total"]["n_successes"] = 20_001
    with pytest.raises(UsageError, match="n_successes must be at most 20000"):
        Curve.from_json(damaged)


def test_report_of_enough_episodes():
    lines = certificate_lines(certificate(13_333, 14_950), "gradient_steps", [0, 1], 500)
    assert lines[0].startswith("success rate after 1 gradient step: 0.7475 [0.7414, 0.7535]")
    assert lines[0].endswith("14,950 of 20,000 episodes")
    assert lines[1] == "ceiling of any classical memory: 0.6667; optimum: 0.7500; share of the gap: 97.0 %"
    assert lines[2].startswith("p-value that a classical memory did as well: ") and lines[2].endswith("e-136")
    # One third of an episode below the ceiling.
    assert lines[4].split()[-3:] == ["0.0", "%", "0.51"]
    assert lines[6:] == ["these 2 p-values are not corrected for their number"]


def test_report_without_a_known_optimum():
    lines = certificate_lines(certificate(13_333, 14_950, optimum=None), "gradient_steps", [0, 1], 500)
    assert lines[1] == "ceiling of any classical memory: 0.6667; optimum: not known"
    assert lines[3].split() == ["gradient", "steps", "success", "rate", "p-value"]
    assert "%" not in "".join(lines[1:]) and lines[4].endswith("0.51")


def test_report_of_too_few_episodes_makes_no_claim():
    few = certificate(3_000, n=4_000, kind="bound")
    lines = certificate_lines(few, "gradient_steps", [0], 100)
    assert lines[1].startswith("bound on any classical memory: 0.6667")
    assert lines[2:] == [
        "certificate: 4,000 episodes; a certificate needs 20,000: give more --tasks or --episodes, such as --tasks 500"
    ]


def test_picture_has_the_bounds_once():
    curve = curve_of([[0.0, 1.0], [1.0, 1.0]], certificate=certificate(13_000, 14_900))

    def labels(curve):
        return figure_of(curve).axes[0].get_legend_handles_labels()[1]

    own = labels(curve)
    assert "ceiling of any classical memory" in own and "optimum of a coherent memory" in own
    exact = {"classical_memory": [2 / 3, 2 / 3], "helstrom": [0.75, 0.75]}
    drawn = labels(replace(curve, exact=exact))
    assert drawn[-2:] == ["classical_memory, exact value", "helstrom, exact value"] and len(drawn) == len(own)
