"""Circuits of a run, from its model. Code outside this library is executed only if it is trusted."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from agents.core.agent import NetworkAgent
from agents.core.context import build
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import names_in, spec_of
from qrl.backends.backend import CircuitModule
from qrl.circuits.circuit import Circuit
from qrl.common.trust import Trust
from qrl.policies.summary import StackedCircuits


@dataclass(frozen=True)
class UsedCircuit:
    """Circuit of a policy, and how many equal ones the policy has."""

    circuit: Circuit
    count: int


def circuits_of(run: Path, trust: Trust) -> tuple[UsedCircuit, ...]:
    """Return the distinct circuits of a run's policy.

    Raises:
        UsageError: the run cannot be built here: it names code that is not trusted, or an object given in Python.
    """
    folder = RunFolder.open(run)
    with names_in(folder, trust):
        _, agent = build(spec_of(folder, None, trust))
    counts: Counter[Circuit] = Counter()
    modules = agent.policy.modules() if isinstance(agent, NetworkAgent) else ()
    for module in modules:
        if isinstance(module, CircuitModule):
            counts[module.circuit] += module.n_circuits if isinstance(module, StackedCircuits) else 1
    return tuple(UsedCircuit(circuit, count) for circuit, count in counts.items())
