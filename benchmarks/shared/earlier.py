"""Meta-iterations of an earlier version of this project, timed in turns with those of this one.

The earlier version runs in a process of its own, in a checkout of it such as `git worktree add FOLDER COMMIT` makes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys, time
from benchmarks import jerbi
from benchmarks.cost import CircuitConfig, Spec, Training, build, default_spec, set_up, start
set_up(1)
quick = json.loads(sys.argv[1])
sizes = {"meta_batch": 4, "episodes": 4} if quick else {}
specs = {
    "circuit 4 x 3": (default_spec("navigation", model_config=CircuitConfig(n_wires=4, n_layers=3)), sizes),
    "mlp, matched": (default_spec("navigation", "mlp"), sizes),
    **{m: (Spec.default(env="bandit", agent="rl2", model=m), {"meta_batch": 2000}) for m in ("qgru", "gru")},
}
trainings = {name: start(spec, 1, sizes) for name, (spec, sizes) in specs.items()}
trainings |= {name: Training(spec, *build(spec)) for name in ("jerbi", "mlp") for spec in [jerbi.spec(name, 0, False)]}
for line in sys.stdin:
    training = trainings[line.strip()]
    steps, begun = training.env_steps, time.process_time()
    training.step()
    print("took", json.dumps([time.process_time() - begun, training.env_steps - steps]), flush=True)
"""
NAMES = ("circuit 4 x 3", "mlp, matched", "qgru", "gru", "jerbi", "mlp")
"""Policies that the script can train."""


class EarlierVersion:
    """Process that trains policies of the version in `folder`, one iteration when asked."""

    def __init__(self, folder: Path, quick: bool) -> None:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True)
        self.name = commit.stdout.strip() or folder.name
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(quick)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self, policy: str) -> tuple[float, int]:
        """Take a meta-iteration with a policy; return its CPU time [s] and its environment steps."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(policy + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("took "):
                seconds, steps = json.loads(line.removeprefix("took "))
                return seconds, steps
        sys.exit(f"benchmarks.cost: the earlier version ended with exit code {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
