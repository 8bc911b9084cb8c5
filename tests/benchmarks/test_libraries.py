"""benchmarks.libraries times only what computes the same values and gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.libraries import LIBRARIES, Library, check, difference
from benchmarks.library_steps.pennylane import default_qubit_step
from benchmarks.library_steps.step import Results, Step, torch_step
from benchmarks.simulator import INPUTS, layer
from qrl.layer import QuantumLayer

OURS = layer(4, "fused")
INPUT = torch.randn(3, INPUTS, generator=torch.Generator().manual_seed(1))
REFERENCE = torch_step(OURS, OURS, INPUT)()


@pytest.mark.parametrize("library", LIBRARIES[1:4], ids=lambda library: library.name)
def test_required_libraries_agree(library: Library) -> None:
    row, step = check(library, OURS, INPUT, REFERENCE)
    assert step is not None, row["note"]
    assert row["difference"] < 1e-5


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_other_values_and_gradients_are_not_timed(wrong: int) -> None:
    def prepare(ours: QuantumLayer, inputs: Tensor) -> Step:
        def step() -> Results:
            results = [np.asarray(result).copy() for result in default_qubit_step(ours, inputs)()]
            results[wrong].flat[-1] += 1e-3 * np.abs(results[wrong]).max()
            return results

        return step

    row, step = check(Library("wrong", "", (), prepare), OURS, INPUT, REFERENCE)
    assert step is None
    assert row["note"] == "not timed: computes something else"


def test_missing_and_broken_libraries_are_named() -> None:
    def broken(ours: QuantumLayer, inputs: Tensor) -> Step:
        raise ImportError("no such\nmodule")

    row, step = check(Library("missing", "", ("a-package-that-does-not-exist",), broken), OURS, INPUT, REFERENCE)
    assert (row["note"], step) == ("not installed", None)
    row, step = check(Library("broken", "", ("torch",), broken), OURS, INPUT, REFERENCE)
    assert (row["note"], step) == ("does not run with these versions: no such module", None)


def test_difference_of_other_shapes_and_nan_is_infinite() -> None:
    assert difference([1.0, 2.0], [1.0, 4.0]) == 0.5
    assert difference([1.0], [1.0, 4.0]) == float("inf")
    assert difference([np.nan], [1.0]) == float("inf")
