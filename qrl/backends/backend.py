"""Execution of a policy's circuits: exact, under noise, with finite shots."""

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qrl.backends.cost import Counter, counted, shifts
from qrl.backends.names import PENNYLANE, check_installed, unknown_backend
from qrl.backends.registers import register_modules, run_registers_on
from qrl.backends.shots import frequencies
from qrl.circuits.circuit import Circuit
from qrl.common.checks import LARGEST_INT, MAX_SHOTS, check_count, shown
from qrl.common.errors import UsageError
from qrl.common.memory import check_fits
from qrl.common.registry import GIVEN, name_of
from qrl.noise.model import NOISELESS, STRENGTHS, Noise
from qrl.simulator.program import Bound, compile_circuit


@runtime_checkable
class Executor(Protocol):
    """Protocol of an executor of one circuit.

    `qrl.simulator.program.Program` is the exact executor and documents the methods.
    """

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Compute everything that depends on no sample."""

    def run(
        self, bound: Bound, inputs: Float[Tensor, "*circuits batch feature"]
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Return expectation values, or estimates of them."""


@runtime_checkable
class CircuitModule(Protocol):
    """Module with one circuit and its executor, such as a `QuantumLayer`."""

    circuit: Circuit
    program: Executor


@dataclass(frozen=True)
class Backend:
    """Backend that runs circuits. Raises UsageError for an unknown name and an invalid number of shots."""

    name: Any = "torch"
    """torch, the fused simulator; or an existing PennyLane device; or pennylane:DEVICE with device options, such as
    pennylane:lightning.qubit or pennylane:qiskit.aer,method=statevector; the option gradient=spsa is ours
    (`qrl.backends.devices.GRADIENTS`)."""
    shots: int = 0
    """Shots per circuit and measurement basis of its observables [shots]; 0: exact expectation values."""
    noise: Noise = NOISELESS
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of a PennyLane device, of any type, such as a noise model or a backend object."""
    device: object = None
    """PennyLane device; it may be given as the name, too. None if the name is a name."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            if self.device is not None:
                raise UsageError("backend: a device is given twice, as the name and as device: give one of the two")
            object.__setattr__(self, "device", self.name)
            object.__setattr__(self, "name", "torch")
        if self.device is not None:
            own = PENNYLANE + name_of(_checked_device(self.device))
            if self.name not in ("torch", own):
                raise UsageError(f"backend: give the name {self.name!r} or a device, not both")
            object.__setattr__(self, "name", own)
        elif self.name.endswith(GIVEN):
            raise UsageError(f"backend {self.name!r} is a device: pass that object again, in Python")
        if self.name != "torch" and not self.name.startswith(PENNYLANE):
            raise UsageError(unknown_backend(self.name))
        check_count("backend: shots", self.shots, least=0, most=MAX_SHOTS)

    @property
    def label(self) -> str:
        """Label of the deviations from exact execution, such as shots1000-depolarizing0.01; for file names."""
        name = [] if self.name == "torch" else [re.sub(r"[^\w.]+", "-", self.name.removesuffix(GIVEN))]
        return "-".join([*name, *([f"shots{self.shots}"] if self.shots else []), *self._noise_labels()]) or "exact"

    @property
    def precision(self) -> str:
        """Shots and noise in words, such as "1000 shots, depolarizing0.01"; "exact" without either."""
        return ", ".join([*([f"{self.shots} shots"] if self.shots else []), *self._noise_labels()]) or "exact"

    def _noise_labels(self) -> list[str]:
        strengths = {name: getattr(self.noise, name) for name in STRENGTHS}
        parts = [f"{name}{value:g}" for name, value in strengths.items() if value]
        parts += ["after-layer"] if self.noise.channels() and self.noise.after == "layer" else []
        calibration = self.noise.calibration
        return parts + ([] if calibration is None else [f"calibration{calibration.digest[:8]}"])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON record; options that JSON cannot hold are stored as text and cannot be restored."""
        options = {name: repr(value) for name, value in self.options.items()}
        return {"name": self.name, "shots": self.shots, "noise": self.noise.to_json(), "options": options}

    def compile(self, circuit: Circuit, generator: torch.Generator, counter: Counter | None = None) -> Executor:
        """Return the executor of this circuit; shots are drawn from `generator`."""
        cost = (compile_circuit(circuit).n_bases, shifts(circuit))
        counter = counter or Counter()
        if self.name == "torch":
            program = compile_circuit(circuit, self.noise)
            draw = partial(frequencies, shots=self.shots, generator=generator) if self.shots else None
            return Execution(program, partial(program.run, draw=draw), self.shots, generator, counter, cost)
        device, options = self._device()
        if self.device is None:
            check_installed(device)
        from qrl.backends.devices import DeviceProgram  # PennyLane takes over a second to import

        check_fits("backend", f"{self.shots:,} shots on {circuit.n_wires} wires", 8 * self.shots * circuit.n_wires)
        gradient = str(options.pop("gradient", "auto"))
        on_device = DeviceProgram(
            circuit, device, options, self.shots, self.noise, gradient, generator, ready=self.device
        )
        return Execution(on_device, on_device.run, self.shots, generator, counter, cost, on_device.max_order)

    def _device(self) -> tuple[str, dict[str, Any]]:
        """Split the name into the device's name and options."""
        device, *words = self.name.removeprefix(PENNYLANE).removesuffix(GIVEN).split(",")
        options: dict[str, Any] = {}
        for word in words:
            name, separator, text = word.partition("=")
            if not (separator and name.isidentifier()):
                raise UsageError(f"backend: expected OPTION=VALUE after a comma, not {word!r} in {self.name!r}")
            try:
                options[name] = json.loads(text)
            except ValueError:
                options[name] = text
        options |= dict(self.options)
        if "shots" in options:
            raise UsageError("backend: set the backend's shots (--shots), not an option of the device")
        for name, value in options.items():
            if isinstance(value, int) and abs(value) > LARGEST_INT:
                raise UsageError(f"backend: {name} of the device must be at most {LARGEST_INT}, not {shown(value)}")
        return device, options


