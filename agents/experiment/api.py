"""What one does with agents from Python: train, load, evaluate, plot."""

import warnings
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.evaluation import Curve
from agents.experiment.plot import plot
from agents.experiment.run import Run
from agents.experiment.start import run_training
from agents.runs.folder import RunFolder

__all__ = ["evaluate", "load", "plot", "train"]


def train(out: Path | str, *, overwrite: bool = False, progress: bool = True, **options: Any) -> Run:
    """Train, evaluate and leave a run folder at `out`, as `run.py train` does.

    `options` are those of a `Spec`: `env`, `agent` and `model` by name, `iterations`, `seed`, ..., and the plug-ins'
    own as `env_config`, `agent_config`, `model_config` (their `Config`) and `policy`. Raises UsageError for what cannot
    be used, KeyboardInterrupt after a signal, when all is saved.
    """
    spec = Spec.default(**options)
    code = run_training(spec, Path(out), overwrite=overwrite, command=[], quiet=not progress)
    if code:
        raise KeyboardInterrupt
    return load(out)


def load(path: Path | str) -> Run:
    """A run from its folder; warns if its newest checkpoint is damaged and an older one is taken.

    Raises UsageError if it is none or has no checkpoint that can be used.
    """
    run = Run(RunFolder.open(Path(path)))
    for text in (*(f"{problem}; an older checkpoint is used" for problem in run.problems), *run.changes):
        warnings.warn(text, stacklevel=2)
    return run


def evaluate(run: Run | Path | str, **options: Any) -> Curve:
    """`Run.evaluate` of a run or its folder."""
    return (run if isinstance(run, Run) else load(run)).evaluate(**options)
