"""Reader of device errors from Qiskit Aer's noise models, and from Aer's models of backends."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import qiskit_aer.noise

from qrl.circuits.matrices import MAX_NOISY_WIRES, PAULI, Array, I, embed, kron, superoperator, to_transfer
from qrl.common.errors import UsageError, suggest, wrap_errors
from qrl.noise.native_gates import NATIVE_ENTANGLERS, SUPPORTED_NATIVE, GateError
from qrl.noise.readout import Readout

Uncoupled = Literal["refuse", "swaps", "ideal"]
Wires = tuple[int, ...] | None
Channels = dict[tuple[str, Wires], Any]
"""Aer's description of each error by gate and qubits (None: all qubits); None for a gate without an error."""

_PER_SWAP = 3
"""Entangling gates per swap."""

_ROUNDING = 1e-13
"""Threshold below which numbers are rounding errors of zero."""


class DeviceErrors(NamedTuple):
    """Fields of a `Calibration`, in order."""

    source: str
    basis: tuple[str, ...]
    errors: tuple[GateError, ...]
    readout: tuple[Readout, ...]
    n_wires: int | None
    coupled_only: tuple[str, ...]


def read_device(source: object, layout: Wires, uncoupled: Uncoupled) -> DeviceErrors:
    """Read a noise model or a backend; see `Calibration.from_qiskit`."""
    try:
        from qiskit.providers import BackendV2
        from qiskit_aer.noise import NoiseModel
    except ModuleNotFoundError:
        raise UsageError("calibration: reading noise models needs Qiskit Aer: pip install 'qrl-meta[qiskit]'") from None
    if uncoupled not in get_args(Uncoupled):
        raise UsageError(f"calibration: unknown uncoupled {uncoupled!r}{suggest(uncoupled, get_args(Uncoupled))}")
    if isinstance(source, NoiseModel):
        return _read(source, "a NoiseModel", None, (), layout, uncoupled)
    if not isinstance(source, BackendV2):
        raise UsageError(
            "calibration: expected a qiskit_aer.noise.NoiseModel or a backend of Qiskit (BackendV2), not a "
            f"{type(source).__name__}"
        )
    name = source.name or type(source).__name__
    with wrap_errors(f"calibration: Aer cannot build a noise model of {name}"):
        model = NoiseModel.from_backend(source)
    native = [gate for gate in NATIVE_ENTANGLERS if gate in source.operation_names]
    coupled = [(gate, pair) for gate in native for pair in source.target.qargs_for_operation_name(gate) or ()]
    return _read(model, name, source.num_qubits, coupled, layout, uncoupled)


def _read(
    model: "qiskit_aer.noise.NoiseModel",
    name: str,
    n_qubits: int | None,
    coupled: Iterable[tuple[str, tuple[int, ...]]],
    layout: Wires,
    uncoupled: Uncoupled,
) -> DeviceErrors:
    channels, readings = _collect_errors(model.to_dict())
    # A coupled pair without an error is perfect, unlike an uncoupled pair.
    channels = dict.fromkeys(coupled) | channels
    all_qubits = [qubits for _, qubits in channels] + [*readings]
    if n_qubits is None and all_qubits and None not in all_qubits and uncoupled != "ideal":
        # If every error names its qubits, the model describes a device with these qubits.
        n_qubits = 1 + max(qubit for qubits in all_qubits for qubit in qubits or ())
    if layout is None and n_qubits is not None:
        layout = tuple(range(min(n_qubits, MAX_NOISY_WIRES) if channels else n_qubits))
    _check_layout(layout, n_qubits, name)
    pairs = [gate for gate, qubits in channels if qubits is not None and len(qubits) == 2]
    coupled_only = tuple(dict.fromkeys(gate for gate in pairs if (gate, None) not in channels))
    errors = [
        GateError(gate, _wires(qubits, layout), _transfer(gate, qubits, error))
        for (gate, qubits), error in channels.items()
        if _is_on(qubits, layout)
    ]
    if uncoupled == "swaps" and layout is not None:
        errors += _swap_errors(channels, layout, {(error.gate, error.wires) for error in errors}, name)
    readout = [
        Readout(_wires(qubits, layout), ((float(a), float(b)), (float(c), float(d))))
        for qubits, ((a, b), (c, d)) in readings.items()
        if _is_on(qubits, layout)
    ]
    return DeviceErrors(
        source=name if layout is None else f"{name} on qubits {' '.join(map(str, layout))}",
        basis=tuple(gate for gate in model.basis_gates if gate in SUPPORTED_NATIVE),
        errors=tuple(errors),
        readout=tuple(readout),
        n_wires=None if layout is None else len(layout),
        coupled_only=() if uncoupled == "ideal" else coupled_only,
    )


def _collect_errors(noise: Mapping[str, Any]) -> tuple[Channels, dict[Wires, Any]]:
    """Return errors of supported gates and of readout, by gate and qubits. Raises UsageError for unsupported errors."""
    channels: Channels = {}
    readings: dict[Wires, Any] = {}
    ignored = []
    for error in noise["errors"]:
        (gate,) = error["operations"]
        for qubits in error.get("gate_qubits", [None]):
            if error["type"] == "roerror":
                if len(error["probabilities"]) != 2:
                    raise UsageError("calibration: joint readout errors of several qubits are not supported")
                readings[qubits] = error["probabilities"]
            elif gate == "measure":
                raise UsageError("calibration: channels before a measurement are not supported; readout errors are")
            elif (n := _n_qubits(error)) > 2:
                raise UsageError(f"calibration: the error of {gate} acts on {n} qubits: at most two are supported")
            elif gate in SUPPORTED_NATIVE:
                channels[gate, qubits] = error
            else:
                ignored.append(gate)
    if ignored and not channels:
        raise UsageError(
            f"calibration: only unsupported gates have errors, {', '.join(dict.fromkeys(ignored))}; "
            f"supported gates: {', '.join(sorted(SUPPORTED_NATIVE))}"
        )
    return channels, readings


