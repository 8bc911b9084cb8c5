"""Layers and policies under `torch.compile` and `torch.export`: whole graphs, for batches of any size."""

import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).with_name("torch_compile_checks.py")


def test_layers_and_policies_are_compiled_and_exported():
    """In a process without the tests' run-time type checks, which `torch.compile` cannot look into."""
    options = ("-q", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run([sys.executable, "-m", "pytest", *options, str(CHECKS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
