"""`run.py select`: printed output, best.json, and a script that reproduces the result."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.select_command import run_script, run_select


@pytest.mark.usefixtures("quick")
def test_select_prints_results_and_writes_its_files(file, capsys):
    assert run_select(file, "--target", "y", "--evaluations", "2", "--no-compare") == 0
    printed = capsys.readouterr()
    assert "120 rows, 3 input columns (2 numeric, 1 text), 3 classes of 'y'" in printed.out
    assert "excluded: id: counts the rows" in printed.out and "excluded: nothing: empty" in printed.out
    assert "excluded: name: text that hardly ever repeats" in printed.out and "excluded: fixed: constant" in printed.out
    assert "evaluation 1/2: " in printed.err and "evaluation 2/2: " in printed.err
    assert {each.name for each in Path("select-data").iterdir()} == {"best.json", "best.py"}
    about = json.loads(Path("select-data/best.json").read_text())
    best = about["best"]
    assert best == about["ranking"][0] and best["accuracy"] == max(each["accuracy"] for each in about["ranking"])
    assert best["accuracy"] == pytest.approx(np.mean(best["accuracy_by_fold"]), abs=1e-12)
    assert about["data"]["numbers"] == ["size", "noise"] and about["data"]["text"] == ["colour"]
    assert len(about["selector"]["sha256"]) == 64 and about["packages"]["scikit-learn"]
    # The script does not import this library.
    command = [sys.executable, "-I", "select-data/best.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=file.parent)
    assert done.returncode == 0, done.stderr
    assert f"accuracy in 5-fold cross-validation: {best['accuracy']:.6f}" in done.stdout
    assert "fitted on 120 rows" in done.stdout
    Path("other.csv").write_text("a,b\n1,2\n")
    bad = {
        "nowhere.csv": "No such file",
        "other.csv": "missing column 'y', the target",
        "select-data/best.json": "tokenizing",
    }
    for given, message in bad.items():
        done = run_script("select-data/best.py", given)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert run_select(file, "--target", "y") == 2
    assert "select-data already exists; choose another --out, or --overwrite to replace" in capsys.readouterr().err
