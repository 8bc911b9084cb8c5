"""Speed of the simulator compared with other libraries on the same circuit: forward pass and gradient.

    python -m benchmarks.libraries [--quick]   results/libraries.json

One process, one thread, CPU time, medians over alternating calls. The circuit, its parameters and its inputs are those
of `benchmarks.simulator`; a call computes the outputs and the gradient of their mean square with respect to all weights
and scales. Values and gradients are first compared with those of the native kernel: a library that differs by more than
1e-4 of the largest element is not timed. `first call [s]` includes compilation. Calls of over 5 s are made twice only.
A library that is not installed has an empty row; none is a dependency. Each runs in single precision if it has it.
"""

import os
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.library_steps.pennylane import default_qubit_step, engine_step, lightning_step
from benchmarks.library_steps.qulacs import qulacs_step
from benchmarks.library_steps.step import Prepare, Results, Step, torch_step
from benchmarks.library_steps.tensorcircuit import tensorcircuit_jax_step, tensorcircuit_torch_step
from benchmarks.library_steps.torch_libraries import pyqtorch_step, torchquantum_step
from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.simulator import INPUTS, LAYERS, layer
from qrl.layer import QuantumLayer

CASES = ((4, 1), (4, 32), (4, 1000), (8, 32))
"""Numbers of wires and samples."""
TOLERANCE = 1e-4
"""Largest accepted difference, as a fraction of the largest element."""
SLOW = 5.0
"""Longest call that is repeated for a median [s]."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "QULACS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
"""One thread and no GPU: environment variables that libraries read when they are imported."""


@dataclass(frozen=True)
class Library:
    """Library, its use, the packages it needs, and the function that returns its step."""

    name: str
    how: str
    packages: tuple[str, ...]
    prepare: Prepare


LIBRARIES = (
    Library("native kernel", "batched, float32", ("qrl-meta",), engine_step("native")),
    Library("fused executor", "batched, float32", ("qrl-meta",), engine_step("fused")),
    Library("PennyLane default.qubit", "backprop, batched, complex128", ("pennylane",), default_qubit_step),
    Library(
        "PennyLane lightning.qubit",
        "adjoint, one sample at a time, complex64",
        ("pennylane", "pennylane-lightning"),
        lightning_step,
    ),
    Library("pyqtorch", "autograd, batched, complex64", ("pyqtorch",), pyqtorch_step),
    Library("qulacs", "backprop, one sample at a time, complex128", ("qulacs",), qulacs_step),
    Library("tensorcircuit-ng, torch", "autograd, vmap, complex64", ("tensorcircuit-ng",), tensorcircuit_torch_step),
    Library(
        "tensorcircuit-ng, jax", "jit, vmap, complex64, compiled", ("tensorcircuit-ng", "jax"), tensorcircuit_jax_step
    ),
    Library("torchquantum", "autograd, batched, complex64", ("torchquantum",), torchquantum_step),
)


def main(options: QuickOptions) -> None:
    """Time the libraries."""
    os.environ.update(ENVIRONMENT)
    set_up(threads=1)
    cases, rounds = (CASES[1:2], 3) if options.quick else (CASES, 25)
    rows = [row for n_wires, batch in cases for row in compare(LIBRARIES, n_wires, batch, rounds)]
    print(table(rows))
    write_result("libraries", rows, quick=options.quick)


def compare(libraries: tuple[Library, ...], n_wires: int, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row per library; times are compared with that of the first one."""
    ours = layer(n_wires, "native")
    inputs = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1))
    reference = torch_step(ours, ours, inputs)()
    rows, steps, seconds = {}, {}, {}
    for library in libraries:
        row, step = check(library, ours, inputs, reference)
        rows[library.name] = {"what": f"{n_wires} wires x {LAYERS} layers, batch {batch}", **row}
        if step is None:
            continue
        if row["first call [s]"] > SLOW and (second := timed(step)[0]) > SLOW:
            seconds[library.name] = second
        else:
            steps[library.name] = step
    seconds |= medians(steps, rounds, clock=time.process_time)
    for name, value in seconds.items():
        rows[name] |= {"ms": 1e3 * value, "over the kernel": value / seconds[libraries[0].name]}
    return list(rows.values())


def check(
    library: Library, ours: QuantumLayer, inputs: Tensor, reference: Results
) -> tuple[dict[str, Any], Step | None]:
    """Return the row of a library, without times, and its step, or None if it is not to be timed."""
    unknown = dict.fromkeys(("ms", "over the kernel", "difference", "first call [s]", "version"))
    row: dict[str, Any] = {"library": library.name, "how": library.how, **unknown, "note": ""}
    try:
        row["version"] = ", ".join(version(package) for package in library.packages)
    except PackageNotFoundError:
        return row | {"note": "not installed"}, None
    try:
        step = library.prepare(ours, inputs)
        row["first call [s]"], results = timed(step)
    except Exception as error:  # an incompatible version of any library may raise anything
        return row | {"note": f"does not run with these versions: {' '.join(str(error).split())}"}, None
    row["difference"] = max(map(difference, results, reference))
    if row["difference"] > TOLERANCE:
        return row | {"note": "not timed: computes something else"}, None
    return row, step


def timed(step: Step) -> tuple[float, Results]:
    """Return the CPU time of a call [s] and its results."""
    start = time.process_time()
    results = step()
    return time.process_time() - start, results


def difference(found: ArrayLike, expected: ArrayLike) -> float:
    """Return the largest difference over the largest element; infinite for other shapes, infinities and NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


if __name__ == "__main__":
    run_main(main, QuickOptions, __doc__)
