"""Rows of the result on quantum data: one for each variant of a study, over all of its seeds."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from agents.compare.certification import GroupCertificate, family_wise_log10_p, group_certificate
from agents.compare.groups import RunGroup
from agents.core.plain import from_plain
from agents.experiment.api import load
from benchmarks.shared.estimates import means
from benchmarks.shared.studies import returns, seed_rows
from qrl.common.errors import UsageError

CLASSICAL = ("measured", "GRU, learned", "GRU, fixed", "dephased, λ = 1")
"""Memories that are classical, as in the names of rows."""


def row_of(group: RunGroup) -> dict[str, Any]:
    """Return the result of a group: its certificate over all seeds, parameters, training times and seeds.

    If the curve has several x, the row also has the rates at each x, and the mean returns with their intervals. Raises
    UsageError if a run has no certificate.
    """
    curves, seeds, spec = [run.curve for run in group.runs], seed_rows(group), group.runs[0].folder.spec
    found = group_certificate(curves, -1)
    if found is None:
        raise UsageError(f"{group.runs[0].path}: a run of its group has no certificate; evaluate it again")
    seconds = [seed["training_seconds"] for seed in seeds]
    env = curves[0].env_options
    row: dict[str, Any] = {
        "mode": env["mode"],
        "n_qubits": env["n_qubits"],
        "copies": env["copies"],
        "frame": env["frame"],
        "memory": memory_of(group),
        "restarts": spec["agent_config"].get("restarts", 1),
        "certificate": asdict(found),
        "fraction_of_median": fraction(found.median_rate, found),
        "n_acting_parameters": n_acting_parameters(group),
        "seconds": {"median": float(np.median(seconds)), "max": max(seconds)},
    }
    if row["memory"].startswith("dephased"):
        row["dephasing"] = spec["model_config"]["dephasing"]
    if len(curves[0].x) > 1:
        row |= {"x": curves[0].x, "rates_by_x": rates_by_x(group), "returns": means(returns(group))}
    return row | {"seeds": seeds}


def n_acting_parameters(group: RunGroup) -> int:
    """Return the number of parameters without those of the critic, which does not act."""
    parameters = load(group.runs[0].path).policy.named_parameters()
    return sum(values.numel() for name, values in parameters if not name.startswith("critic."))


def fraction(rate: float, found: GroupCertificate) -> float | None:
    """Return the fraction of the gap between ceiling and optimum that a success rate covers; None without optimum."""
    return None if found.optimum is None else (rate - found.ceiling) / (found.optimum - found.ceiling)


def rates_by_x(group: RunGroup) -> list[list[float]]:
    """Return the success rate of each seed at each x [seed][x]."""
    certificates = [run.curve.certificate for run in group.runs]
    return [[each.rate for each in found.by_x] for found in certificates if found is not None]


def memory_of(group: RunGroup) -> str:
    """Return the kind of memory, such as "coherent" or "GRU, learned"."""
    options = group.runs[0].folder.spec["model_config"]
    if group.runs[0].curve.model == "measured_gru":
        return f"GRU, {options['measurement']}"
    return f"dephased, λ = {options['dephasing']:g}" if options["memory"] == "dephased" else str(options["memory"])


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name of a row, such as "symmetry, n = 1: coherent"."""
    return f"{task_of(row)}: {row['memory']}"


def task_of(row: Mapping[str, Any]) -> str:
    """Return mode, qubits, copies and frame of a row, such as "purity, n = 1, T = 3"."""
    copies = f", T = {row['copies']}" if row["mode"] == "purity" else ""
    frame = ", hidden frame" if row["frame"] != "none" else ""
    return f"{row['mode']}, n = {row['n_qubits']}{copies}{frame}"


def certificate_of(row: Mapping[str, Any]) -> GroupCertificate:
    """Return the certificate of a row as it stands in the result."""
    return from_plain(GroupCertificate, row["certificate"], "certificate")


def family_wise(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Test all rows with a classical memory together; None without such rows.

    The p-value is that of the statement that no row exceeds its ceiling, corrected by Holm (1979), as a logarithm.
    """
    controls = [row for row in rows if row["memory"] in CLASSICAL]
    if not controls:
        return None
    found = family_wise_log10_p([certificate_of(row) for row in controls])
    return {"rows": [name_of(row) for row in controls], "log10_p_value": found}
