"""Exact enumeration of the meta-gradient: correctness, bias and variance of the estimators.

    python -m benchmarks.estimators      results/estimators.json, and the tables of docs/estimators.md

On a two-armed bandit and on processes of two states and two steps, all possible sequences of inner data sets are
enumerated, so that expectations are exact sums, for softmax policies of logits and for small circuits:

- agreement to 1e-6: the expected gradient of the inner estimator, and for dice its expected Hessian, equal those of V;
  the meta-gradient equals its formula, in expectation and for each sequence; that of emaml equals the gradient of the
  sampled-update objective, by automatic differentiation and by difference quotients;
- distance of the expected meta-gradient from the gradients of the expected-update and the sampled-update objective;
- variance of the meta-gradient of a single task, without and with the variance of the outer episodes.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from agents.maml import MAML
from benchmarks.shared.common import set_up, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.policies.policy import Policy
from tests.support.enumeration import expectations, library, policies, processes

TARGET = 1e-6
STEP_SIZES = (0.1, 0.3, 1.0)
"""Rewards are in [-0.5, 2], values per step."""
SHOWN = 0.3
"""Step size of the tables in the documentation."""
PROBLEMS = {"bandit": processes.bandit, "two states": processes.two_states, "early end": processes.early_end}
ESTIMATORS: dict[str, dict[str, Any]] = {
    "dice": {"estimator": "dice"},
    "dice, memory 0.9": {"estimator": "dice", "dice_lambda": 0.9},
    "lvc": {"estimator": "lvc"},
    "emaml": {"estimator": "emaml"},
    "first-order": {"estimator": "first-order"},
}
SCORES: dict[str, expectations.ScoreBaseline] = {
    "emaml, score without baseline": "none",
    "emaml": "leave-one-out",
    "emaml, perfect baseline": "perfect",
}
"""Baseline subtracted from the value after adaptation, which weights the score."""


def main(options: QuickOptions) -> None:
    """Enumerate; print errors, bias and variance."""
    set_up(threads=1)
    errors = list(agreement(options.quick))
    worst = max(value for row in errors for value in row.values() if isinstance(value, float))
    print(f"largest error of {len(errors)} rows {worst:.1e}, target {TARGET:.0e}: {_verdict(worst)}")
    rows = list(bias_and_variance(options.quick))
    shown = [row for row in rows if row["step size"] == SHOWN]
    for steps, standardised, keys in (
        (1, False, ("expected-update", "sampled-update")),
        (1, False, ("inner", "total")),
        (2, False, ("expected-update", "sampled-update", "total")),
        (1, True, ("sampled-update",)),
    ):
        chosen = [row for row in shown if (row["inner steps"], row["standardised"]) == (steps, standardised)]
        print("", f"{' / '.join(keys)}; {steps} inner step(s), {standardised=}", pivot(chosen, keys), sep="\n")
    results = {"worst": worst, "target": TARGET, "pass": worst <= TARGET}
    write_result("estimators", results | {"errors": errors, "bias and variance": rows}, quick=options.quick)


def _verdict(worst: float) -> str:
    return "pass" if worst <= TARGET else "FAIL"


def baseline_option(episodes: int) -> dict[str, str]:
    """Return the baseline option; leave-one-out needs at least two episodes."""
    return {"baseline": "leave-one-out" if episodes > 1 else "none"}


def agreement(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield the largest absolute errors of the library, a row per case and estimator."""
    for (kind, make), episodes, steps in product(PROBLEMS.items(), (1, 2), (1, 2)):
        problem = make(episodes)
        for name, policy in policies.policies(problem).items():
            if name == "2 wires" and (quick or (steps == 2 and episodes == 2)):
                continue
            case = {"problem": kind, "policy": name, "episodes": episodes, "inner steps": steps}
            for estimator, options in ESTIMATORS.items():
                maml = policies.learner(policy, problem, inner_steps=steps, **baseline_option(episodes), **options)
                yield case | {"estimator": estimator} | errors_of(maml, problem)


