"""Run folders with given returns, as training and evaluation write them."""

import json
from pathlib import Path

import numpy as np

from agents.compare.api import compare
from agents.compare.result import Section
from agents.experiment.evaluation import Curve
from agents.runs.checkpoints import encode_state
from agents.runs.folder import RunFolder
from agents.runs.seal import identity

STAIRS = [[s, s + 2.0] for s in range(5)]
"""Returns [seed][task]: mean 3, sorted 0 1 2 2 3 3 4 4 5 6."""
HIGHER = [[a + 1, b + 1] for a, b in STAIRS]
CIRCUITS = [{"count": 2, "n_wires": 4, "depth": 7}]
POLICY = {"n_parameters": 30, "groups": {"angles": 30}, "circuits": CIRCUITS, "n_projected": 0, "engine": "torch"}
VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}


def curve_of(per_task, **changes) -> Curve:
    """Curve of returns [task][x]."""
    table = np.array(per_task, dtype=float)
    n_tasks, n_x = table.shape
    mean = table.mean(0).tolist()
    worst = np.sort(table, axis=0)[: max(1, n_tasks // 10)].mean(0).tolist()
    x = {"x": list(range(n_x)), "episodes": [10 * i for i in range(n_x)], "env_steps": [100.0 * i for i in range(n_x)]}
    about = {"env": "navigation", "agent": "maml", "model": "mlp", "split": "test", "seed": 0, "iteration": 3}
    ends = {"ci_low": [each - 1 for each in mean], "ci_high": [each + 1 for each in mean]}
    values = {"mean": mean, "iqm": mean, "worst_decile": worst, "per_task": table.tolist(), "n_tasks": n_tasks}
    return Curve(**{"axis": "gradient_steps", **about, **x, **ends, **values, **changes})


def saved_run(
    path: Path,
    seed: int,
    per_task,
    *,
    returns=(1.0, 2.0, 3.0),
    options=None,
    config=None,
    model_options=None,
    seconds=4.0,
    without_options=False,
    **changes,
) -> Path:
    """Write a run folder: metrics with a row of these returns every 100 steps, the last checkpoint's JSON, a curve.

    `options` are those of the agent, `config` further keys of config.json or its spec; `changes` are of the curve.
    """
    curve = curve_of(per_task, **changes)
    config = dict(config or {})
    spec = {"env": curve.env, "agent": curve.agent, "model": curve.model, "seed": seed, **config.pop("spec", {})}
    if not without_options:
        spec |= {"agent_config": {"inner_steps": 1, **(options or {})}, "model_config": model_options or {}}
    command = ["run.py", "train", "--seed", str(seed), "--out", str(path)]
    written = {"origins": {}, "command": command, "commit": "c0ffee", "versions": VERSIONS, "engine": "fused"}
    folder = RunFolder.create(path, {"spec": spec, **written, **config})
    (path / "evaluation.json").write_text(json.dumps(curve.to_json()))
    for iteration, value in enumerate(returns, start=1):
        row = {"iteration": iteration, "env_steps": 100 * iteration, "return_by_step": [0.0, value]}
        folder.metrics.append(row)
    if returns:
        last = path / "checkpoint" / f"{len(returns):08d}"
        last.mkdir(parents=True)
        meta = {"env_steps": 100 * len(returns), "seconds": seconds}
        (last / "state.json").write_bytes(encode_state(len(returns), "", identity(folder.config), meta))
    return path


def saved_group(folder: Path, name: str, scores, **changes) -> list[Path]:
    """Write a run for each seed of scores [seed][task], which are 0 before adaptation."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        saved_run(folder / f"{name}-seed{seed}", seed, [[0.0, score] for score in row], **changes)
        for seed, row in enumerate(scores)
    ]


def section_of(*arguments, **options) -> Section:
    """Return the only section of a comparison."""
    (section,) = compare(*arguments, **options).sections
    return section
