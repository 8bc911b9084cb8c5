"""Read a PennyLane circuit, an ordinary function, a QNode or a TorchLayer, into gates and observables.

The function is called with symbolic inputs, weights and scales (`qrl.circuits.tracing`), so that each angle is the
expression that the function computes. What depends on their values, or cannot be computed with them, is refused.
"""

import traceback
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from textwrap import shorten

import pennylane as qml

from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.circuits.pennylane_arguments import EXAMPLE, Shapes, Sizes, sizes_of, symbolic_arguments
from qrl.circuits.pennylane_gates import read_gates
from qrl.circuits.pennylane_measurements import read_measurement
from qrl.common.caller import warn_caller
from qrl.common.checks import shown
from qrl.common.errors import UsageError, wrap_errors

_PIPELINE = "compile_pipeline" if "compile_pipeline" in dir(qml.QNode) else "transform_program"
"""Attribute of a QNode with its transforms; PennyLane 0.45 renamed it."""

_LIBRARIES = (str(Path(__file__).parent), str(Path(qml.__file__).parent.parent))
"""Folders whose code is not the user's."""

_STATE_PREPARATION = {"amplitude.py", "state_preparation.py", "state_preparations"}
"""Files and folders of PennyLane in which amplitudes of a state are computed."""

Description = tuple[int, tuple[Gate, ...], tuple[Observable, ...]]
"""Number of wires, gates and observables of a circuit."""


def read_pennylane(
    function: Callable[..., object],
    n_inputs: int,
    n_weights: int | None,
    n_scales: int,
    weight_shapes: Shapes | None,
) -> tuple[Sizes, Description]:
    """Return the sizes of the arguments, and wires, gates and observables; see `Circuit.from_pennylane`."""
    if not callable(function):
        raise UsageError(
            f"from_pennylane: expected a function of PennyLane, a QNode or a TorchLayer, not {shown(function)}"
        )
    if isinstance(function, qml.qnn.TorchLayer):
        if n_weights is not None or weight_shapes is not None:
            raise UsageError("from_pennylane: a TorchLayer has its own weight_shapes: leave out weights, give n_inputs")
        weight_shapes = {name: tuple(weight.shape) for name, weight in function.qnode_weights.items()}
    sizes = sizes_of(n_inputs, n_weights, n_scales, weight_shapes)
    plain = _function_of(function)
    found = _read(plain, sizes)
    if found != _read(plain, sizes):
        raise UsageError("from_pennylane: the function makes another circuit in each call; fix its random numbers")
    return sizes, found


def _function_of(given: Callable[..., object]) -> Callable[..., object]:
    """Return the function of a QNode or TorchLayer, and warn of what is not used. Raises UsageError for transforms."""
    node = given.qnode if isinstance(given, qml.qnn.TorchLayer) else given
    if not isinstance(node, qml.QNode):
        return given
    if transforms := list(getattr(node, _PIPELINE)):
        raise UsageError(
            f"from_pennylane: the QNode has transforms, {', '.join(map(str, transforms))}, which cannot be read; give "
            "its function, node.func, without them or transformed itself"
        )
    weights = "" if node is given else ", nor are the weights of the layer"
    warn_caller(
        f"from_pennylane: the gates of the QNode are read; its device {node.device.name} is not used{weights}: choose "
        "where circuits run, and shots, by a backend"
    )
    return node.func  # type: ignore[no-any-return]


def _read(function: Callable[..., object], sizes: Sizes) -> Description:
    """Read a function of one sample or, if it fails, of a batch of samples [batch, n_inputs], with a batch of one."""
    try:
        return _read_call(function, sizes, ())
    except UsageError as error:
        try:
            return _read_call(function, sizes, (1,))
        except UsageError as of_batch:
            # Only a function of a batch takes inputs for a matrix, and fails for another reason with one.
            is_of_batch = isinstance(error.__cause__, IndexError) and not isinstance(of_batch.__cause__, IndexError)
            raise (of_batch if is_of_batch else error) from None


def _read_call(function: Callable[..., object], sizes: Sizes, batch: tuple[int, ...]) -> Description:
    script = _record(function, sizes, batch)
    wires = {label: index for index, label in enumerate(_sorted(script.wires.labels))}
    gates = tuple(
        Gate(name, tuple(wires[label] for label in labels), angle)
        for operation in script.operations
        for name, labels, angle in read_gates(operation)
    )
    if not script.measurements:
        raise UsageError("from_pennylane: the function returns no expectation value, such as qml.expval(qml.PauliZ(0))")
    observables = (observable for each in script.measurements for observable in read_measurement(each, wires))
    return len(wires), gates, tuple(observables)


def _record(function: Callable[..., object], sizes: Sizes, batch: tuple[int, ...]) -> qml.tape.QuantumScript:
    """Call the function with symbols."""
    positional, named = symbolic_arguments(function, sizes, batch)
    try:
        with wrap_errors("from_pennylane: the function failed"):
            return qml.tape.make_qscript(function)(*positional, **named)
    except UsageError as error:
        cause = error.__cause__
        if cause is None:  # a symbol's own error
            text = _AMPLITUDES if _prepares_a_state(error) else str(error).removeprefix("circuit: ")
            raise UsageError(f"from_pennylane: {text}{_where(error)}") from error
        if "numpy.object_" in str(cause) or "ObjectDType" in str(cause):  # torch's errors of a conversion
            raise UsageError(
                "from_pennylane: inputs, weights and scales are symbols here, which a tensor cannot hold: leave out "
                f"torch.tensor, torch.as_tensor and dtype=inputs.dtype{_where(cause)}"
            ) from cause
        raise UsageError(f"{error}{_hint(cause, sizes)}") from cause


def _hint(cause: BaseException, sizes: Sizes) -> str:
    """Return what may be wrong with the arguments of a function that fails."""
    about_arguments = "positional argument" in str(cause)
    hints = []
    if sizes.shapes is None and (about_arguments or isinstance(cause, IndexError | ValueError)):
        hints.append(f"weights are a vector [{sizes.n_weights}] unless weight_shapes is given, {EXAMPLE}")
    if about_arguments:
        hints.append("functools.partial sets arguments that are neither inputs nor weights")
    return "".join(f"; {hint}" for hint in hints)


_AMPLITUDES = (
    "amplitudes of a state cannot depend on inputs, weights or scales: encode these as angles, such as by "
    "qml.AngleEmbedding"
)


def _prepares_a_state(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any(_STATE_PREPARATION.intersection(Path(frame.filename).parts) for frame in frames)


def _where(error: BaseException) -> str:
    """Return file and line of the user's function where an error arose, with the line itself."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    if not users:
        return ""
    folder = Path(users[0].filename).parent  # of the function and its helpers; libraries that they call are elsewhere
    last = [frame for frame in users if Path(frame.filename).is_relative_to(folder)][-1]
    return f" ({Path(last.filename).name}, line {last.lineno}{f': {shorten(last.line, 80)}' if last.line else ''})"


def _sorted(labels: Sequence[Hashable]) -> list[Hashable]:
    """Sort wire labels by number or, if some are names, keep their order."""
    numbers = [label for label in labels if isinstance(label, int)]
    return [*sorted(numbers)] if len(numbers) == len(labels) else list(labels)
