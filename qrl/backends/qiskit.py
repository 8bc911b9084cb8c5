"""Circuits on Qiskit: on Aer and on quantum computers; all rows of a call are one job.

PennyLane's plug-in turns each row into a separate circuit, transpiles it and submits it as a separate job. Here a
circuit's angles stay parameters: the circuit is transpiled once for each measurement basis, and a call is one job with
one pub per basis, each with the angles of all rows.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.decompositions import QASM_NAMES, ScaledGate
from qrl.circuits.matrices import Array
from qrl.circuits.measurement import Setting, settings
from qrl.common.errors import UsageError, suggest, wrap_errors

if TYPE_CHECKING:
    import qiskit.primitives
    import qiskit.providers

DEVICES = ("qiskit.aer", "qiskit.remote")
"""Devices that run here instead of through PennyLane's plug-in, under the plug-in's names."""

_TRANSPILER = ("optimization_level", "seed_transpiler", "initial_layout", "layout_method", "routing_method")
_NOT_IN_AER = ("CRX", "CRY", "CRZ")
"""Gates whose parameters Aer 0.17 silently drops; they are decomposed into other gates."""

_REMOTE = ("backend", "session", "options")


class Sampled:
    """Estimates [row, observable] from counts, for angles [row, gate].

    Both devices accept the options of Qiskit's `generate_preset_pass_manager` in `_TRANSPILER`. Further options of
    qiskit.aer are those of an `AerSimulator`; those of qiskit.remote are `backend`, a BackendV2 or the name of one
    (`named_backend`), and, for IBM backends, `session` and the `options` of a sampler.

    Raises UsageError for unknown or missing options, for too many wires, and for any other error that Qiskit reports.
    """

    def __init__(
        self, circuit: Circuit, name: str, options: Mapping[str, Any], shots: int, generator: torch.Generator
    ) -> None:
        if not shots:
            raise UsageError(f"backend: device {name} returns no exact values; set --shots")
        self.name, self.shots, self.generator, self.n_observables = name, shots, generator, circuit.n_observables
        transpiler = {key: value for key, value in options.items() if key in _TRANSPILER}
        self.options = {key: value for key, value in options.items() if key not in _TRANSPILER}
        with wrap_errors(f"backend: device {name} cannot run this circuit"):
            from qiskit.transpiler import generate_preset_pass_manager

            self.backend = self._backend(circuit.n_wires)
            compiler = generate_preset_pass_manager(backend=self.backend, **transpiler)
            self.settings = [(each, compiler.run(_circuit(circuit, each))) for each in settings(circuit)]

    def __call__(self, angles: Tensor) -> list[Tensor]:
        """Run all rows as one job."""
        from qiskit.primitives.containers.bindings_array import BindingsArray

        rows = angles.detach().cpu().double().numpy()
        pubs: list[tuple[object, object]] = []
        for _, compiled in self.settings:
            # The transpiler removes parameters that do not affect the measurement.
            remaining = sorted(compiled.parameters, key=lambda p: p.index)
            bound = {tuple(remaining): rows[:, [p.index for p in remaining]]} if remaining else {}
            pubs.append((compiled, BindingsArray(bound, shape=(len(rows),))))
        estimates = np.zeros((len(rows), self.n_observables))
        if pubs and len(rows):
            for (setting, _), result in zip(self.settings, self._run(pubs), strict=True):
                (bits,) = result.data.values()
                for column, word in setting.words:
                    estimates[:, column] += word.coefficient * _means(bits.array, [wire for wire, _ in word.factors])
        return [torch.as_tensor(estimates).to(angles)]

    def _run(self, pubs: list[tuple[object, object]]) -> "qiskit.primitives.PrimitiveResult":
        seed = int(torch.randint(2**31, (), generator=self.generator, device=self.generator.device))
        with wrap_errors(f"backend: device {self.name} failed"):  # errors of Qiskit, of a provider, of the network
            return self._sampler(seed).run(pubs, shots=self.shots).result()

    def _backend(self, n_wires: int) -> "qiskit.providers.BackendV2":
        if self.name == "qiskit.aer":
            from qiskit_aer import AerSimulator

            return AerSimulator(**self.options)
        from qiskit.providers import BackendV2

        for key in self.options:
            if key not in _REMOTE:
                raise UsageError(
                    f"backend: device {self.name} has no option {key!r}{suggest(key, (*_REMOTE, *_TRANSPILER))}"
                )
        backend = self.options.get("backend")
        if isinstance(backend, str):
            backend = named_backend(backend)
        if not isinstance(backend, BackendV2):
            raise UsageError(
                f"backend: device {self.name} needs a computer of IBM by its name, such as "
                "pennylane:qiskit.remote,backend=ibm_torino, a simulated one, backend=fake_manila, or in Python a "
                'BackendV2 object: Backend("pennylane:qiskit.remote", shots=1000, options={"backend": backend})'
            )
        given = [key for key in ("session", "options") if key in self.options]
        if given and not _is_ibm(backend):
            raise UsageError(f"backend: option {given[0]!r} is for IBM backends, and {backend.name} is not one")
        if n_wires > (backend.num_qubits or n_wires):
            raise UsageError(
                f"backend: {backend.name} has {backend.num_qubits} qubits, the circuit has {n_wires} wires"
            )
        return backend

    def _sampler(self, seed: int) -> "qiskit.primitives.BaseSamplerV2":
        """Return the backend's own sampler; the seed is used by simulators."""
        if self.name == "qiskit.aer":
            from qiskit_aer.primitives import SamplerV2

            return SamplerV2.from_backend(self.backend, seed=seed)
        if _is_ibm(self.backend):
            from qiskit_ibm_runtime import SamplerV2 as RuntimeSampler

            return RuntimeSampler(mode=self.options.get("session") or self.backend, options=self.options.get("options"))
        from qiskit.primitives import BackendSamplerV2

        return BackendSamplerV2(backend=self.backend, options={"seed_simulator": seed})


