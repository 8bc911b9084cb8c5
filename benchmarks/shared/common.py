"""Interleaved timing, provenance, result files, tables and parameter-matched controls."""

import dataclasses
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agents.cli.malloc import keep_freed_memory
from agents.core.context import build
from agents.core.spec import Spec
from agents.runs.provenance import provenance
from qrl.common.files import to_json, write_atomically
from qrl.models import MODELS

RESULTS = Path(__file__).resolve().parent.parent / "results"
RUNS = RESULTS / "runs"
"""Run folders and results of `--quick`; git ignores it."""


def set_up(threads: int) -> None:
    """Set up the process as `run.py` does, with this many torch threads."""
    keep_freed_memory()
    torch.set_num_threads(threads)


def medians(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float = 0.1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Measure the median duration of a call of each function [s], by a clock such as `time.process_time`.

    The functions alternate, so that a change of the machine's load affects all of them; each round calls a function as
    often as fits into `seconds`, at least once. One warm-up call of each is not counted.
    """
    for function in functions.values():
        function()
    durations: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            end = clock() + seconds
            while True:
                start = clock()
                function()
                now = clock()
                durations[name].append(now - start)
                if now >= end:
                    break
    return {name: statistics.median(values) for name, values in durations.items()}


def write_result(name: str, results: Any, *, quick: bool = False) -> Path:
    """Write `benchmarks/results/NAME.json` with its provenance; results of `--quick` go to the ignored folder."""
    folder = RUNS if quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(sys.argv[0]).stem
    origin = provenance(["python", "-m", f"benchmarks.{script}", *sys.argv[1:]])
    machine = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
    }
    path = folder / f"{name}.json"
    write_atomically(path, (to_json({**origin, **machine, "results": results}, indent=2) + "\n").encode())
    print(f"wrote {path}")
    return path


def cpu_name() -> str:
    """Name of the processor as reported by the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows with equal keys as aligned text; numbers to four digits."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "NO"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def default_spec(env: str, model: str = "reuploading", **fields: Any) -> Spec:
    """Return the default spec; classical models are matched in parameters to the default quantum policy of `env`."""
    spec = Spec.default(env=env, model=model, threads=1, **fields)
    if not hasattr(spec.model_config, "budget") or "model_config" in fields:
        return spec
    _, quantum = build(Spec.default(env=env, agent="maml", threads=1))
    config = MODELS.load(model).Config(budget=quantum.policy.n_parameters)
    return dataclasses.replace(spec, model_config=config)
