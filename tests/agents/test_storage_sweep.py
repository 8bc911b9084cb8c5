"""Success rate against noise of the stored memory: threshold, table, picture and command."""

import json

import numpy as np
import pytest

from agents.cli.main import main
from agents.experiment.api import load, train
from agents.experiment.robustness import backends
from agents.experiment.storage_sweep import StorageSweep, crossing, storage_figure
from envs.core.quantum_data import StoredDataFamily
from envs.quantum_memory import Config, QuantumMemory
from qrl.backends.backend import Backend
from qrl.noise.model import Noise
from tests.agents.legends import check_legend
from tests.support.quantum_data import Coins, certificate

SMALL = {"episodes": 1, "meta_batch": 20, "restarts": 1, "minibatches": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "coherent"
    train(folder, env="quantum_memory", iterations=1, agent_config=SMALL, eval_tasks=2, eval_episodes=5, progress=False)
    return folder


def pair_after_storage(state: np.ndarray, dim: int, p: float) -> np.ndarray:
    """State of two registers after the first was replaced by the maximally mixed state with probability p."""
    second = np.trace(state.reshape(dim, dim, dim, dim), axis1=0, axis2=2)
    return (1 - p) * state + p * np.kron(np.eye(dim) / dim, second)


@pytest.mark.parametrize("mode", ["symmetry", "match", "same", "purity"])
@pytest.mark.parametrize("n_qubits", [1, 2, 3])
def test_threshold_by_helstroms_eigenvalues(mode, n_qubits):
    family = QuantumMemory(Config(mode=mode, n_qubits=n_qubits))
    assert isinstance(family, StoredDataFamily)
    p = family.storage_threshold
    assert p == pytest.approx({1: 1 / 3, 2: 3 / 5, 3: 7 / 9}[n_qubits])
    for strength, expected in ((p, family.classical_ceiling.value), (0.0, family.quantum_optimum), (1.0, 0.5)):
        first, second = (pair_after_storage(state, 2**n_qubits, strength) for state in family.case_states())
        optimum = 0.5 + np.abs(np.linalg.eigvalsh(first - second)).sum() / 4
        assert optimum == pytest.approx(expected, abs=1e-12)


def test_no_threshold_is_predicted_for_more_registers():
    for config in (Config(mode="one_shot"), Config(mode="purity", copies=3)):
        assert QuantumMemory(config).storage_threshold is None


def test_crossing_by_hand():
    x = [0.0, 0.5, 1.0]
    assert crossing(x, [1.0, 0.8, 0.5], 0.7) == pytest.approx(0.5 + 0.5 / 3)
    assert crossing(x, [1.0, 0.7, 0.5], 0.7) == 0.5
    assert crossing(x, [0.7, 0.9, 0.5], 0.7) is None and crossing(x, [1.0, 0.9, 0.8], 0.7) is None


def test_sweep_by_hand():
    """Rates of 1, 0.8 and 0.5 against a ceiling of 5/6: the lines cross at 0.5 / 6 * 5 = 5/12."""
    numbers = [certificate(count, ceiling=5 / 6, optimum=1.0) for count in (20_000, 16_000, 10_000)]
    sweep = StorageSweep.of([0.0, 0.5, 1.0], numbers, QuantumMemory(Config(mode="symmetry")))
    assert sweep.rates == [1.0, 0.8, 0.5] and sweep.predicted == pytest.approx(1 / 3)
    assert sweep.crossing == pytest.approx(5 / 12)
    low = 0.5 * (sweep.low[0] - 5 / 6) / (sweep.low[0] - sweep.low[1])
    assert sweep.crossing_low == pytest.approx(low) and low < 5 / 12 < sweep.crossing_high
    assert sweep.threshold_text() == (
        f"ceiling of any classical memory, 0.8333: reached at 0.417, about 95 % in [{low:.3f}, "
        f"{sweep.crossing_high:.3f}]; predicted for the optimum: 0.333"
    )
    assert sweep.table().splitlines()[2].split()[:2] == ["0.5", "0.8000"]


def test_thresholds_that_are_not_reached_are_said_to_be_so():
    high, low = certificate(19_000), certificate(10_000)
    assert StorageSweep.of([0.0, 1.0], [high, high], Coins()).threshold_text().endswith("0.6667: not reached")
    assert StorageSweep.of([0.0, 1.0], [low, low], Coins()).threshold_text().endswith("0.6667: not exceeded")
    near = StorageSweep.of([0.0, 0.1], [high, certificate(13_300)], Coins())
    assert "beyond the sweep)" in near.threshold_text() and near.crossing_high is None


def test_picture(run):
    curve = load(run).evaluate(tasks=2, episodes=5)
    numbers = [certificate(count, ceiling=5 / 6, optimum=1.0) for count in (20_000, 10_000)]
    sweep = StorageSweep.of([0.0, 1.0], numbers, QuantumMemory(Config(mode="symmetry")))
    (axes,) = storage_figure(sweep, curve).axes
    check_legend(axes)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["rl2 with coherent"].get_ydata()) == [1.0, 0.5]
    assert set(lines["ceiling of any classical memory"].get_ydata()) == {5 / 6}
    assert lines["predicted threshold of the optimum, 0.333"].get_xdata() == pytest.approx([1 / 3] * 2)
    assert lines["measured threshold, 0.333"].get_xdata() == pytest.approx([1 / 3])


def test_defaults_depend_on_the_model():
    assert [row[:2] for row in backends(None, None, None, on_registers=True)] == [
        ("exact", 0.0), *(("storage", step / 10) for step in range(1, 11))
    ]  # fmt: skip
    rows = backends(None, None, None)
    assert {what for what, *_ in rows} == {"exact", "depolarizing", "shots"} and len(rows) == 11


def test_command_matches_single_evaluations(run, capsys):
    assert main(["robustness", str(run), "--strengths", "1", "0.5", "0", "--tasks", "4"]) == 0
    found = json.loads((run / "robustness.json").read_text())
    assert (run / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    assert found["storage"]["strengths"] == [0.0, 0.5, 1.0] and found["storage"]["predicted"] == pytest.approx(1 / 3)
    curve = load(run).evaluate(tasks=4, backend=Backend(noise=Noise(storage=0.5)))
    assert found["storage"]["rates"][1] == curve.certificate.total.rate
    assert found["storage"]["low"][1] == curve.certificate.total.low
    assert "ceiling of any classical memory, 0.6667: not exceeded" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--noise", "readout"], ["--shots", "10"]])
def test_other_sweeps_are_refused_before_the_first_evaluation(run, options, capsys):
    before = sorted(run.iterdir())
    assert main(["robustness", str(run), *options, "--out", str(run / "other.json")]) == 2
    assert "a model on registers of qubits takes no " in capsys.readouterr().err
    assert sorted(run.iterdir()) == before
