"""The meta-gradient is the one it should be, enumerated exactly on a two-armed bandit.

    python -m benchmarks.estimators      results/estimators.json, and the tables of docs/estimators.md

For a softmax policy with two logits and for small circuits, every possible inner data set D is laid out, so that
expectations are sums, not averages:

- the inner estimator's expected gradient and Hessian are those of V, to 1e-6 (DiCE);
- the expected meta-gradient is sum over D of P(D) (I + alpha H(D))' grad V(theta + alpha g(D)), to 1e-6;
- how far that is from the gradients of the expected-update and of the sampled-update objective, for N = 1, 2, 5 pulls.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import tyro
from torch import Tensor

from benchmarks._common import set_up, table, write_result
from qrl.policy import Policy
from tests import bandit as exact

TARGET = 1e-6
PULLS = (1, 2, 5)
STEP_SIZE = 1.0
"""Large, so that the objectives differ visibly: rewards are in [0, 1]."""


def main(quick: bool = False) -> None:
    """Enumerate.

    Args:
        quick: at most two pulls; the result goes to results/runs.
    """
    set_up(threads=1)
    policies = {
        "2 logits": exact.LogitPolicy(),
        "circuit, 1 wire": exact.circuit_policy(n_wires=1),
        "circuit, 2 wires": exact.circuit_policy(n_wires=2),
    }
    pulls = PULLS[:2] if quick else PULLS
    sizes = [*((n, 1) for n in pulls), (2, 2)]  # (episodes, pulls an episode)
    errors = [row for name, policy in policies.items() for row in agreement(name, policy, sizes)]
    biases = [row for name, policy in policies.items() for row in bias(name, policy, pulls)]
    print(table(errors), table(biases), sep="\n\n")
    worst = max(row[key] for row in errors for key in ("g", "H", "meta-gradient") if row[key] is not None)
    print(f"largest error {worst:.1e}, target {TARGET:.0e}: {'pass' if worst <= TARGET else 'FAIL'}")
    results = {"step_size": STEP_SIZE, "worst": worst, "target": TARGET, "pass": worst <= TARGET}
    write_result("estimators", results | {"errors": errors, "bias": biases}, quick=quick)


def agreement(name: str, policy: Policy, sizes: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Largest absolute errors of the library's expected inner gradient, Hessian, and meta-gradient."""
    for (episodes, pulls), estimator, baseline in product(sizes, ("dice", "first-order"), ("none", "leave-one-out")):
        if episodes == 1 and baseline == "leave-one-out":
            continue
        bandit = exact.Bandit(episodes, pulls)
        maml = exact.learner(policy, bandit, estimator=estimator, baseline=baseline, inner_step_size=STEP_SIZE)
        theta = exact.parameters(maml)
        gradient, hessian = exact.library_update(maml, bandit, theta)
        slope = torch.autograd.functional.jacobian(exact.value(policy, bandit), theta)
        difference = exact.library_meta_gradient(maml, bandit) - exact.exact_meta_gradient(maml, bandit, theta)
        curvature = hessian - exact.value_hessian(policy, bandit, theta)
        yield {
            "policy": name,
            "parameters": len(theta),
            "episodes x pulls": f"{episodes} x {pulls}",
            "estimator": estimator,
            "baseline": baseline,
            "g": exact.largest(gradient - slope),
            "H": exact.largest(curvature) if estimator == "dice" else None,
            "meta-gradient": exact.largest(difference),
        }


def bias(name: str, policy: Policy, pulls: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Expected meta-gradient against the gradients of the two objectives: |difference| / |gradient|."""
    for n, baseline in product(pulls, ("none", "leave-one-out")):
        if n == 1 and baseline == "leave-one-out":
            continue
        bandit = exact.Bandit(n)
        options = {"baseline": baseline, "inner_step_size": STEP_SIZE}
        learners = {e: exact.learner(policy, bandit, estimator=e, **options) for e in ("dice", "first-order")}
        plain = learners["dice"]
        theta = exact.parameters(plain)
        expected = exact.expected_update_gradient(plain, bandit, theta)
        sampled = exact.sampled_update_gradient(plain, bandit, theta)
        for estimator, maml in learners.items():
            estimate = exact.library_meta_gradient(maml, bandit)
            yield {
                "policy": name,
                "N": n,
                "baseline": baseline,
                "estimator": estimator,
                "expected-update": relative(estimate, expected),
                "sampled-update": relative(estimate, sampled),
            }


def relative(estimate: Tensor, truth: Tensor) -> float:
    """|estimate - truth| / |truth|."""
    return float((estimate - truth).norm() / truth.norm())


if __name__ == "__main__":
    tyro.cli(main)
