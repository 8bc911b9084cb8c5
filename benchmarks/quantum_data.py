"""Agents with a coherent memory on quantum data, against the ceiling of any classical memory.

    python -m benchmarks.quantum_data --jobs 2                   every part, ten seeds; --quick to try it
    python -m benchmarks.quantum_data --parts pairs storage      some parts

Success per trial on quantum data, simulated: neither speed nor the number of parameters is compared. A part is a study,
benchmarks/studies/quantum_data-PART.toml, with a row for each variant: the success rate of every seed on fresh
episodes, none left out; over all seeds together its exact interval, the fraction of the gap between the classical
ceiling and the quantum optimum, and the exact p-value that a classical memory did as well; parameters, and seconds of
training. Requirements and whether they are met are part of a row (`benchmarks.certificates.requirements`). The part
`storage` evaluates the runs of `symmetry`, and those of three qubits, again under noise of the stored register. Rows
with a classical memory are also tested together (`controls`).

Results: results/quantum_data.json, docs/quantum_data.png, docs/quantum_data_readme.png.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.experiment.certificate_text import DIGITS, p_value_text, share_text
from agents.study.file import read_request
from benchmarks.certificates.page import page_rows
from benchmarks.certificates.pictures import of_seeds, overview, pair_rows
from benchmarks.certificates.requirements import family_wise_requirement, requirements
from benchmarks.certificates.rows import certificate_of, family_wise, name_of, row_of, task_of
from benchmarks.certificates.storage import dephased, storage_row, threshold_columns
from benchmarks.shared.common import set_up, table
from benchmarks.shared.curves import save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import check_names, earlier_results, publish
from benchmarks.shared.studies import STUDIES as STUDY_FILES
from benchmarks.shared.studies import train

SEEDS = 10
QUICK = ("--iterations", "3", "--eval-tasks", "4", "--eval-episodes", "4", "--agent.meta-batch", "20")
"""Options of a quick check."""
QUICK_IN_CONTEXT = (*QUICK, "--agent.restarts", "1")
"""Options of a quick check of agents that adapt in context."""
STUDIES = ("pairs", "dephasing", "larger", "larger-controls", "one_shot", "purity", "frame", "maml")
PARTS = (*STUDIES, "storage")
CONTROLS = "controls"
"""Part of the result with the test of all classical memories together; it follows from the other parts."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = SEEDS

    parts: tuple[str, ...] = PARTS
    """Names of the parts."""


def main(options: Options) -> None:
    """Train what is missing, evaluate and report.

    Complete parts replace their part of the committed result; incomplete ones go to results/runs.
    """
    set_up(threads=1)
    check_names("benchmarks.quantum_data", "part", options.parts, PARTS)
    measured = {part: storage(options) if part == "storage" else study(part, options) for part in options.parts}
    draft = options.quick or options.seeds < SEEDS
    everything = earlier_results("quantum_data", draft=draft) | measured
    print("\nrows of docs/quantum-data.md\n" + "\n".join(page_rows(everything)))
    rows = [row for part in STUDIES if part in everything for row in everything[part]["rows"].values()]
    if found := family_wise(rows):
        measured[CONTROLS] = found | {"requirements": family_wise_requirement(found)}
        print("\n" + table(requirement_rows({f"all {len(found['rows'])} classical memories": measured[CONTROLS]})))
    publish("quantum_data", measured, (*PARTS, CONTROLS), draw, draft=draft)


def study(part: str, options: Options) -> dict[str, Any]:
    """Return the rows of a study; one with fewer seeds than the others, such as of controls, keeps its number."""
    name = f"quantum_data-{part}"
    n_seeds = len(read_request(STUDY_FILES / f"{name}.toml").seeds)
    groups = train(
        name, replace(options, seeds=min(options.seeds, n_seeds)), QUICK if part == "maml" else QUICK_IN_CONTEXT
    )
    rows = {name_of(row): row for row in map(row_of, groups.values())}
    for row in rows.values():
        row["requirements"] = requirements(part, row)
        if "dephasing" in row:
            row["predicted"] = dephased(row["dephasing"], row["certificate"]["ceiling"])
    print(f"\n{part}\n" + table([table_row(name, row) for name, row in rows.items()]))
    if against := [{"success rate": name, **rates_by_x(row)} for name, row in rows.items() if "x" in row]:
        print(table(against))
    if wanted := requirement_rows(rows):
        print(table(wanted))
    return {"rows": rows}


def storage(options: Options) -> dict[str, Any]:
    """Return the success rates under noise of storage: coherent memories of `symmetry`, and of three qubits."""
    found: dict[str, Any] = {}
    for part in ("pairs", "larger"):
        for group in train(f"quantum_data-{part}", options, QUICK_IN_CONTEXT).values():
            row = row_of(group)
            if row["memory"] == "coherent" and (row["mode"] == "symmetry" or row["n_qubits"] == 3):
                found[task_of(row)] = storage_row(group)
    print("\nstorage\n" + table([threshold_columns(name, row) for name, row in found.items()]))
    return found


def table_row(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a variant in the printed table."""
    found, wanted = certificate_of(row), row["requirements"]
    pooled = found.pooled
    return {
        "": name,
        "median": f"{found.median_rate:.{DIGITS}f}",
        "lowest": f"{min(found.rates):.{DIGITS}f}",
        "all seeds": f"{pooled.rate:.{DIGITS}f} [{pooled.low:.{DIGITS}f}, {pooled.high:.{DIGITS}f}]",
        "above": f"{found.n_above} of {len(found.rates)}",
        "ceiling": f"{found.ceiling:.{DIGITS}f} {found.ceiling_kind}",
        "optimum": "not known" if found.optimum is None else f"{found.optimum:.{DIGITS}f}",
        "of the gap": share_text(pooled.advantage),
        "median's": share_text(row["fraction_of_median"]),
        "p-value": p_value_text(pooled.log10_p_value) if pooled.is_sufficient else None,
        "parameters": row["n_acting_parameters"],
        "seconds": row["seconds"]["median"],
        "at most": row["seconds"]["max"],
        "met": all(each["met"] for each in wanted) if wanted else None,
    }


def requirement_rows(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the printed table of requirements."""
    return [
        {
            "": name,
            "requirement": each["what"],
            "found": each["found"],
            "required": f"{each['required']} {each['limit']:.4g}",
            "met": each["met"],
        }
        for name, row in rows.items()
        for each in row["requirements"]
    ]


def rates_by_x(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the success rate after each number of updates, or in each episode of a trial, over all seeds."""
    rates = np.mean(row["rates_by_x"], axis=0)
    return {f"at {x}": f"{rate:.{DIGITS}f}" for x, rate in zip(row["x"], rates, strict=True)}


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot all parts, and the pairs of registers on their own for a narrow page."""
    save(overview(results), path)
    if pair_rows(results):
        save(of_seeds(results), path.with_stem(f"{path.stem}_readme"))


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
