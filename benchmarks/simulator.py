"""Speed of the fused executor compared with PennyLane's `default.qubit` with backprop and broadcasting.

    python -m benchmarks.simulator [--quick]            against PennyLane, results/simulator.json
    python -m benchmarks.simulator --blocks [--quick]   sizes of fused blocks, results/simulator-blocks.json

One process, one thread, medians over alternating calls. Both run the same circuit with the same parameters
(`QuantumLayer` and its `.to_pennylane()`): layers of RZ RY (weights), a ring of CZ, RY RZ of one scaled input per wire;
a final variational layer; Z on every wire; four inputs; 5 layers without noise, 3 layers with noise, which PennyLane
runs on `default.mixed`. Derivatives are with respect to weights and scales.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.layer import QuantumLayer
from qrl.noise.model import After, Noise
from qrl.simulator.program import compile_circuit
from qrl.simulator.representation import AMPLITUDES

LAYERS, INPUTS, STEP_SIZE = 5, 4, 0.1
BLOCK_SIZES = {5: (2, 3, 4, 5), 6: (2, 3, 4, 5, 6), 8: (2, 3, 4, 5, 6, 8), 10: (2, 3, 4, 5, 6)}
"""Candidates for the largest block by number of wires."""

Params = dict[str, Tensor]
Forward = Callable[[Params, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    blocks: bool = False
    """Compare sizes of fused blocks instead of comparing with PennyLane."""


def main(options: Options) -> None:
    """Time the fused executor."""
    set_up(threads=1)
    rows = list(block_sizes(2 if options.quick else 10) if options.blocks else against_pennylane(options.quick))
    print(table(rows))
    write_result("simulator-blocks" if options.blocks else "simulator", rows, quick=options.quick)


# --- against PennyLane ------------------------------------------------------------------------------------------------


def against_pennylane(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield a row per measurement."""
    few, many = (2, 3) if quick else (9, 25)
    for batch, target in ((1, 15), (32, 15), (1000, 12)):
        functions = {name: forward_backward(f, batch) for name, f in pair(4).items()}
        yield comparison_row(f"forward+backward, 4 wires, batch {batch}", medians(functions, many), target)
    yield comparison_row("rollout step, 4 wires, batch 400", medians(rollout_step(400), many), 30)
    yield comparison_row(
        "second-order meta-gradient, 4 wires, 20 tasks x 500", medians(meta_gradients(20, 500), few), 6
    )
    for n_wires, target in ((8, 7), (10, 10)):
        functions = {name: forward_backward(f, 1000) for name, f in pair(n_wires).items()}
        yield comparison_row(f"forward+backward, {n_wires} wires, batch 1000", medians(functions, few), target)
    for after in ("gate", "layer"):
        yield comparison_row(
            f"noise after each {after}, forward+backward, 4 wires, batch 256", time_with_noise(after, few), 20
        )


def time_with_noise(after: After, repeats: int) -> dict[str, float]:
    """Time density-matrix simulation with depolarizing noise and readout errors [s]."""
    noise = Noise(depolarizing=0.01, readout=0.02, after=after)
    ours = QuantumLayer("reuploading", 4, 3, n_inputs=INPUTS, generator=torch.Generator().manual_seed(0))
    theirs = ours.to_pennylane("default.mixed", noise=noise)
    ours.program = compile_circuit(ours.circuit, noise)
    return medians({"ours": forward_backward(ours, 256), "PennyLane": forward_backward(theirs, 256)}, repeats)


def comparison_row(measurement: str, seconds: dict[str, float], target: float) -> dict[str, Any]:
    """Return a row: our time, that of the fastest alternative, their ratio, and whether it meets the target."""
    theirs, name = min((value, name) for name, value in seconds.items() if name != "ours")
    others = ", ".join(f"{name} {1e3 * value:.0f}" for name, value in seconds.items() if name != "ours")
    return {
        "what": measurement,
        "ours [ms]": 1e3 * seconds["ours"],
        "fastest other [ms]": 1e3 * theirs,
        "ratio": theirs / seconds["ours"],
        "target": target,
        "pass": theirs / seconds["ours"] >= target,
        "others [ms]": others,
    }


def pair(n_wires: int) -> dict[str, torch.nn.Module]:
    """Return our layer and its PennyLane counterpart with the same parameters."""
    ours = layer(n_wires)
    return {"ours": ours, "PennyLane": ours.to_pennylane()}


