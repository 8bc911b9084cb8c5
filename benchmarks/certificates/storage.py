"""Success rate of trained coherent memories under noise of the stored register, and what is predicted of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from agents.compare.groups import RunGroup
from agents.experiment.api import load
from agents.experiment.certificate import Certificate, pooled
from agents.experiment.evaluation import Curve
from agents.experiment.run import Run
from agents.experiment.storage_sweep import StorageSweep, crossing
from qrl.backends.backend import Backend
from qrl.common.errors import UsageError
from qrl.noise.model import Noise

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 1 / 3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Probabilities that the stored register is replaced by the maximally mixed state; the predicted thresholds of one and
of two qubits, 1/3 and 3/5, are among them."""


def storage_row(group: RunGroup, strengths: Sequence[float] = STRENGTHS) -> dict[str, Any]:
    """Return the success rates of a group at each strength, over all seeds and by seed, and their thresholds."""
    runs = [load(run.path) for run in group.runs]
    by_seed = [[_certificate(_evaluated(run, p)) for p in strengths] for run in runs]
    together = [replace(each[0], total=pooled(each)) for each in zip(*by_seed, strict=True)]
    sweep = StorageSweep.of(strengths, together, runs[0].distribution)
    seeds = []
    for run, certificates in zip(group.runs, by_seed, strict=True):
        rates = [each.total.rate for each in certificates]
        seeds.append({"seed": run.seed, "rates": rates, "crossing": crossing(strengths, rates, sweep.ceiling)})
    optimum = together[0].optimum
    return {**asdict(sweep), "optimum": optimum, "predicted_rates": depolarised(optimum, strengths), "seeds": seeds}


def depolarised(optimum: float, strengths: Sequence[float]) -> list[float]:
    """Return the success rate of the best coherent memory of a pair at each strength of the noise.

    The second register alone tells nothing, so that the rate above 1/2 shrinks by the factor 1 - p.
    """
    return [1 / 2 + (optimum - 1 / 2) * (1 - p) for p in strengths]


def dephased(dephasing: float, ceiling: float) -> float:
    """Return the success rate predicted for `symmetry` with one qubit whose coherence shrinks by `dephasing`.

    The Bell measurement mistakes a singlet with probability λ/2 and a triplet with λ/6: it succeeds in 1 - λ/3. From
    λ = 1/2 on, a classical memory does better.
    """
    return max(1 - dephasing / 3, ceiling)


def threshold_columns(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a group in the printed table of thresholds."""
    crossings = [seed["crossing"] for seed in row["seeds"] if seed["crossing"] is not None]
    return {
        "noise of storage": name,
        "threshold": row["crossing"],
        "low": row["crossing_low"],
        "high": row["crossing_high"],
        "predicted": row["predicted"],
        "lowest seed": min(crossings, default=None),
        "highest seed": max(crossings, default=None),
        "seeds with one": len(crossings),
    }


def _evaluated(run: Run, strength: float) -> Curve:
    """Return the evaluation of a run on as many episodes as its regular one."""
    spec, backend = run.spec, Backend(noise=Noise(storage=strength))
    return run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes, backend=backend)


def _certificate(curve: Curve) -> Certificate:
    if curve.certificate is None:
        raise UsageError(f"{curve.env}: noise of storage needs quantum data")
    return curve.certificate
