"""Python interface to agents: train, load, evaluate, plot."""

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
    """Train and evaluate an agent, write the run folder `out` as `run.py train` does, and return the run.

    The options are the fields of a `Spec`: `env`, `agent` and `model` by name, `iterations`, `seed`, ..., and the
    plug-ins' options as `env_config`, `agent_config`, `model_config` (their `Config`) and `policy`. Raises UsageError
    for invalid options, and KeyboardInterrupt after a signal, once a checkpoint is saved.
    """
    spec = Spec.default(**options)
    code = run_training(spec, Path(out), overwrite=overwrite, command=[], quiet=not progress)
    if code:
        raise KeyboardInterrupt
    return load(out)


def load(path: Path | str) -> Run:
    """Load a run from its folder.

    Warn about damaged checkpoints that are newer than the loaded one, and about plug-in files that changed since
    training. Raises UsageError if `path` is not a run folder or has no usable checkpoint.
    """
    run = Run(RunFolder.open(Path(path)))
    for text in (*(f"{problem}; an older checkpoint is used" for problem in run.problems), *run.changes):
        warnings.warn(text, stacklevel=2)
    return run


def evaluate(run: Run | Path | str, **options: Any) -> Curve:
    """Evaluate a run, or the run in a folder, by `Run.evaluate`."""
    return (run if isinstance(run, Run) else load(run)).evaluate(**options)