def as_backend(backend: "Backend | object") -> Backend:
    """Return a backend given as such, by its name, or as a PennyLane device. Raises UsageError as `Backend` does."""
    return backend if isinstance(backend, Backend) else Backend(backend)


def _checked_device(device: object) -> object:
    """Return a PennyLane device given by the user.

    Raises:
        UsageError: the object is no PennyLane device, or has shots of its own.
    """
    from pennylane.devices import Device  # PennyLane takes over a second to import

    if not isinstance(device, Device):
        raise UsageError(f"backend: expected a name or a PennyLane device, such as qml.device(...), not {device!r}")
    if device.shots:
        raise UsageError("backend: the device has shots of its own; create it without, and set the backend's shots")
    return device


class Execution:
    """Program with device-like execution: fresh shots in every call, circuits counted.

    The gradient through an estimate from shots is the exact gradient of its expectation value, the limit of
    parameter-shift rules with unlimited shots.
    """

    def __init__(
        self,
        program: Executor,
        run: Callable[[Bound, Tensor], Tensor],
        shots: int,
        generator: torch.Generator,
        counter: Counter,
        cost: tuple[int, int],
        max_order: float = math.inf,
    ) -> None:
        self.program, self.shots, self.generator, self.counter = program, shots, generator, counter
        self.max_order = max_order
        """Highest order of derivatives available."""
        self._run, self._cost = run, cost

    @property
    def repeats(self) -> int:
        """Number of executions of each circuit."""
        return max(1, self.shots)

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        """Bind parameters; see `qrl.simulator.program.Program.bind`."""
        return self.program.bind(weights, scales)

    def run(self, bound: Bound, inputs: Tensor) -> Tensor:
        """Return expectation values, or estimates of them; see `qrl.simulator.program.Program.run`."""
        return counted(self._run(bound, inputs), self.counter, *self._cost)


def circuit_modules(module: nn.Module) -> dict[str, CircuitModule]:
    """Return the submodules with a circuit, by name."""
    return {
        name: each
        for name, each in module.named_modules()
        if isinstance(each, CircuitModule) and isinstance(each.circuit, Circuit)
    }


def executions(module: nn.Module) -> list[Execution]:
    """Return the executions of a module after `run_on`; they share a generator and a counter."""
    programs = (each.program for each in circuit_modules(module).values())
    return [program for program in programs if isinstance(program, Execution)]


def max_order(module: nn.Module) -> float:
    """Return the highest order of derivatives available for a module's circuits."""
    return min((execution.max_order for execution in executions(module)), default=math.inf)


def uncounted(module: nn.Module) -> AbstractContextManager[None]:
    """Suspend counting for the module's circuits temporarily, while they are run to probe memory."""
    execution = next(iter(executions(module)), None)
    return nullcontext() if execution is None else execution.counter.paused()


def run_on(module: nn.Module, backend: Backend | object, generator: torch.Generator) -> None:
    """Run every circuit of a module on a backend, given as such, by its name, or as a PennyLane device, from now on.

    Modules on registers take noise of their storage only. Raises UsageError for a circuit that the backend cannot run,
    and for a module without circuits unless the backend is the exact default.
    """
    backend = as_backend(backend)
    if on_registers := register_modules(module):
        run_registers_on(on_registers, backend.name, backend.shots, backend.noise)
        return
    backend.noise.check_without_storage()
    quantum = circuit_modules(module).values()
    if not quantum and backend != Backend():
        raise UsageError("backend: shots, noise and devices need a model with circuits, and this model has none")
    counter = Counter()
    programs = [backend.compile(each.circuit, generator, counter) for each in quantum]
    for each, program in zip(quantum, programs, strict=True):
        each.program = program
