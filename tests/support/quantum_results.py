"""Results of the benchmark on quantum data with given success rates."""

from dataclasses import asdict
from typing import Any

import numpy as np

from agents.compare.certification import GroupCertificate
from agents.experiment.certificate import SuccessRate
from benchmarks.certificates.rows import fraction, name_of
from benchmarks.certificates.storage import STRENGTHS
from envs.quantum_memory import Config, build

N_EPISODES = 20_000


def row(mode: str, memory: str = "coherent", rates=(0.9,), *, n_qubits=1, seconds=30.0, **changes) -> dict[str, Any]:
    """Row of a variant, of 20,000 episodes for each seed."""
    family = build(Config(mode=mode, n_qubits=n_qubits, copies=changes.get("copies")))
    ceiling, optimum = family.classical_ceiling, family.quantum_optimum
    n_successes = sum(round(rate * N_EPISODES) for rate in rates)
    pooled = SuccessRate.of(n_successes, N_EPISODES * len(rates), ceiling.value, optimum)
    above = sum(rate > ceiling.value for rate in rates)
    found = GroupCertificate(ceiling.value, ceiling.kind, optimum, pooled, tuple(rates), float(np.median(rates)), above)
    about = {"mode": mode, "n_qubits": n_qubits, "copies": None, "frame": "none", "memory": memory, "restarts": 4}
    numbers = {"n_acting_parameters": 74, "seconds": {"median": seconds, "max": seconds}, "requirements": []}
    share = fraction(found.median_rate, found)
    return about | {"certificate": asdict(found), "fraction_of_median": share} | numbers | {"seeds": []} | changes


def frame_row(rates_by_x, **changes) -> dict[str, Any]:
    """Row of the hidden frame with these rates [seed][episode]."""
    rates = np.array(rates_by_x)
    x = list(range(1, rates.shape[1] + 1))
    means = [{"mean": each, "low": each - 0.01, "high": each + 0.01} for each in rates.mean(0).tolist()]
    names = ("frame_tracking (playable)", "helstrom (envelope)")
    exact = {name: np.linspace(5 / 6, end, len(x)).tolist() for name, end in zip(names, (0.945, 0.964), strict=True)}
    seeds = [{"evaluation": {"exact": exact}} for _ in rates]
    more = {"frame": "rz", "x": x, "rates_by_x": rates.tolist(), "returns": means, "seeds": seeds}
    return row("symmetry", rates=tuple(rates.mean(1).tolist()), **more, **changes)


def part(*rows: dict[str, Any]) -> dict[str, Any]:
    """Part of the result with these rows."""
    return {"rows": {name_of(each): each for each in rows}}


def whole_result() -> dict[str, Any]:
    """Result with every part that the pictures show, of rates near those of prototypes."""
    rng = np.random.default_rng(0)

    def seeds(centre: float, n: int = 10) -> tuple[float, ...]:
        return tuple((centre + 0.01 * rng.standard_normal(n)).clip(0, 1).tolist())

    pairs = {"symmetry": (0.996, 5 / 6), "match": (0.748, 2 / 3), "same": (0.622, 7 / 12)}
    larger = {"symmetry": (0.95, 0.7), "match": (0.72, 0.6), "same": (0.67, 0.575)}
    controls = ("measured", "GRU, learned", "GRU, fixed")
    losses = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    return {
        "pairs": part(
            *(row(mode, "coherent", seeds(high)) for mode, (high, _) in pairs.items()),
            *(row(mode, memory, seeds(low)) for mode, (_, low) in pairs.items() for memory in controls),
        ),
        "dephasing": part(
            *(row("symmetry", f"dephased, λ = {p:g}", seeds(max(1 - p / 3, 5 / 6)), dephasing=p) for p in losses)
        ),
        "larger": part(
            *(row(mode, rates=seeds(high), n_qubits=2) for mode, (high, _) in larger.items()),
            row("match", rates=seeds(0.64), n_qubits=3),
        ),
        "larger-controls": part(
            *(row(mode, memory, seeds(low, 3), n_qubits=2) for mode, (_, low) in larger.items() for memory in controls)
        ),
        "frame": part(frame_row([np.linspace(0.67, 0.92, 10) + 0.001 * seed for seed in range(10)])),
        "storage": {
            f"symmetry, n = {n}": {
                "strengths": list(STRENGTHS),
                "rates": [1 - p / 2 for p in STRENGTHS],
                "low": [0.997 - p / 2 for p in STRENGTHS],
                "high": [1.003 - p / 2 for p in STRENGTHS],
                "ceiling": ceiling,
                "predicted": threshold,
                "predicted_rates": [1 - p / 2 for p in STRENGTHS],
            }
            for n, ceiling, threshold in ((1, 5 / 6, 1 / 3), (2, 0.7, 0.6))
        },
    }
