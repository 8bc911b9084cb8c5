"""`run.py select` on synthetic files, and selectors restricted to few algorithms."""

import io
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents import rl2
from agents.cli.main import main
from agents.select import command as select_command
from envs.automl import algorithms


def rows(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers, text and gaps; three classes, which the first two columns nearly determine."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, n_rows, p=[0.6, 0.3, 0.1])
    size = rng.normal(size=n_rows) + 1.5 * classes
    size[::9] = np.nan
    colour = np.where(rng.random(n_rows) < 0.7, np.array(["red", "green", "blue"])[classes], "grey").astype(object)
    colour[::7] = None
    frame = {"id": np.arange(n_rows) + 1, "size": size.round(3), "colour": colour, "noise": rng.normal(size=n_rows)}
    label = np.array(["small", "middle", "large"])[classes]
    return pd.DataFrame({**frame, "nothing": None, "fixed": 3, "name": [f"n{i}" for i in range(n_rows)], "y": label})


def run_select(*arguments: object) -> int:
    return main(["select", *map(str, arguments)])


def run_script(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a script here as in a process of its own, without the seconds that a process takes to import pandas."""
    code, out, errors = 0, io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", [script, *arguments])
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess([script, *arguments], code, out.getvalue(), errors.getvalue())


def proposing_only(*names: str):
    """A policy that proposes only these algorithms."""
    return with_excluded([index for index, name in enumerate(algorithms.ALGORITHMS) if name not in names])


def with_excluded(which: list[int]):
    """A policy that treats these algorithms as already evaluated."""
    mode, where = rl2.RL2.act_deterministically, select_command.selector_of(None).distribution.invalid_action_slice

    def act(self, state, observation):
        observation = observation.clone()
        observation[..., where][..., which] = 1.0
        return mode(self, state, observation)

    return act


def write(text: str | bytes, name: str = "x.csv") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
