"""A sample of `benchmarks.damaged_runs`, loaded in this process, and its verdicts."""

import shutil
import warnings

import pytest

from agents.experiment.api import load
from benchmarks.damaged_runs import verdict
from benchmarks.fault_injection import children, folders, runs
from qrl.common.errors import UsageError


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    run = runs.small_run(tmp_path_factory.mktemp("runs") / "original", model="mlp").path
    (run / "evaluation.json").write_text('{"mean": [1.5, 2.5], "iteration": 2}')
    return run


def test_damaged_runs_are_loaded_or_refused_in_one_line(original, tmp_path):
    kinds, refused, warned = set(), [], 0
    for index in range(30):
        kind, damage, rng = folders.draw_damage(index, seed=0)
        run = tmp_path / f"run{index}"
        shutil.copytree(original, run)
        damage(rng, run, original)
        kinds.add(kind)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                load(run)
            except UsageError as error:
                refused.append(str(error))
        warned += bool(caught)
    assert kinds == folders.DAMAGES.keys() and warned > 3
    assert len(refused) > 3 and not any("\n" in message for message in refused)


def test_verdicts():
    def ended(code, errors="", **outcome):
        return children.Finished(code, errors, outcome)

    whole, older = ended(0, e="1", p="1"), ended(0, e="0", p="0")
    error, warning = "run.py: error: x", "warning: y"
    for expected, kind, case in (
        ("recognised", "cut", ended(2, error)),
        ("recognised", "cut", ended(1, f"{warning}\niteration 3/3\n{error}")),
        ("traceback", "cut", ended(2, f"{error}\nmore")),
        ("traceback", "cut", ended(70, "Traceback ...")),
        ("traceback", "cut", ended(-11)),
        ("memory", "cut", ended(70, "Traceback ...\nMemoryError")),
        ("hang", "cut", ended(None)),
        ("harmless", "cut", whole),
        ("silent", "cut", older),
        ("older", "cut", ended(0, warning, e="0", p="0")),
        ("silent", "cut", ended(0, warning, e="2", p="1")),
        ("told", "cut", ended(0, warning, e="1", p="1", **{"a.png": "3"})),
        ("another run", "results", ended(0, e="2", p="1")),
    ):
        assert verdict(kind, case, whole, older) == expected
