"""Where and how a policy's circuits run: exactly, under noise, with finite shots."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qrl._count import Counter, counted, shifts
from qrl._shots import frequencies
from qrl.circuit import Circuit
from qrl.errors import UsageError, suggest
from qrl.noise import NOISELESS, STRENGTHS, Noise
from qrl.simulator import Bound, Program, compile_circuit

BACKENDS = ("torch",)

LARGEST_SHOTS = 10**9
"""Beyond that a number of shots is a slip of the hand."""


@runtime_checkable
class Executor(Protocol):
    """What runs one circuit; `qrl.simulator.Program` is the exact one, whose methods say more."""

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Everything that depends on no sample."""

    def run(
        self, bound: Bound, inputs: Float[Tensor, "*circuits batch feature"]
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Expectation values, or estimates of them."""


@dataclass(frozen=True)
class Backend:
    """Where circuits run. Raises UsageError for a name that is unknown and a number of shots that cannot be."""

    name: str = "torch"
    shots: int = 0
    """Of each circuit in each basis that its observables are measured in [shots]; 0: exact expectation values."""
    noise: Noise = NOISELESS

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise UsageError(f"backend: unknown name {self.name!r}{suggest(self.name, BACKENDS)}")
        if not 0 <= self.shots <= LARGEST_SHOTS:
            raise UsageError(f"backend: shots must be in 0 (exact) to {LARGEST_SHOTS}, not {self.shots}")

    @property
    def label(self) -> str:
        """What is not exact about it, such as shots1000-depolarizing0.01; for names of files."""
        strengths = {name: getattr(self.noise, name) for name in STRENGTHS}
        parts = [f"{name}{value:g}" for name, value in strengths.items() if value]
        parts += ["after-layer"] if self.noise.channels() and self.noise.after == "layer" else []
        name = [] if self.name == "torch" else [self.name.replace(":", "-")]
        return "-".join([*name, *([f"shots{self.shots}"] if self.shots else []), *parts]) or "exact"

    def compile(self, circuit: Circuit, generator: torch.Generator, counter: Counter | None = None) -> Executor:
        """What runs this circuit; shots are drawn from the generator."""
        return Execution(compile_circuit(circuit, self.noise), self.shots, generator, counter or Counter())


class Execution:
    """A program as a device runs it: shots drawn anew in every call, circuits counted.

    The gradient that goes through an estimate from shots is the exact one of its expectation value: what
    parameter-shift rules would give with unlimited shots.
    """

    def __init__(self, program: Program, shots: int, generator: torch.Generator, counter: Counter) -> None:
        self.program, self.shots, self.generator, self.counter = program, shots, generator, counter
        self._draw = partial(frequencies, shots=shots, generator=generator) if shots else None
        self._cost = (program.n_bases, shifts(program.circuit))

    @property
    def repeats(self) -> int:
        """How often each circuit is run."""
        return max(1, self.shots)

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        """See `qrl.simulator.Program.bind`."""
        return self.program.bind(weights, scales)

    def run(self, bound: Bound, inputs: Tensor) -> Tensor:
        """Expectation values, or estimates of them; see `qrl.simulator.Program.run`."""
        return counted(self.program.run(bound, inputs, self._draw), self.counter, *self._cost)


def executions(module: nn.Module) -> list[Execution]:
    """What runs the circuits of a module that was put on a backend; they share a generator and a counter."""
    programs = (getattr(each, "program", None) for each in module.modules())
    return [program for program in programs if isinstance(program, Execution)]


def uncounted(module: nn.Module) -> AbstractContextManager[None]:
    """For the while, the module's circuits do not count: they are run to find something out about memory."""
    execution = next(iter(executions(module)), None)
    return nullcontext() if execution is None else execution.counter.paused()


def run_on(module: nn.Module, backend: Backend, generator: torch.Generator) -> None:
    """Have every circuit in a module run on a backend from now on.

    Those are the submodules that keep a `Circuit` as `circuit` and what runs it as `program`, such as a `QuantumLayer`.
    Raises UsageError for what the backend cannot run, and for a module without a circuit if it is to be run otherwise
    than exactly.
    """
    quantum = [each for each in module.modules() if isinstance(getattr(each, "circuit", None), Circuit)]
    if not quantum and backend != Backend():
        raise UsageError("the model has no circuits: there is nothing for shots or noise to act on")
    counter = Counter()
    programs = [backend.compile(each.circuit, generator, counter) for each in quantum]  # type: ignore[arg-type]
    for each, program in zip(quantum, programs, strict=True):
        each.program = program  # type: ignore[assignment]
