"""Circuits on any PennyLane device: simulators, shots, noise models, hardware.

A circuit is run from its angles [row, gate], one row per sample, computed in torch from weights, scales and inputs. All
rows of a call are one job: a broadcast execution in PennyLane, or parameter sets in Qiskit (`qrl.backends.qiskit`). The
method for derivatives by the angles depends on the device (`GRADIENTS`); torch's autograd adds those by weights, scales
and inputs.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pennylane as qml
import torch
from torch import Tensor

from qrl.backends.angles import AngleProgram, angle_gates
from qrl.backends.cost import n_terms
from qrl.backends.names import check_installed, is_local
from qrl.backends.pennylane import to_angle_qnode
from qrl.backends.qiskit import DEVICES as QISKIT_DEVICES
from qrl.backends.qiskit import Sampled
from qrl.backends.row_function import Differentiable, RowFunction
from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError, suggest, wrap_errors
from qrl.noise.model import NOISELESS, Noise

GRADIENTS = ("auto", "backprop", "adjoint", "parameter-shift", "spsa")
"""Differentiation methods. auto: backprop through PennyLane's own exact simulators, of any order; adjoint on
lightning's, of first order; parameter shifts with shots and on all other devices, of first order. spsa: simultaneous
perturbation, two circuits per sample for any number of gates (Spall 1992)."""

_BACKPROP = ("default.qubit", "default.mixed", "reference.qubit")
_SEEDED = ("default.qubit", "default.mixed", "lightning.qubit")
_SPSA_STEP = 0.2
"""Perturbation [rad]; with shots, smaller perturbations are lost in sampling noise."""


class DeviceProgram(AngleProgram):
    """Circuit on a PennyLane device; the counterpart of `qrl.simulator.program.Program`.

    `name` and `options` are those of `qml.device`; `ready` is an existing device to use instead. `shots` 0 requests
    exact values. If the device accepts a seed, `generator` seeds the device's own random numbers. Raises UsageError for
    a device that is not installed, and for unsupported requests: exact values, shots, noise, gates, the gradient
    method.
    """

    def __init__(
        self,
        circuit: Circuit,
        name: str,
        options: dict[str, Any],
        shots: int,
        noise: Noise,
        gradient: str,
        generator: torch.Generator,
        *,
        ready: object = None,
    ) -> None:
        if ready is None:
            check_installed(name)
        gradient = _gradient(name, shots, gradient)
        if noise != NOISELESS and name != "default.mixed":
            raise UsageError(f"backend: device {name} does not support noise; use torch or pennylane:default.mixed")
        method = {"backprop": "backprop", "adjoint": "adjoint"}.get(gradient)
        values: Values
        if name in QISKIT_DEVICES and ready is None:
            values = Sampled(circuit, name, options, shots, generator)
        else:
            device = _device(name, options, circuit.n_wires, generator) if ready is None else ready
            _check_wires(name, device, circuit.n_wires)
            qnode = qml.set_shots(to_angle_qnode(circuit, device, method, noise), shots or None)

            def values(angles: Tensor) -> list[Tensor]:
                rows = [torch.as_tensor(value).expand(len(angles)) for value in qnode(angles)]
                return [torch.stack(rows, dim=-1).to(angles.dtype)]

        function: RowFunction
        if method is not None:
            # PennyLane's adjoint method silently returns zeros for second derivatives.
            function = Differentiable(values, 1, 1, order=1.0 if gradient == "adjoint" else math.inf, method=gradient)
        elif gradient == "spsa":
            function = _Estimated(values, _Perturbed(values, generator))
        else:
            terms = [n_terms(gate) for gate in angle_gates(circuit, noise)]
            function = _Estimated(values, _Shifted(values, terms))
        super().__init__(circuit, function, noise)
        # Elsewhere a job may queue and cost money; for circuits that run in Qiskit, compiling already finds errors.
        if is_local(name) and not isinstance(values, Sampled):
            self._test_run(name, shots)

    @property
    def max_order(self) -> float:
        """Highest order of derivatives available."""
        return self.function.order

    def _test_run(self, name: str, shots: int) -> None:
        """Raise UsageError if the device fails, or silently samples although exact values are requested."""
        angles = torch.linspace(-1, 2, 3 * len(self.gates), dtype=torch.float64).reshape(3, -1)
        requested = f"{shots} shots" if shots else "exact values"
        with wrap_errors(f"backend: device {name} cannot run this circuit with {requested}"):
            first, again = (self.function(angles)[0] for _ in range(2))
        if not shots and not torch.equal(first, again):
            raise UsageError(f"backend: device {name} returns no exact values (two runs differ); set --shots")


Values = Callable[[Tensor], Sequence[Tensor]]
"""Function from angles [row, gate] to one tensor of expectation values [row, observable]."""


class _Estimated(RowFunction):
    """Opaque values of a device, with a function that estimates their first derivative."""

    def __init__(self, values: Values, gradient: RowFunction) -> None:
        super().__init__(gradient.order + 1, gradient.method)
        self.values, self.gradient = values, gradient

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(self.values(*rows))

    def derivative(self) -> RowFunction:
        return self.gradient


class _Shifted(RowFunction):
    """First derivative by parameter shifts.

    A rotation takes two terms, a controlled rotation four (Anselmetti et al. 2021).
    """

    def __init__(self, values: Values, terms: Sequence[int]) -> None:
        super().__init__(order=0.0, method="parameter-shift")
        self.values = values
        rows: list[tuple[int, float, float]] = []
        a, b = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
        for gate, count in enumerate(terms):
            rules = [(0.5, 0.5)] if count == 2 else [(0.5, a), (1.5, -b)]
            for shift, weight in rules:
                rows += [(gate, shift * math.pi, weight), (gate, -shift * math.pi, -weight)]
        self.shift = torch.zeros(len(rows), len(terms), dtype=torch.float64)
        self.weight = torch.zeros(len(terms), len(rows), dtype=torch.float64)
        for row, (gate, shift, weight) in enumerate(rows):
            self.shift[row, gate], self.weight[gate, row] = shift, weight

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        angles, by_value = rows
        shifted = (angles.unsqueeze(1) + self.shift.to(angles)).flatten(0, 1)
        with torch.no_grad():
            (values,) = self.values(shifted)
        values = values.unflatten(0, (len(angles), -1))
        return (torch.einsum("gs,rso,ro->rg", self.weight.to(values), values, by_value),)


class _Perturbed(RowFunction):
    """First derivative by simultaneous perturbation: random signs shift all angles of a row together, up and down."""

    def __init__(self, values: Values, generator: torch.Generator) -> None:
        super().__init__(order=0.0, method="spsa")
        self.values, self.generator = values, generator

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        angles, by_value = rows
        signs = 2.0 * torch.randint(2, angles.shape, generator=self.generator, device=angles.device) - 1
        with torch.no_grad():
            (values,) = self.values(torch.cat([angles + _SPSA_STEP * signs, angles - _SPSA_STEP * signs]))
        up, down = values.chunk(2)
        slope = ((up - down) * by_value).sum(-1, keepdim=True) / (2 * _SPSA_STEP)
        return ((slope * signs).to(angles.dtype),)


def _gradient(name: str, shots: int, requested: str) -> str:
    """Choose the differentiation method; see `GRADIENTS`."""
    if requested not in GRADIENTS:
        raise UsageError(f"backend: unknown gradient {requested!r}{suggest(requested, GRADIENTS)}")
    exact = {"backprop": name in _BACKPROP, "adjoint": name in _BACKPROP or name.startswith("lightning.")}
    possible = [method for method, can in exact.items() if can and not shots] + ["parameter-shift", "spsa"]
    if requested == "auto":
        return possible[0]
    if requested not in possible:
        how = "with shots" if shots else "exactly"
        raise UsageError(
            f"backend: gradient {requested} is not available on {name} {how}; choose from {', '.join(possible)}"
        )
    return requested


def _device(name: str, options: dict[str, Any], n_wires: int, generator: torch.Generator) -> qml.devices.Device:
    """Create the PennyLane device. Raises UsageError if it does not accept these options."""
    if name in _SEEDED and "seed" not in options:
        seed = torch.randint(2**31, (), generator=generator, device=generator.device)
        options = options | {"seed": int(seed)}
    with wrap_errors(f"backend: device {name}"):  # errors of PennyLane, its plug-in, or Python for an unknown option
        return qml.device(name, wires=n_wires, **options)


def _check_wires(name: str, device: qml.devices.Device, n_wires: int) -> None:
    """Raise UsageError for an existing device without the wires of the circuit; one without wires has any."""
    if device.wires and not set(range(n_wires)) <= set(device.wires):
        raise UsageError(
            f"backend: device {name} has the wires {device.wires.tolist()}, the circuit needs 0 to {n_wires - 1}"
        )
