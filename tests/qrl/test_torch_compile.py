"""Layers and policies under `torch.compile` and `torch.export`: whole graphs, for batches of any size."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("torch_compile_checks.py")


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_layers_and_policies_are_compiled_and_exported(marked):
    """In a process without the tests' run-time type checks, which `torch.compile` cannot look into."""
    options = ("-q", "-m", marked, "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run([sys.executable, "-m", "pytest", *options, str(CHECKS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