def layer(n_wires: int) -> QuantumLayer:
    """Return the layer of the comparison, in float32."""
    return QuantumLayer("reuploading", n_wires, LAYERS, n_inputs=INPUTS, generator=torch.Generator().manual_seed(0))


def forward_backward(module: torch.nn.Module, batch: int) -> Callable[[], object]:
    """Return a function that computes the gradient of a loss of all outputs."""
    inputs, parameters = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1)), [*module.parameters()]
    return lambda: torch.autograd.grad(module(inputs).square().mean(), parameters)


def rollout_step(batch: int) -> dict[str, Callable[[], object]]:
    """Return functions that step a batch of environments; our parameters are bound once, as in a rollout."""
    modules, inputs = pair(4), torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1))
    ours = modules["ours"]
    with torch.no_grad():
        bound = ours.bind()
    return {
        "ours": torch.no_grad()(lambda: ours.run(bound, inputs)),
        "PennyLane": torch.no_grad()(lambda: modules["PennyLane"](inputs)),
    }


def meta_gradients(n_tasks: int, n_samples: int) -> dict[str, Callable[[], object]]:
    """Return functions that compute the gradient of the mean loss over tasks after one gradient step per task."""
    modules = pair(4)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n_tasks, n_samples, INPUTS, generator=generator)
    targets = torch.rand(n_tasks, n_samples, 4, generator=generator)
    params = dict(modules["ours"].named_parameters())

    def ours(values: Params, x: Tensor) -> Tensor:
        return functional_call(modules["ours"], values, (x,))

    def theirs(values: Params, x: Tensor) -> Tensor:
        # Like PennyLaneLayer.forward, with the parameters as arguments. QNodes return float64.
        return torch.stack(modules["PennyLane"].qnode(x, values["weights"], values["scales"]), dim=-1).to(x.dtype)

    def mapped(forward: Forward) -> object:
        losses = vmap(partial(adapted_loss, forward), in_dims=(None, 0, 0))(params, inputs, targets)
        return torch.autograd.grad(losses.mean(), list(params.values()))

    def looped(forward: Forward) -> object:
        total = [torch.zeros_like(value) for value in params.values()]
        for x, y in zip(inputs, targets, strict=True):
            loss = adapted_loss(forward, params, x, y) / n_tasks
            total = [t + g for t, g in zip(total, torch.autograd.grad(loss, list(params.values())), strict=True)]
        return total

    return {
        "ours": partial(mapped, ours),
        "PennyLane vmap": partial(mapped, theirs),
        "PennyLane loop": partial(looped, theirs),
    }


def adapted_loss(forward: Forward, params: Params, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of a task after one gradient step."""

    def loss(values: Params) -> Tensor:
        return (forward(values, inputs) - targets).square().mean()

    gradient = grad(loss)(params)
    return loss({name: value - STEP_SIZE * gradient[name] for name, value in params.items()})


# --- blocks -----------------------------------------------------------------------------------------------------------


def block_sizes(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row per number of wires and size of the largest block."""
    default = AMPLITUDES.max_block_wires
    for n_wires, choices in BLOCK_SIZES.items():
        layers = {}
        for choice in choices:
            AMPLITUDES.max_block_wires = choice
            compile_circuit.cache_clear()
            layers[choice] = layer(n_wires)
        AMPLITUDES.max_block_wires = default
        compile_circuit.cache_clear()
        columns = {
            f"forward+backward {batch} [ms]": medians(
                {str(choice): forward_backward(module, batch) for choice, module in layers.items()}, rounds
            )
            for batch in (32, 1000)
        }
        columns["forward 400 [ms]"] = medians(
            {str(c): torch.no_grad()(forward(m, 400)) for c, m in layers.items()}, rounds
        )
        for choice in choices:
            timings = {name: 1e3 * values[str(choice)] for name, values in columns.items()}
            yield {"wires": n_wires, "largest block": choice, "default": choice == default, **timings}


def forward(module: torch.nn.Module, batch: int) -> Callable[[], object]:
    """Return a function that computes the outputs without gradients."""
    inputs = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1))
    return lambda: module(inputs)


if __name__ == "__main__":
    run_main(main, Options, __doc__)