def _check_layout(layout: Wires, n_qubits: int | None, name: str) -> None:
    if layout is None:
        return
    if not layout or len(set(layout)) < len(layout) or not all(isinstance(q, int) and q >= 0 for q in layout):
        raise UsageError(f"calibration: layout must be distinct qubits, one for each wire, not {layout}")
    if n_qubits is not None and max(layout) >= n_qubits:
        raise UsageError(f"calibration: layout: {name} has qubits 0 to {n_qubits - 1}, not {max(layout)}")


def _is_on(qubits: Wires, layout: Wires) -> bool:
    """Return whether all of these qubits carry wires."""
    return qubits is None or layout is None or {*qubits} <= {*layout}


def _wires(qubits: Wires, layout: Wires) -> Wires:
    """Return the wires on these qubits; None: all wires."""
    return qubits if qubits is None or layout is None else tuple(layout.index(qubit) for qubit in qubits)


# --- channels ---------------------------------------------------------------------------------------------------------


def _n_qubits(error: Mapping[str, Any]) -> int:
    return 1 + max(qubit for steps in error["instructions"] for step in steps for qubit in step["qubits"])


def _transfer(gate: str, qubits: Wires, error: Mapping[str, Any] | None) -> tuple[tuple[float, ...], ...]:
    """Return the Pauli transfer matrix of Aer's error after a gate, the gate's first qubit first."""
    if error is None:
        return _rows(np.eye(16))
    n = _n_qubits(error)
    total = np.zeros((4**n, 4**n))
    for steps, probability in zip(error["instructions"], error["probabilities"], strict=True):
        matrix = np.eye(4**n)
        for step in steps:
            # Qiskit's matrices order qubits from last to first.
            matrix = embed(superoperator(_kraus(step)), tuple(step["qubits"][::-1]), tuple(range(n)), 4) @ matrix
        total = total + probability * matrix
    matrix = to_transfer(total)
    matrix[abs(matrix) < _ROUNDING] = 0
    first = np.eye(len(matrix))[0]
    if abs(matrix[0] - first).max() > 1e-8:
        on = "" if qubits is None else f" on {qubits}"
        raise UsageError(f"calibration: the error of {gate}{on} is not a channel: it does not preserve the trace")
    matrix[0] = first
    return _rows(matrix)


def _exchange_qubits(matrix: Array) -> Array:
    """Return a transfer matrix of two qubits with the qubits exchanged."""
    return matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)


def _rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


@runtime_checkable
class _Unitary(Protocol):
    """Qiskit gates with a matrix."""

    def to_matrix(self) -> Array: ...


def _kraus(step: Mapping[str, Any]) -> list[Array]:
    """Return the Kraus operators of one step of an error."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    name, values = step["name"], step.get("params", ())
    match name:
        case "kraus" | "unitary":
            return [np.asarray(value) for value in values]
        case "pauli":
            return [kron([PAULI.get(letter, I) for letter in values[0]])]
        case "reset":
            return [np.array([[1, 0], [0, 0]]), np.array([[0, 1], [0, 0]])]
    gate = get_standard_gate_name_mapping().get(name)
    if not isinstance(gate, _Unitary):
        raise UsageError(f"calibration: an error contains the unknown channel {name!r}")
    return [type(gate)(*values).to_matrix()]


# --- uncoupled qubits -------------------------------------------------------------------------------------------------


def _swap_errors(
    channels: Channels, layout: tuple[int, ...], listed: set[tuple[str, Wires]], name: str
) -> Iterator[GateError]:
    """Yield errors of the native gate on uncoupled pairs of wires: the errors along the path, three per swap."""
    gate = next(
        (each for each in NATIVE_ENTANGLERS if any(each == other and qubits for other, qubits in channels)), None
    )
    if gate is None or (gate, None) in channels:
        return
    pairs = [qubits for other, qubits in channels if other == gate and qubits is not None]
    edges = {(a, b): (a, b) for a, b in pairs}
    edges = {(b, a): (a, b) for a, b in pairs} | edges
    for j in range(len(layout)):
        for i in range(j):
            if not {(gate, (i, j)), (gate, (j, i))} & listed:
                path = _shortest_path(layout[i], layout[j], edges)
                if not path:
                    raise UsageError(
                        f"calibration: {name} has no path of couplings from qubit {layout[i]} to qubit {layout[j]}"
                    )
                total = np.eye(16)
                for position, edge in enumerate(path):
                    qubits = edges[edge]
                    matrix = np.array(_transfer(gate, qubits, channels[gate, qubits]))
                    if qubits != edge:
                        matrix = _exchange_qubits(matrix)
                    total = np.linalg.matrix_power(matrix, _PER_SWAP if position < len(path) - 1 else 1) @ total
                yield GateError(gate, (i, j), _rows(total))


def _shortest_path(start: int, end: int, edges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the edges of a shortest path; an empty list if no path exists."""
    predecessors: dict[int, int] = {}
    queue = deque([start])
    while queue and end not in predecessors:
        qubit = queue.popleft()
        for a, b in edges:
            if a == qubit and b != start and b not in predecessors:
                predecessors[b] = qubit
                queue.append(b)
    path, qubit = [], end
    while qubit in predecessors:
        path.append((predecessors[qubit], qubit))
        qubit = predecessors[qubit]
    return path[::-1]