def named_backend(name: str) -> "qiskit.providers.BackendV2":
    """Return a computer of IBM, with the credentials of Qiskit's account file; or, for "fake_...", a simulated one.

    Raises:
        UsageError: qiskit-ibm-runtime is not installed, there is no saved account, no such computer (similar names are
            given), or the service reports another error.
    """
    with wrap_errors("backend: device qiskit.remote"):
        if name.startswith("fake_"):
            from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

            with warnings.catch_warnings(action="ignore"):  # of other computers: the provider makes all of them
                known = {backend.name: backend for backend in FakeProviderForBackendV2().backends()}
            if name not in known:
                raise UsageError(f"backend: no simulated computer {name!r}{suggest(name, known)}")
            return known[name]
        from qiskit_ibm_runtime import QiskitRuntimeService

        service = QiskitRuntimeService()
        names = [backend.name for backend in service.backends()]
        if name not in names:
            raise UsageError(f"backend: the account has no computer {name!r}{suggest(name, names)}")
        return service.backend(name)


def _is_ibm(backend: "qiskit.providers.BackendV2") -> bool:
    from qiskit_ibm_runtime import IBMBackend

    return isinstance(backend, IBMBackend)


def _circuit(circuit: Circuit, setting: Setting) -> "qiskit.QuantumCircuit":
    """Build Qiskit's circuit, measured in a basis; angles that are not constant are parameters of one vector."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    angles = iter(ParameterVector("angle", sum(gate.is_parametric for gate in circuit.gates)))
    result = QuantumCircuit(circuit.n_wires)
    for gate in circuit.gates:
        parameter = next(angles) if gate.is_parametric else None
        for each in ScaledGate(gate).decompose(_NOT_IN_AER):
            angle = (
                each.gate.angle if parameter is None or not each.gate.is_parametric else each.angle_scale * parameter
            )
            getattr(result, QASM_NAMES[each.gate.name])(*(() if angle is None else (angle,)), *each.gate.wires)
    for wire, pauli in setting.basis.items():
        if pauli == "Y":
            result.sdg(wire)
        if pauli != "Z":
            result.h(wire)
    result.measure_all()
    return result


def _means(bits: Array, wires: list[int]) -> Array:
    """Average [row] over shots the product of some wires' +1 and -1.

    `bits` is [row, shot, byte] in Qiskit's packing: wire 0 is the last byte's least significant bit.
    """
    mask = np.zeros(bits.shape[-1], dtype=np.uint8)
    for wire in wires:
        mask[-1 - wire // 8] |= 1 << (wire % 8)
    odd = np.bitwise_count(bits & mask).sum(-1) % 2
    return 1 - 2 * odd.mean(-1)
