"""Speed and memory of the simulator compared with PennyLane's `default.qubit` with backprop and broadcasting.

    python -m benchmarks.simulator [--quick]            against PennyLane, results/simulator.json
    python -m benchmarks.simulator --blocks [--quick]   sizes of fused blocks, results/simulator-blocks.json

One process, one thread, CPU time, medians over alternating calls of the native kernel, the fused executor and
PennyLane. All run the same circuit with the same parameters (`QuantumLayer` and its `.to_pennylane()`): layers of RZ RY
(weights), a ring of CZ, RY RZ of one scaled input per wire; a final variational layer; Z on every wire; four inputs; 5
layers without noise, 3 layers with noise, which PennyLane runs on `default.mixed` and the kernel does not run.
Derivatives are with respect to weights and scales. Peak memory is the growth of the resident set by one forward and
backward pass of 12 wires x 5 layers, 1000 samples, in a process of its own per engine.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.layer import QuantumLayer
from qrl.noise.model import After, Noise
from qrl.simulator.program import Program, compile_circuit
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
    memory_of: str = ""
    """Print the peak memory of this engine, in the current process (command of the subprocesses)."""


def main(options: Options) -> None:
    """Time the simulator."""
    set_up(threads=1)
    if options.memory_of:
        print(peak_memory(options.memory_of))
        return
    if options.blocks:
        rows = list(block_sizes(2 if options.quick else 10))
        print(table(rows))
        write_result("simulator-blocks", rows, quick=options.quick)
        return
    rows, memory = list(against_pennylane(options.quick)), memory_rows()
    print(table(rows), table(memory), sep="\n\n")
    write_result("simulator", {"time": rows, "memory": memory}, quick=options.quick)


# --- against PennyLane ------------------------------------------------------------------------------------------------


def against_pennylane(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield a row per measurement."""
    few, many = (2, 3) if quick else (9, 25)
    timed = partial(medians, clock=time.process_time)
    for batch, target in ((1, 130), (32, 110), (1000, 60)):
        functions = {name: forward_backward(f, batch) for name, f in modules(4).items()}
        yield comparison_row(f"forward+backward, 4 wires, batch {batch}", timed(functions, many), target)
    yield comparison_row("rollout step, 4 wires, batch 400", timed(rollout_step(400), many), 400)
    yield comparison_row("second-order meta-gradient, 4 wires, 20 tasks x 500", timed(meta_gradients(20, 500), few), 40)
    for n_wires, target in ((8, 40), (10, 80)):
        functions = {name: forward_backward(f, 1000) for name, f in modules(n_wires).items()}
        yield comparison_row(f"forward+backward, {n_wires} wires, batch 1000", timed(functions, few), target)
    for after in ("gate", "layer"):
        noisy = timed(with_noise(after), few)
        yield comparison_row(f"noise after each {after}, forward+backward, 4 wires, batch 256", noisy, 20)


def with_noise(after: After) -> dict[str, Callable[[], object]]:
    """Return functions of density-matrix simulation with depolarizing noise and readout errors."""
    noise = Noise(depolarizing=0.01, readout=0.02, after=after)
    ours = QuantumLayer("reuploading", 4, 3, n_inputs=INPUTS, generator=torch.Generator().manual_seed(0))
    theirs = ours.to_pennylane("default.mixed", noise=noise)
    ours.program = compile_circuit(ours.circuit, noise)
    return {"executor": forward_backward(ours, 256), "PennyLane": forward_backward(theirs, 256)}


def comparison_row(measurement: str, seconds: dict[str, float], target: float) -> dict[str, Any]:
    """Return a row: our times, that of the fastest alternative, the ratios, and whether our faster one is in bounds."""
    others = {name: value for name, value in seconds.items() if name not in ENGINES}
    theirs = min(others.values())
    ratios = {name: theirs / seconds[name] if name in seconds else None for name in ENGINES}
    return {
        "what": measurement,
        **{f"{name} [ms]": 1e3 * seconds[name] if name in seconds else None for name in ENGINES},
        "fastest other [ms]": 1e3 * theirs,
        **{f"ratio of the {name}": ratio for name, ratio in ratios.items()},
        "target": target,
        "pass": max(ratio for ratio in ratios.values() if ratio is not None) >= target,
        "others [ms]": ", ".join(f"{name} {1e3 * value:.0f}" for name, value in others.items()),
    }


