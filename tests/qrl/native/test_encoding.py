"""Circuits as arrays of the kernel, and what the kernel refuses."""

import warnings

import jaxtyping
import pytest
import torch

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.models.reuploading import Config, circuit
from qrl.noise.model import Noise
from qrl.simulator.native.encoding import EncodedCircuit, Output
from qrl.simulator.native.executor import NativeExecutor
from qrl.simulator.native.library import Unusable
from qrl.simulator.program import compile_circuit

Z = (Observable.of("Z0"),)


def n_gates(*gates: Gate, n_wires: int = 3) -> int:
    return EncodedCircuit(Circuit(n_wires, gates, Z), gates, Output.VALUES).n_gates


def test_rotations_about_one_word_in_sequence_are_one():
    turns = [Gate("RZ", (0,), angle) for angle in (Weight(0), Input(0, 0), 0.3)]
    assert n_gates(*turns) == 1
    assert n_gates(turns[0], Gate("RX", (1,), 0.1), turns[1]) == 2  # another wire does not matter
    assert n_gates(turns[0], Gate("RX", (0,), 0.1), turns[1]) == 3
    assert n_gates(turns[0], Gate("RZ", (1,), 0.1)) == 2
    assert n_gates(Gate("RZZ", (0, 1), 0.1), Gate("RZZ", (1, 0), 0.2)) == 1
    assert n_gates(Gate("CRX", (0, 1), 0.1), Gate("CRX", (1, 0), 0.2)) == 2
    assert n_gates(Gate("H", (0,)), Gate("H", (0,))) == 2


def test_a_ring_of_cz_is_one_gate():
    ring = [Gate("CZ", (w, (w + 1) % 3)) for w in range(3)]
    assert n_gates(*ring) == 1
    assert n_gates(*ring, Gate("RX", (0,), 0.1), *ring) == 3


def test_reuploading_circuit_has_one_gate_less_per_wire_and_layer():
    """RZ of an input and RZ of a weight follow each other."""
    config = Config(n_wires=4, n_layers=5)
    whole = circuit(config, 4)
    encoded = EncodedCircuit(whole, whole.gates, Output.VALUES)
    # Weights: RY, then five times RZ RY; inputs: five times RY RZ; the joined ones; five rings.
    assert encoded.n_gates == (4 + 5 * 8) + 5 * 8 - 5 * 4 + 5


def test_density_matrices_and_other_devices_run_on_the_fused_executor():
    gates = (Gate("RX", (0,), Weight(0)), Gate("CZ", (0, 1)))
    like = torch.zeros(1)
    noisy = compile_circuit(Circuit(2, gates, Z), Noise(bit_flip=0.1), engine="native")
    assert not isinstance(noisy._engines.like(like), NativeExecutor)
    readout = compile_circuit(Circuit(2, gates, Z), Noise(readout=0.1), engine="native")
    assert isinstance(readout._engines.like(like), NativeExecutor)
    assert not isinstance(readout._engines.like(like.to("meta")), NativeExecutor)


@pytest.mark.parametrize("wrong", ["inputs", "weights"])
def test_one_precision_for_all(wrong):
    program = compile_circuit(Circuit(1, (Gate("RX", (0,), Weight(0)), Gate("RY", (0,), Input(0))), Z), engine="native")
    dtypes = {name: torch.float64 if name == wrong else torch.float32 for name in ("weights", "inputs")}
    bound = program.bind(torch.ones(1, dtype=dtypes["weights"]), torch.ones(0))
    with pytest.raises(UsageError, match="one dtype and device, not torch"):
        program.run(bound, torch.ones(2, 1, dtype=dtypes["inputs"]))


@pytest.mark.parametrize("engine", ["native", "fused"])
def test_initial_states_of_the_wrong_shape_are_refused(engine):
    program = compile_circuit(Circuit(2, (Gate("RY", (0,), Input(0)),), Z), engine=engine)
    bound, inputs = program.bind(torch.ones(0), torch.ones(0)), torch.ones(3, 1)
    for shape, dtype in (((3, 2), torch.complex64), ((3, 4), torch.complex128)):
        with pytest.raises(UsageError, match=r"initial states of 3 samples must have shape \[..., 3, 4\]"):
            program.run(bound, inputs, initial=torch.ones(shape, dtype=dtype))
    noisy = compile_circuit(program.circuit, Noise(bit_flip=0.1), engine=engine)
    with pytest.raises(UsageError, match="noise channels do not have"):
        noisy.run(noisy.bind(torch.ones(0), torch.ones(0)), inputs, initial=torch.ones(3, 4, dtype=torch.complex64))
    with pytest.raises(UsageError, match="no amplitudes"):
        noisy.amplitudes(noisy.bind(torch.ones(0), torch.ones(0)), inputs)


@pytest.mark.parametrize("engine", ["native", "fused"])
@pytest.mark.parametrize("short", ["weights", "scales", "inputs"])
def test_too_few_numbers_are_refused(engine, short):
    gates = (Gate("RY", (0,), Input(1, 1)), Gate("RX", (0,), Weight(1)))
    program = compile_circuit(Circuit(1, gates, Z), engine=engine)
    sizes = {name: 1 if name == short else 2 for name in ("weights", "scales", "inputs")}

    def run():
        bound = program.bind(torch.ones(sizes["weights"]), torch.ones(sizes["scales"]))
        return program.run(bound, torch.ones(3, sizes["inputs"]))

    with pytest.raises(UsageError, match=f"expected 2 {short}, found 1"):
        run()
    # More than the circuit uses are ignored.
    bound = program.bind(torch.ones(3), torch.ones(4))
    wide = program.run(bound, torch.ones(3, 5))
    assert torch.equal(wide, program.run(program.bind(torch.ones(2), torch.ones(2)), torch.ones(3, 2)))


