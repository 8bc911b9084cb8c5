"""Random circuits over the whole gate set, for tests and benchmarks."""

import random

from qrl.circuits.angles import TRANSFORMS, Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable, PauliWord


def random_circuit(seed: int, max_wires: int = 7, max_gates: int = 25) -> Circuit:
    """Sample a circuit from every kind of gate, angle, transform and observable."""
    rng = random.Random(seed)
    n_wires = rng.randint(1, max_wires)
    names = [name for name, kind in GATES.items() if kind.n_wires <= n_wires]

    def angle() -> Weight | Input | float:
        scale = rng.choice([None, *range(4)])
        return rng.choice(
            [Weight(rng.randrange(6)), Input(rng.randrange(3), scale, rng.choice(TRANSFORMS)), rng.uniform(-3, 3)]
        )

    def gate() -> Gate:
        name = rng.choice(names)
        wires = tuple(rng.sample(range(n_wires), GATES[name].n_wires))
        return Gate(name, wires, angle() if GATES[name].rotation else None)

    def word() -> PauliWord:
        wires = sorted(rng.sample(range(n_wires), rng.randint(1, n_wires)))
        return PauliWord(tuple((wire, rng.choice("XYZ")) for wire in wires), rng.uniform(-1, 1))

    gates = tuple(gate() for _ in range(rng.randint(1, max_gates)))
    observables = tuple(Observable(tuple(word() for _ in range(rng.randint(1, 3)))) for _ in range(rng.randint(1, 3)))
    return Circuit(n_wires, gates, observables)