ENGINES = {"kernel": "native", "executor": "fused"}
"""Our engines, by the names of their columns."""


def modules(n_wires: int) -> dict[str, torch.nn.Module]:
    """Return our layer on both engines and its PennyLane counterpart, with the same parameters."""
    ours = {name: layer(n_wires, engine) for name, engine in ENGINES.items()}
    return {**ours, "PennyLane": ours["kernel"].to_pennylane()}


def layer(n_wires: int, engine: str) -> QuantumLayer:
    """Return the layer of the comparison, in float32."""
    found = QuantumLayer("reuploading", n_wires, LAYERS, n_inputs=INPUTS, generator=torch.Generator().manual_seed(0))
    found.program = compile_circuit(found.circuit, engine=engine)
    return found


def forward_backward(module: torch.nn.Module, batch: int) -> Callable[[], object]:
    """Return a function that computes the gradient of a loss of all outputs."""
    inputs, parameters = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1)), [*module.parameters()]
    return lambda: torch.autograd.grad(module(inputs).square().mean(), parameters)


def rollout_step(batch: int) -> dict[str, Callable[[], object]]:
    """Return functions that step a batch of environments; our parameters are bound once, as in a rollout."""
    inputs = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1))

    def step(module: torch.nn.Module) -> Callable[[], object]:
        if not isinstance(module, QuantumLayer):
            return torch.no_grad()(lambda: module(inputs))
        with torch.no_grad():
            bound = module.bind()
        return torch.no_grad()(lambda: module.run(bound, inputs))

    return {name: step(module) for name, module in modules(4).items()}


def meta_gradients(n_tasks: int, n_samples: int) -> dict[str, Callable[[], object]]:
    """Return functions that compute the gradient of the mean loss over tasks after one gradient step per task."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n_tasks, n_samples, INPUTS, generator=generator)
    targets = torch.rand(n_tasks, n_samples, 4, generator=generator)
    found = modules(4)
    params = dict(found["kernel"].named_parameters())

    def ours(module: torch.nn.Module) -> Forward:
        return lambda values, x: functional_call(module, values, (x,))

    def theirs(values: Params, x: Tensor) -> Tensor:
        # Like PennyLaneLayer.forward, with the parameters as arguments. QNodes return float64.
        return torch.stack(found["PennyLane"].qnode(x, values["weights"], values["scales"]), dim=-1).to(x.dtype)

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
        **{name: partial(mapped, ours(found[name])) for name in ENGINES},
        "PennyLane vmap": partial(mapped, theirs),
        "PennyLane loop": partial(looped, theirs),
    }


def adapted_loss(forward: Forward, params: Params, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of a task after one gradient step."""

    def loss(values: Params) -> Tensor:
        return (forward(values, inputs) - targets).square().mean()

    gradient = grad(loss)(params)
    return loss({name: value - STEP_SIZE * gradient[name] for name, value in params.items()})


# --- memory -----------------------------------------------------------------------------------------------------------


def memory_rows() -> list[dict[str, Any]]:
    """Return the peak memory of each engine, measured in its own process."""
    rows = []
    for name, target in (("kernel", 0.4), ("executor", None)):
        command = [sys.executable, "-m", "benchmarks.simulator", "--memory-of", name]
        gib = float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])
        passed = None if target is None else gib <= target
        rows.append({"engine": name, "peak memory [GiB]": gib, "at most": target, "pass": passed})
    return rows


def peak_memory(name: str) -> float:
    """Return the growth of this process's largest resident set by a forward and backward pass [GiB]."""
    forward_backward(layer(4, ENGINES[name]), 2)()  # what any pass needs
    run = forward_backward(layer(12, ENGINES[name]), 1000)
    before = largest_resident_set()
    run()
    return (largest_resident_set() - before) / 2**20


def largest_resident_set() -> int:
    """Return the largest resident set of this process so far [KiB]; `ru_maxrss` includes that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# --- blocks -----------------------------------------------------------------------------------------------------------


def block_sizes(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row per number of wires and size of the largest block."""
    default = AMPLITUDES.max_block_wires
    for n_wires, choices in BLOCK_SIZES.items():
        layers = {}
        for choice in choices:
            AMPLITUDES.max_block_wires = choice
            layers[choice] = layer(n_wires, "fused")
            layers[choice].program = Program(layers[choice].circuit, engine="fused")  # not one that was compiled before
        AMPLITUDES.max_block_wires = default
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
