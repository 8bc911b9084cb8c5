"""Environments with registers of qubits: what does not fit is refused in one line, before anything is written."""

import pytest

from tests.support.command_line import refused

QUANTUM = ["--env", "quantum_memory"]
READS_NUMBERS = (
    "it reads numbers, but the observations are registers of qubits, whose amplitudes no agent can read; use a model "
    "that acts on registers, such as coherent"
)
NO_REGISTERS = (
    "model: it acts on registers of qubits, which this environment does not hand over; use a model that reads numbers, "
    "or --env quantum_memory"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--model gru", f"model 'gru': {READS_NUMBERS}"),
        ("--model mlp", f"model 'mlp': {READS_NUMBERS}"),
        ("--model qgru", f"model 'qgru': {READS_NUMBERS}"),
        ("--agent maml --model reuploading", f"model 'reuploading': {READS_NUMBERS}"),
        ("--agent sb3_ppo --model coherent", "policy: observations are registers of qubits, whose amplitudes no agent"),
        ("--agent oracle", "agent oracle: supports only bandit, tabular_mdp, lookup tasks, not 'quantum_memory'"),
        ("--model coherant", "unknown model 'coherant'; did you mean 'coherent'?"),
    ],
)
def test_models_and_agents_that_read_numbers(capsys, arguments, message):
    assert refused(capsys, [*QUANTUM, *arguments.split()]).startswith(message)


@pytest.mark.parametrize("arguments", ["--env cartpole", "--env cartpole --agent rl2", "--env bandit"])
@pytest.mark.parametrize("model", ["coherent", "measured_gru"])
def test_models_on_registers_elsewhere(capsys, arguments, model):
    assert refused(capsys, [*arguments.split(), "--model", model]) == NO_REGISTERS


def test_budget_of_a_model_on_registers_elsewhere(capsys):
    arguments = "--env navigation --agent rl2 --model gru --model.budget like:coherent"
    assert refused(capsys, arguments.split()) == f"budget 'like:coherent': {NO_REGISTERS}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--env.n-qubits 0", "quantum_memory: n_qubits must be at least 1, not 0"),
        ("--env.n-qubits 9", "quantum_memory: n_qubits must be at most 3, not 9"),
        ("--env.mode purity --env.copies 1", "quantum_memory: copies must be at least 2, not 1"),
        (
            "--env.frame rz",
            "quantum_memory: frame rz needs mode symmetry with n_qubits 1, not mode match with n_qubits 1",
        ),
        ("--model.memory dephased --model.dephasing 1.5", "model: dephasing must be in [0, 1], not 1.5"),
        ("--model.memory dephased --model.dephasing -0.1", "model: dephasing must be in [0, 1], not -0.1"),
        ("--model.dephasing 0.5", "model: dephasing applies to memory dephased only, not to memory coherent"),
        (
            "--model.measured-wires 3",
            "model 'coherent': measured_wires: the memory has no wire 3; it has wires 0 to 0",
        ),
        (
            "--model.n-memory 2 --model.measured-wires 1 1",
            "model 'coherent': measured_wires: a wire is given twice: (1, 1)",
        ),
        (
            "--model.memory measured --model.measured-wires 0",
            "model: measured_wires has no effect with memory measured, which measures all wires",
        ),
        ("--model.n-memory 20", "model: n_memory must be at most 10, not 20"),
        (
            "--env.n-qubits 3 --model.n-memory 8",
            "model 'coherent': n_memory must be at most 7 with registers of 3 qubits, not 8, since",
        ),
        ("--model.n-layers 0", "model: n_layers must be at least 1, not 0"),
        (
            "--model.memory coherentt",
            "--model.memory: expected one of 'coherent', 'measured', 'dephased', found 'coherentt'; did you mean",
        ),
        (
            "--agent maml --model coherent --model.n-hidden 4",
            "model 'coherent': n_hidden needs an agent that adapts in context, such as rl2; for other agents it must "
            "be 0",
        ),
        (
            "--agent maml --model measured_gru",
            "model 'measured_gru': its memory needs an agent that adapts in context, such as rl2",
        ),
        (
            "--model measured_gru --model.measurement fixed --model.n-layers 2",
            "model: n_layers and initial_angle apply to measurement learned only, not to fixed",
        ),
        (
            "--model measured_gru --model.budget like:gruu",
            "model 'measured_gru': budget 'like:gruu': unknown model 'gruu'; did you mean 'gru'",
        ),
        (
            "--policy.readout-gain 2",
            "policy: options of read-out, head and normalisation have no effect on registers of qubits",
        ),
        (
            "--agent.readout bilinear",
            "readout bilinear has no effect on a policy that acts on registers of qubits; leave it out",
        ),
        (
            "--agent.memories shared",
            "memories shared has no effect on a policy that acts on registers of qubits; leave it out",
        ),
        (
            "--agent.previous-observation",
            "previous_observation has no effect on a policy that acts on registers of qubits; leave it out",
        ),
    ],
)
def test_options_that_do_not_fit(capsys, arguments, message):
    assert refused(capsys, [*QUANTUM, *arguments.split()]).startswith(message)


@pytest.mark.parametrize("option", ["--shots 100", "--backend pennylane:default.qubit", "--noise depolarizing=0.01"])
def test_backends_of_circuits_on_numbers(capsys, option):
    assert refused(capsys, [*QUANTUM, *option.split()])