@pytest.mark.parametrize("name", ["X", "H"])
def test_a_gate_without_an_angle_begins_no_run_of_rotations(name):
    """The derivatives of a run come from one pass over the rotations of a wire, and only of those."""
    turns = (Gate("RY", (0,), Weight(0)), Gate("RZ", (0,), Weight(1)), Gate("RX", (0,), Weight(2)))
    gates = (Gate(name, (0,)), turns[0], Gate(name, (0,)), *turns[1:], Gate("CZ", (0, 1)), *turns)
    circuit = Circuit(2, gates, (Observable.of("X0 Y1"), Observable.of("Z0")))
    weights = torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64, requires_grad=True)
    none, inputs = torch.zeros(0, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)
    gradients = []
    for engine in ("native", "fused"):
        program = compile_circuit(circuit, engine=engine)
        gradients.append(torch.autograd.grad(program.run(program.bind(weights, none), inputs).sum(), weights)[0])
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_unknown_engines_are_refused():
    with pytest.raises(UsageError, match=r"unknown engine 'natvie'; did you mean 'native'\?"):
        compile_circuit(Circuit(1, (Gate("H", (0,)),), Z), engine="natvie")


def test_an_engine_that_does_not_run_is_refused(monkeypatch):
    monkeypatch.setattr("qrl.simulator.engine.library", lambda: None)
    monkeypatch.setattr("qrl.simulator.engine.find", lambda: Unusable("not built"))
    with pytest.raises(UsageError, match="circuit: native kernel: not built"):
        compile_circuit(Circuit(1, (Gate("X", (0,)), Gate("H", (0,))), Z), engine="native")


def rotations() -> Circuit:
    gates = (Gate("RY", (0,), Input(0)), Gate("RX", (0,), Weight(0)), Gate("RZ", (0,), Input(0, 0)))
    return Circuit(1, gates, tuple(Observable.of(word) for word in ("X0", "Y0", "Z0")))


def test_bound_parameters_of_another_program_are_refused():
    small, large = (
        compile_circuit(c, engine="native") for c in (rotations(), Circuit(1, (Gate("RY", (0,), Weight(5000)),), Z))
    )
    with pytest.raises(UsageError, match=r"weights must have the shape \[\.\.\., 5001\]"):
        large.run(small.bind(torch.ones(1), torch.ones(1)), torch.ones(2, 1))
    fused = compile_circuit(rotations(), engine="fused")
    with pytest.raises(UsageError, match="not those of this program"):
        small.run(fused.bind(torch.ones(1), torch.ones(1)), torch.ones(2, 1))


@pytest.mark.parametrize("index", [2**31 - 1, 2**32 - 1, 2**40])
def test_indices_have_32_bits(index):
    for angle in (Weight(index), Input(index), Input(0, index)):
        with pytest.raises(UsageError, match="is larger than 2,147,483,646"):
            Gate("RX", (0,), angle)


def test_views_that_negate_or_conjugate_are_read_as_such():
    program = compile_circuit(rotations(), engine="native")
    bound = program.bind(torch.tensor([0.3]), torch.tensor([0.7]))
    numbers = torch.complex(torch.zeros(3, 1), torch.tensor([[0.2], [0.4], [0.9]]))
    negated = numbers.conj().imag
    assert negated.is_neg()
    assert torch.equal(program.run(bound, negated), program.run(bound, -numbers.imag))
    state = torch.tensor([[0.6, 0.8j]], dtype=torch.complex64).expand(3, 2)
    conjugate = program.run(bound, numbers.imag, initial=state.conj())
    assert torch.equal(conjugate, program.run(bound, numbers.imag, initial=state.conj().resolve_conj()))
    zeros = torch._efficientzerotensor(3, 1)
    assert torch.equal(program.run(bound, zeros), program.run(bound, torch.zeros(3, 1)))


def test_a_trace_records_the_fused_executor(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # sizes are tensors while tracing
    program = compile_circuit(rotations(), engine="native")
    weights, scales = torch.tensor([0.3]), torch.tensor([0.7])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns about the branches on shapes
        traced = torch.jit.trace(lambda x: program.run(program.bind(weights, scales), x), torch.ones(2, 1))
        others = torch.tensor([[0.2], [-1.3]])
        torch.testing.assert_close(traced(others), program.run(program.bind(weights, scales), others))


@pytest.mark.parametrize("engine", ["native", "fused"])
def test_unused_columns_are_ignored(engine):
    program = compile_circuit(rotations(), engine=engine)
    weights, scales = torch.tensor([[0.3, 9.0], [0.5, 9.0]]), torch.tensor([[0.7, 9.0, 9.0]]).expand(2, 3)
    inputs = torch.ones(2, 3, 1)
    together = program.run(program.bind(weights, scales), inputs)
    for k in range(2):
        alone = program.run(program.bind(weights[k, :1], scales[k, :1]), inputs[k])
        torch.testing.assert_close(together[k], alone)
