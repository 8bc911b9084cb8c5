"""Circuit: the frozen description of a variational quantum circuit (VQC).

A circuit is data: gates in order, each angle a trainable weight, a scaled input or a constant, then observables. It
computes nothing. `qrl.simulator.program` runs a circuit in torch, `qrl.backends.pennylane` on any PennyLane device;
both take this object.

Conventions are PennyLane's: wire 0 is the most significant bit, a rotation about a Pauli word P is exp(-i angle P / 2),
and the register starts in |0...0>.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

from qrl.circuits.angles import Angle, Input, Scale, Weight
from qrl.circuits.drawing import draw_circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError, suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Circuit:
    """Gates on `n_wires` wires, then the expectation values of `observables`.

    Weights, scales and input features are numbered from 0; their counts follow from the largest index used.

    Raises UsageError for zero wires, no observables, or a gate or an observable on a wire that does not exist.
    """

    n_wires: int
    gates: tuple[Gate, ...]
    observables: tuple[Observable, ...]

    def __post_init__(self) -> None:
        if self.n_wires < 1:
            raise UsageError(f"circuit: n_wires must be at least 1, not {self.n_wires}")
        _check_members("gates", self.gates, Gate)
        _check_members("observables", self.observables, Observable)
        if not self.observables:
            raise UsageError("circuit: at least one observable is needed")
        wires = range(self.n_wires)
        for gate in self.gates:
            if not all(wire in wires for wire in gate.wires):
                raise UsageError(f"circuit: {gate} acts on wires {gate.wires}; there are wires 0 to {self.n_wires - 1}")
        for observable in self.observables:
            for word in observable.words:
                if not all(wire in wires for wire, _ in word.factors):
                    raise UsageError(
                        f"circuit: observable {observable} acts on a wire that does not exist; "
                        f"there are wires 0 to {self.n_wires - 1}"
                    )

    @classmethod
    def from_pennylane(
        cls,
        function: Callable[..., object],
        *,
        n_inputs: int,
        n_weights: int | None = None,
        n_scales: int = 0,
        weight_shapes: Mapping[str, int | Sequence[int]] | None = None,
    ) -> "Circuit":
        """Read a PennyLane circuit: a QNode, a TorchLayer or a function of (inputs, weights[, scales]).

        The arguments are vectors [input], [weight] and [scale] of one sample; for a function that takes a batch,
        inputs are [1, input]. With `weight_shapes` in place of `n_weights`, arguments are passed by name, as
        `qml.qnn.TorchLayer` does: inputs, one array of weights of each of these shapes, and `scales` if there are any;
        the circuit's weights are the elements of the arrays in this order. A TorchLayer has its own shapes. The
        function applies operations and returns expectation values or probabilities, one or several.

        Angles are any expressions (`qrl.circuits.angles.Expression`) of inputs, weights and scales. The function may
        use mathematics of NumPy, PennyLane and torch. Operations are decomposed into the supported gates; global phases
        are dropped. A QNode's device and the weights of a TorchLayer are not used.

        Raises UsageError, with the name, for anything that cannot be read.
        """
        from qrl.circuits.pennylane_reader import read_pennylane  # PennyLane takes over a second to import

        sizes, description = read_pennylane(function, n_inputs, n_weights, n_scales, weight_shapes)
        circuit = cls(*description)
        # A circuit counts up to the largest index that an angle uses. Arrays may have elements that none uses.
        counts = {"input": (sizes.n_inputs, circuit.n_inputs), "weight": (sizes.n_weights, circuit.n_weights)}
        for kind, (declared, used) in (counts | {"scale": (sizes.n_scales, circuit.n_scales)}).items():
            if used < declared and not (kind == "weight" and sizes.shapes is not None):
                shapes = ", or give weight_shapes, whose arrays may have unused elements" if kind == "weight" else ""
                raise UsageError(
                    f"from_pennylane: no angle uses {kind} {used}: use it, or set n_{kind}s={used}{shapes}"
                )
        return circuit

    @cached_property
    def n_weights(self) -> int:
        return 1 + max((v.index for g in self.gates for v in g.variables if isinstance(v, Weight)), default=-1)

    @cached_property
    def n_scales(self) -> int:
        return 1 + max((v.index for g in self.gates for v in g.variables if isinstance(v, Scale)), default=-1)

    @cached_property
    def n_inputs(self) -> int:
        return 1 + max((v.feature for g in self.gates for v in g.variables if isinstance(v, Input)), default=-1)

    @property
    def n_observables(self) -> int:
        return len(self.observables)

    @cached_property
    def moments(self) -> tuple[tuple[Gate, ...], ...]:
        """Gates grouped into columns that act simultaneously, each gate as early as its wires are free."""
        free = [0] * self.n_wires
        columns: list[list[Gate]] = []
        for gate in self.gates:
            column = max(free[wire] for wire in gate.wires)
            if column == len(columns):
                columns.append([])
            columns[column].append(gate)
            for wire in gate.wires:
                free[wire] = column + 1
        return tuple(tuple(column) for column in columns)

    def at(self, angles: Sequence[Angle]) -> "Circuit":
        """Return the circuit with these angles, such as numbers [rad], replacing its weights and inputs gate by gate.

        Raises UsageError for the wrong number of angles.
        """
        values, n_free = iter(angles), sum(gate.is_parametric for gate in self.gates)
        if len(angles) != n_free:
            raise UsageError(f"circuit: {n_free} angles are not constant, {len(angles)} were given")
        gates = (replace(gate, angle=next(values)) if gate.is_parametric else gate for gate in self.gates)
        return Circuit(self.n_wires, tuple(gates), self.observables)

    def specs(self) -> dict[str, int | dict[str, int]]:
        """Return the circuit's size: counts of wires, inputs, parameters, observables, gates and moments.

        Parameters are weights and scales; gates are counted in total, by name and on two wires; `depth` counts moments.
        """
        return {
            "n_wires": self.n_wires,
            "n_inputs": self.n_inputs,
            "n_weights": self.n_weights,
            "n_scales": self.n_scales,
            "n_observables": self.n_observables,
            "n_gates": len(self.gates),
            "n_two_wire_gates": sum(len(gate.wires) == 2 for gate in self.gates),
            "depth": len(self.moments),
            "gates": dict(Counter(gate.name for gate in self.gates)),
        }

    @overload
    def draw(self, output: Literal["text"] = "text", *, width: int | None = None) -> str: ...

    @overload
    def draw(self, output: Literal["mpl"]) -> "Figure": ...

    def draw(self, output: str = "text", *, width: int | None = None) -> "str | Figure":
        """Draw the circuit.

        Args:
            output: "text": a string with one line per wire, one column per moment, and the observables below. "mpl": a
                Matplotlib figure with boxes on wires, weights as w, inputs as x, their scales as s; a circuit longer
                than a line is folded at its repeating layers.
            width: longest line of a text [characters]; a longer circuit is continued below. By default there is none.

        Raises:
            UsageError: another output, or a figure with a width.
        """
        if output == "text":
            return draw_circuit(self.n_wires, self.moments, self.observables, width)
        if output == "mpl":
            if width is not None:
                raise UsageError("draw: width is of a text; a figure is folded instead")
            from qrl.circuits.figure import circuit_figure  # Matplotlib takes a while to import

            return circuit_figure({"": self})
        raise UsageError(f"draw: unknown output {output!r}{suggest(str(output), ('text', 'mpl'))}")


def _check_members(name: str, members: object, kind: type) -> None:
    """Raise UsageError unless `members` is a tuple of this kind."""
    if not (isinstance(members, tuple) and all(isinstance(member, kind) for member in members)):
        raise UsageError(f"circuit: {name} must be a tuple of {kind.__name__}s, not {members!r}")
