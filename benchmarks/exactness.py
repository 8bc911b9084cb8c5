"""Agreement of both engines with PennyLane's `default.qubit`: value, gradient and Hessian-vector product.

    python -m benchmarks.exactness [--quick]      results/exactness.json; --no-qiskit without the extra `qiskit`

The native kernel and the fused executor on every quantum model file at several sizes and on 1,000 random circuits over
the complete gate set, in double precision; also
`QuantumLayer.to_pennylane()`, with shared parameters, for value and gradient. The largest difference should be at most
1e-10. Every model is also run on backends (`--backend` of run.py), with four samples each: on `default.qubit` and
`lightning.qubit` to 1e-6 in single precision, on Qiskit's Aer with 100,000 shots within four standard errors.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.backends.backend import Backend
from qrl.circuits.circuit import Circuit
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.policies.frame import Frame
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit
from tests.support.pennylane_comparison import differences_by_engine

TARGET = 1e-10
SINGLE = 1e-6
"""Largest difference of backends, which compute in single precision like policies."""
SHOTS = 100_000
ERRORS = 4.0
"""Largest difference of shot estimates [standard errors]."""
INPUTS = 3
ENGINES = ("native", "fused")


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    qiskit: bool = True
    """Also compare with Qiskit's Aer."""


def main(options: Options) -> None:
    """Compare the simulator with PennyLane and the backends."""
    set_up(threads=1)
    rows = [
        *models((2, 4) if options.quick else (2, 4, 6, 8)),
        *random_circuits(20 if options.quick else 1000),
        *layers(),
    ]
    worst = max(row[key] for row in rows for key in ("value", "gradient", "hessian-vector") if row[key] is not None)
    print(table([summary(rows, kind) for kind in dict.fromkeys(row["kind"] for row in rows)]))
    print(f"worst difference {worst:.2e}, target {TARGET:.0e}: {'pass' if worst <= TARGET else 'FAIL'}")
    devices = [device for device in DEVICES if options.qiskit or not DEVICES[device]]
    backend_rows = [backend_row(name, circuit, device) for name, circuit in model_circuits() for device in devices]
    print(table(backend_rows))
    passed = worst <= TARGET and all(row["pass"] for row in backend_rows)
    write_result(
        "exactness",
        {"worst": worst, "target": TARGET, "pass": passed, "backends": backend_rows, "rows": rows},
        quick=options.quick,
    )


DEVICES = {"default.qubit": 0, "lightning.qubit": 0, "qiskit.aer": SHOTS}
"""Number of shots on each device; 0 is exact."""


def model_circuits() -> Iterator[tuple[str, Circuit]]:
    """Yield the circuits of every model with default options, including those of recurrent cells."""
    for name, found in MODELS.available().items():
        if found.usable:
            generator, frame = torch.Generator().manual_seed(0), Frame(n_inputs=4, n_outputs=2)
            features = MODELS.load(name).build(MODELS.load(name).Config(), frame, generator)
            programs = (getattr(module, "program", None) for module in features.modules())
            yield from ((name, circuit) for circuit in dict.fromkeys(p.circuit for p in programs if p is not None))


def backend_row(model: str, circuit: Circuit, device: str) -> dict[str, Any]:
    """Compare a model's circuit on a device with the simulator in double precision."""
    shots = DEVICES[device]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, circuit.n_inputs, generator=generator)
    weights = torch.pi * torch.rand(circuit.n_weights, generator=generator)
    scales = 0.5 + torch.rand(circuit.n_scales, generator=generator)
    program = compile_circuit(circuit)
    exact = program.run(program.bind(weights.double(), scales.double()), inputs.double())
    executor = Backend(f"pennylane:{device}", shots).compile(circuit, generator)
    with torch.no_grad():
        difference = executor.run(executor.bind(weights, scales), inputs).double() - exact
    # Standard error of a single Pauli word, whose outcomes are +1 and -1.
    errors = difference / ((1 - exact.square()) / shots).sqrt() if shots else None
    largest = float(difference.abs().max())
    in_errors = None if errors is None else float(errors.abs().max())
    agree = largest <= SINGLE if in_errors is None else in_errors <= ERRORS
    row = {"model": model, "device": device, "shots": shots, "values": difference.numel()}
    return row | {"largest difference": largest, "standard errors": in_errors, "pass": agree}


def models(wires: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Compare every quantum model file at every size, with all its observables and encoding transforms."""
    for name in quantum_models():
        config = MODELS.load(name).Config
        known = {field.name for field in dataclasses.fields(config)}
        observables = getattr(config, "OBSERVABLES", ())
        choices = {"observables": observables, "transform": ("identity", "tanh", "arctan")}
        choices = {key: values for key, values in choices.items() if key in known}
        for n_wires in wires:
            for values in product(*choices.values()):
                options = dict(zip(choices, values, strict=True))
                circuit = MODELS.load(name).circuit(config(n_wires=n_wires, n_layers=2, **options), INPUTS)
                label = ", ".join([f"{n_wires} wires", *options.values()])
                yield from engine_rows(f"model {name}", label, circuit)


def random_circuits(count: int) -> Iterator[dict[str, Any]]:
    """Compare random circuits over the complete gate set."""
    for seed in range(count):
        yield from engine_rows("random circuits", f"seed {seed}", random_circuit(seed), seed)


def engine_rows(kind: str, label: str, circuit: Circuit, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Compare a circuit on each engine."""
    for name, largest in differences_by_engine(circuit, ENGINES, seed=seed).items():
        yield difference_row(f"{kind}, {name}", label, largest)


def layers() -> Iterator[dict[str, Any]]:
    """Compare layers with their PennyLane counterparts."""
    inputs = torch.randn(5, 2 * INPUTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for name, n_wires, encoding in product(quantum_models(), (4, 6), ("cycle", "projection")):
        generator = torch.Generator().manual_seed(n_wires)
        layer = QuantumLayer(name, n_wires, 2, n_inputs=2 * INPUTS, encoding=encoding, generator=generator).double()
        parameters = list(layer.parameters())
        values = [layer(inputs), layer.to_pennylane()(inputs)]
        gradients = [torch.autograd.grad(value.square().sum(), parameters) for value in values]
        gradient = max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True))
        value = float((values[0] - values[1]).detach().abs().max())
        yield difference_row("to_pennylane", f"{name}, {n_wires} wires, {encoding}", (value, gradient, None))


def quantum_models() -> list[str]:
    """Return the names of the model files that have a circuit."""
    return [name for name, found in MODELS.available().items() if not found.missing and has_circuit(name)]


def has_circuit(name: str) -> bool:
    """Return whether a model file is quantum."""
    return hasattr(MODELS.load(name), "circuit")


def difference_row(kind: str, label: str, largest: tuple[float, float, float | None]) -> dict[str, Any]:
    """Return a row of the result."""
    return {"kind": kind, "what": label, **dict(zip(("value", "gradient", "hessian-vector"), largest, strict=True))}


def summary(rows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the largest differences of a kind of circuits."""
    selected = [row for row in rows if row["kind"] == kind]
    keys = ("value", "gradient", "hessian-vector")
    worst = {key: max((row[key] for row in selected if row[key] is not None), default=None) for key in keys}
    return {"kind": kind, "circuits": len(selected), **worst}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
