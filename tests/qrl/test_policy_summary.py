"""The summary of a policy against counts by hand."""

import gymnasium
import torch

from qrl.backends.backend import Backend
from qrl.models import MODELS
from qrl.policies.policy import make_policy
from qrl.policies.recurrent import make_recurrent_policy
from qrl.policies.summary import CircuitSummary, PolicySummary

BOX, DISCRETE = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(3)


def summary_of(model, observations=BOX, backend=None, **options):
    policy = make_policy(model, MODELS.load(model).Config(**options), observations, BOX)
    return PolicySummary.of(policy, backend or Backend())


def test_circuit_and_perceptron():
    # 4 wires, 3 + 1 variational layers of two angles minus the RZ without effect on the initial state; 3 encoding
    # layers of two scales on each wire; a read-out of 4 expectation values to 2 means with biases, 2 deviations.
    circuit = summary_of("reuploading")
    assert circuit.groups == {"angles": 28, "scales": 24, "heads": 12} and circuit.n_parameters == 64
    assert circuit.circuits == (CircuitSummary(1, 4, 25),)
    assert str(circuit) == "64 parameters (28 angles, 24 scales, 12 heads); 4 wires, depth 25; torch, exact"
    assert str(summary_of("mlp", hidden=(3,))) == "19 parameters"


def test_projection_and_backend_are_named():
    wide = gymnasium.spaces.Box(-1, 1, (20,))
    projected = summary_of("reuploading", wide, Backend("pennylane:lightning.qubit", shots=100))
    assert (projected.n_projected, projected.n_projection_weights) == (20, 4 * 20)
    assert str(projected).endswith(
        "; 20 inputs projected to those of the circuit by a trainable matrix of 80 parameters; "
        "pennylane:lightning.qubit, 100 shots"
    )


def test_circuits_of_recurrent_cells_are_counted():
    policy = make_recurrent_policy("qgru", MODELS.load("qgru").Config(), BOX, DISCRETE, trial_steps=5)
    summary = PolicySummary.of(policy, Backend())
    assert summary.n_parameters == sum(p.numel() for p in policy.parameters())
    (circuits,) = summary.circuits
    assert circuits.count % 2 == 0 and circuits.n_wires == 4  # those of the actor's and of the critic's gates
    assert torch.tensor(list(summary.groups.values())).sum() == summary.n_parameters
