"""Training on a GPU: exactness against the CPU, steps per second, memory bandwidth.

    python -m benchmarks.gpu [--device cuda:N]     results/gpu.json, in under eight minutes on one GPU
    python -m benchmarks.gpu --device cpu --quick  a tiny version of every part without a GPU

- Value, gradient and Hessian-vector product of a circuit on the device and on the CPU: largest difference.
- Environment steps per second of a whole meta-iteration (rollouts and update) of MAML on navigation and of RL² on the
  bandit, by number of lanes and wires.
- Memory traffic of a forward pass, twice its state per layer, per second, over that of a large copy.

After 7.5 minutes no further row is begun; those left out are named. A row that does not fit into the device's memory is
left out, too. `--quick` on a GPU takes the smallest sizes only.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp

from agents.core.context import build, check_device
from agents.core.spec import Spec
from agents.experiment.loop import Training
from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.common.errors import UsageError, is_out_of_memory
from qrl.layer import QuantumLayer

BUDGET = 450.0
"""Time after which no further row is begun [s]."""
LAYERS, INPUTS, EPISODES = 5, 4, 20

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    device: str = "cuda"
    """Torch device: cuda, cuda:N, or, with --quick, cpu."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a measurement."""

    wires: tuple[int, ...] = (4, 8, 12, 16)
    lanes: tuple[int, ...] = (400, 4_000, 40_000)
    batch: int = 4_000
    copied: int = 2**30
    """Size of the large copy [bytes]."""


QUICK = Sizes(wires=(2, 4), lanes=(40,), batch=64, copied=2**22)


def main(options: Options) -> None:
    """Measure until the time is over."""
    try:
        check_device(options.device)
        device = torch.device(options.device)
        if device.type == "cpu" and not options.quick:
            raise UsageError("--device cpu: only with --quick")
    except (UsageError, RuntimeError) as error:
        print(f"benchmarks.gpu: error: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)
    set_up(threads=1)
    end, results, left_out = time.monotonic() + BUDGET, dict[str, list[Row]](), list[str]()
    for part, name, measure in measurements(QUICK if options.quick else Sizes(), device):
        if time.monotonic() > end:
            left_out.append(f"{part}, {name}: out of time")
            continue
        try:
            results.setdefault(part, []).append({"what": name, **measure()})
        except (UsageError, RuntimeError, MemoryError) as error:
            if not isinstance(error, UsageError) and not is_out_of_memory(error):
                raise
            left_out.append(f"{part}, {name}: {str(error).splitlines()[0]}")
        print(f"{part}, {name}", file=sys.stderr, flush=True)
    for part, rows in results.items():
        print(f"\n{part}\n{table(rows)}")
    print("".join(f"\nleft out: {each}" for each in left_out) or "\nnothing was left out")
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    write_result("gpu", {"gpu": gpu, **results, "left out": left_out}, quick=options.quick)


def measurements(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, str, Callable[[], Row]]]:
    """Yield part, name and function of each row; the most telling ones first."""
    for wires in sizes.wires[:2]:
        for dtype in (torch.float32, torch.float64):
            yield "exactness", f"{wires} wires, {dtype}", partial(differences, wires, sizes.batch, dtype, device)
    for wires in sizes.wires:
        yield "bandwidth", f"{wires} wires", partial(bandwidth, wires, sizes, device)
    for wires in sizes.wires:
        for lanes in sizes.lanes:
            for name, start in (("maml", maml), ("rl2", rl2)):
                yield "speed", f"{name}, {wires} wires, {lanes} lanes", partial(speed, start(wires, lanes, device))


def layer(wires: int, dtype: torch.dtype, device: torch.device) -> QuantumLayer:
    """Return the same layer on any device."""
    made = QuantumLayer("reuploading", wires, LAYERS, n_inputs=INPUTS, generator=torch.Generator().manual_seed(0))
    return made.to(device, dtype)


def differences(wires: int, batch: int, dtype: torch.dtype, device: torch.device) -> Row:
    """Return the largest difference of value, gradient and Hessian-vector product from those of the CPU."""
    ours, theirs = (derivatives(layer(wires, dtype, d), batch, dtype, d) for d in (device, torch.device("cpu")))
    return {name: float((ours[name].cpu() - theirs[name]).abs().max()) for name in theirs}


def derivatives(module: QuantumLayer, batch: int, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Return value, gradient and Hessian-vector product of a loss with respect to all parameters."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(batch, INPUTS, generator=generator, dtype=torch.float64).to(device, dtype)
    params = {name: value.detach() for name, value in module.named_parameters()}
    direction = {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64).to(device, dtype)
        for name, value in params.items()
    }

    def loss(p: dict[str, Tensor]) -> Tensor:
        value: Tensor = functional_call(module, p, (inputs,)).square().sum(-1).mean()
        return value

    gradient, product = jvp(grad(loss), (params,), (direction,))
    return {
        "value": functional_call(module, params, (inputs,)).detach(),
        "gradient": torch.cat([each.flatten() for each in gradient.values()]),
        "Hessian-vector product": torch.cat([each.flatten() for each in product.values()]),
    }


def waiting(function: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return a function that also waits until the device is done."""

    def call() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call


def bandwidth(wires: int, sizes: Sizes, device: torch.device) -> Row:
    """Return the memory traffic per second of a forward pass, and that of a large copy."""
    batch = max(sizes.batch, sizes.copied // (8 * 8 * 2**wires))  # an eighth of the copy
    module = layer(wires, torch.float32, device)
    inputs = torch.rand(batch, INPUTS, device=device)
    source = torch.zeros(sizes.copied // 4, device=device)
    target = torch.empty_like(source)
    with torch.no_grad():
        forward = waiting(lambda: module(inputs), device)
        copy = waiting(lambda: target.copy_(source), device)
        seconds = medians({"forward": forward, "copy": copy}, rounds=5)
    state = 8 * 2**wires * batch
    achieved, possible = 2 * (LAYERS + 1) * state / seconds["forward"], 2 * sizes.copied / seconds["copy"]
    return {
        "batch": batch,
        "forward [GB/s]": achieved / 1e9,
        "copy [GB/s]": possible / 1e9,
        "ratio": achieved / possible,
    }


def maml(wires: int, lanes: int, device: torch.device) -> Spec:
    """Return the spec of MAML on navigation with this many lanes."""
    spec = Spec.default(env="navigation", agent="maml", model_config={"n_wires": wires}, device=str(device))
    return with_options(spec, meta_batch=max(2, lanes // EPISODES), episodes=EPISODES)


def rl2(wires: int, lanes: int, device: torch.device) -> Spec:
    """Return the spec of RL² on the bandit with this many lanes."""
    spec = Spec.default(env="bandit", agent="rl2", model_config={"n_wires": wires}, device=str(device))
    return with_options(spec, meta_batch=lanes)


def with_options(spec: Spec, **options: int) -> Spec:
    """Change options of the agent; without early stopping of epochs every iteration does the same work."""
    changes: dict[str, Any] = {"target_kl": 0.0, **options}
    return replace(spec, agent_config=replace(spec.agent_config, **changes))  # type: ignore[type-var]


def speed(spec: Spec) -> Row:
    """Return the environment steps per second of a meta-iteration, the second one."""
    training = Training(spec, *build(spec))  # type: ignore[arg-type]
    step = waiting(training.step, torch.device(spec.device))
    step()
    before, start = training.env_steps, time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    return {"seconds per iteration": seconds, "steps per second": (training.env_steps - before) / seconds}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