def errors_of(maml: MAML, problem: processes.Problem) -> dict[str, float | None]:
    """Return the errors of the library's expected inner gradient g and Hessian H, and of its meta-gradient."""
    theta, estimator = policies.parameters(maml), maml.config.estimator
    function = expectations.value(maml.policy, problem)
    gradient, hessian = library.library_update(maml, problem, theta)
    probability, each = expectations.estimates(maml, problem, theta)
    weight = torch.randn(len(each), dtype=each.dtype, generator=torch.Generator().manual_seed(0)) / len(each)
    expected = library.library_meta_gradient(maml, problem)
    unbiased = estimator == "dice" and maml.config.dice_lambda == 1
    errors: dict[str, float | None] = {
        "g": library.largest(gradient - jacobian(lambda x: function(x[None])[0], theta)),
        "H": library.largest(hessian - expectations.value_hessian(maml.policy, problem, theta)) if unbiased else None,
        "expected meta-gradient": library.largest(expected - probability @ each),
        "meta-gradient of each": library.largest(
            library.library_meta_gradient(maml, problem, weight=weight) - weight @ each
        ),
        "sampled-update gradient": None,
        "difference quotient": None,
    }
    if estimator == "emaml":
        errors["sampled-update gradient"] = library.largest(
            expected - expectations.sampled_update_gradient(maml, problem, theta)
        )
        quotient = expectations.central_difference(expectations.sampled_objective(maml, problem), theta)
        errors["difference quotient"] = library.largest(expected - quotient)
    return errors


def bias_and_variance(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield bias and variance of every estimator, a row per case."""
    settings = [(1, size, False) for size in STEP_SIZES] + [(1, SHOWN, True), (2, SHOWN, False)]
    for kind, (steps, size, standardised), episodes in product(("bandit", "two states"), settings, (1, 2, 5, 10)):
        problem = PROBLEMS[kind](episodes)
        for name, policy in policies.policies(problem).items():
            if (quick and (episodes > 2 or name == "2 wires")) or not is_feasible(kind, name, steps, episodes):
                continue
            case = {"problem": kind, "policy": name, "inner steps": steps, "step size": size}
            case |= {"standardised": standardised, "episodes": episodes}
            options = {"inner_steps": steps, "inner_step_size": size, "standardise_inner": standardised}
            yield from (case | row for row in compare_estimators(problem, policy, options | baseline_option(episodes)))


def compare_estimators(problem: processes.Problem, policy: Policy, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per estimator: bias of the meta-gradient for both objectives, and its variances."""
    plain = policies.learner(policy, problem, **options)
    theta = policies.parameters(plain)
    expected = expectations.expected_update_gradient(plain, problem, theta)
    sampled = expectations.sampled_update_gradient(plain, problem, theta)
    for estimator, chosen in ESTIMATORS.items():
        if problem.horizon == 1 and estimator in ("dice, memory 0.9", "lvc"):
            continue  # identical to dice
        maml = policies.learner(policy, problem, **options, **chosen)
        labels = SCORES if estimator == "emaml" else {estimator: SCORES["emaml, score without baseline"]}
        for label, baseline in labels.items():
            mean = expectations.exact_meta_gradient(maml, problem, theta, baseline=baseline)
            inner, total = expectations.variances(maml, problem, theta, baseline)
            yield {
                "estimator": label,
                # With standardised advantages, the expected update has no such simple form.
                "expected-update": None if options["standardise_inner"] else relative(mean, expected),
                "sampled-update": relative(mean, sampled),
                "inner": inner / float(mean.square().sum()),
                "total": total / float(mean.square().sum()),
            }


def is_feasible(kind: str, policy: str, steps: int, episodes: int) -> bool:
    """Return whether enumeration is feasible: ten episodes of eight kinds are 19448 data sets, squared by two steps."""
    if kind == "bandit":
        return steps == 1 or episodes <= 5
    if steps == 2:
        return episodes <= 2
    return episodes <= 5 or policy != "2 wires"


def relative(estimate: Tensor, truth: Tensor) -> float:
    """Return |estimate - truth| / |truth|."""
    return float((estimate - truth).norm() / truth.norm())


def pivot(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> str:
    """Format rows as a Markdown table, with a column per number of episodes N."""
    counts = sorted({row["episodes"] for row in rows})
    lines: dict[tuple[str, ...], dict[int, str]] = {}
    for row in rows:
        cell = " / ".join(f"{round(row[key], 9):.2g}" for key in keys)
        lines.setdefault((row["problem"], row["policy"], row["estimator"]), {})[row["episodes"]] = cell
    head = ["problem", "policy", "estimator", *(f"N = {n}" for n in counts)]
    body = [[*line, *(cells.get(n, "") for n in counts)] for line, cells in lines.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])


if __name__ == "__main__":
    run_main(main, QuickOptions, __doc__)
