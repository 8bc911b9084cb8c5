"""Circuits of a policy, for drawings and pages. Code outside this library is executed only if it is trusted."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from agents.core.agent import NetworkAgent
from agents.core.context import build
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import names_in, spec_of
from qrl.backends.backend import circuit_modules
from qrl.circuits.circuit import Circuit
from qrl.common.trust import Trust
from qrl.models.shared.register_cell import RegisterCell
from qrl.policies.summary import StackedCircuits


@dataclass(frozen=True)
class UsedCircuit:
    """Circuit of a policy, and how many equal ones the policy has."""

    circuit: Circuit
    count: int
    modules: tuple[str, ...] = field(default=(), compare=False)
    """Names of the policy's modules with this circuit, such as "actor" and "critic"."""


def circuits_in(policy: nn.Module) -> tuple[UsedCircuit, ...]:
    """Return the distinct circuits of a policy, in the order of its modules; none of a classical one.

    The circuit of a model on registers is that of one step, on the memory's wires and, after them, those of the
    register that arrives. Its observables are the wires that are measured in each step.
    """
    found: dict[Circuit, list[tuple[str, int]]] = {}
    for name, module in circuit_modules(policy).items():
        count = module.n_circuits if isinstance(module, StackedCircuits) else 1
        found.setdefault(module.circuit, []).append((name, count))
    for name, cell in policy.named_modules():
        if isinstance(cell, RegisterCell):
            whole, n_memory = cell.circuit.circuit(), cell.circuit.n_memory
            measured = (*cell.measured, *range(n_memory, whole.n_wires))
            step = replace(whole, observables=tuple(whole.observables[wire] for wire in measured))
            found.setdefault(step, []).append((name, 1))
    return tuple(
        UsedCircuit(circuit, sum(count for _, count in users), tuple(name for name, _ in users))
        for circuit, users in found.items()
    )


def circuits_of(run: Path, trust: Trust) -> tuple[UsedCircuit, ...]:
    """Return the distinct circuits of a run's policy.

    Raises:
        UsageError: the run cannot be built here: it names code that is not trusted, or an object given in Python.
    """
    folder = RunFolder.open(run)
    with names_in(folder, trust):
        return circuits_for(spec_of(folder, None, trust))


def circuits_for(spec: Spec) -> tuple[UsedCircuit, ...]:
    """Return the distinct circuits of the policy that a spec describes. Raises UsageError as `build` does.

    No circuit runs on the spec's device or backend, which this machine may lack, or which may cost money.
    """
    objects = {role: thing for role, thing in spec.objects.items() if role != "backend"}
    _, agent = build(replace(spec, device="cpu", backend="torch", shots=0, noise=(), objects=objects))
    return circuits_in(agent.policy) if isinstance(agent, NetworkAgent) else ()
