"""Bitwise regression test: short runs of every algorithm and family before and after a change.

    python -m benchmarks.pinned record                     # write benchmarks/results/pinned.json
    python -m benchmarks.pinned compare                    # repeat all runs and compare
    python -m benchmarks.pinned compare --only rl2         # runs whose names contain this
    python -m benchmarks.pinned compare --checkout OTHER   # test another checkout, such as a git worktree

Each run is one `run.py train` in its own process with one thread; the rows of metrics.jsonl and the complete
evaluation.json are compared, which contain no timings. Bits depend on the processor and on the versions of torch and
its BLAS: compare on the machine of the recording, or judge by the printed differences. This module does not import the
library, so that it can be copied into a checkout of any commit.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "pinned.json"

SMALL = "--agent.meta-batch 4 --agent.episodes 6"
NAVIGATION = f"--env navigation --env.horizon 20 {SMALL}"
TRIAL = "--agent.meta-batch 12 --eval-episodes 4"

RUNS: dict[str, str] = {
    # MAML: every estimator, both outer steps, options that change the computation.
    "maml-dice": f"{NAVIGATION} --agent.inner-steps 2",
    "maml-lvc": f"--env cartpole --env.horizon 40 {SMALL} --agent.estimator lvc",
    "maml-emaml": f"--env gridworld {SMALL} --agent.estimator emaml --model mlp",
    "maml-first-order": f"--env pendulum --env.horizon 30 {SMALL} --agent.estimator first-order"
    " --agent.baseline linear",
    "maml-trpo": f"{NAVIGATION} --agent.outer trpo",
    "maml-trpo-emaml": f"{NAVIGATION} --agent.outer trpo --agent.estimator emaml --agent.inner-steps 2",
    "maml-trpo-chunks": f"{NAVIGATION} --agent.outer trpo --agent.estimator lvc --agent.chunk-tasks 2",
    "maml-chunks": f"{NAVIGATION} --agent.chunk-tasks 3 --agent.dice-lambda 0.5 --agent.entropy-bonus 0.01",
    "maml-fixed-steps": f"{NAVIGATION} --agent.no-learn-step-sizes --agent.target-kl 0 --agent.epochs 2",
    "maml-running-statistics": f"{NAVIGATION} --policy.normalisation running",
    "maml-vary": f"--env CartPole-v1 --vary gravity=5:15 {SMALL}",
    "maml-shots": f"{NAVIGATION} --agent.estimator first-order --shots 50",
    "maml-noise": f"{NAVIGATION} --model.n-wires 2 --noise depolarizing=0.01",
    "maml-few-shot": "--env few_shot_classification --agent.meta-batch 6",
    "maml-strongly-entangling": f"{NAVIGATION} --model strongly_entangling",
    "maml-ising": f"--env mountain_car_continuous --env.horizon 30 {SMALL} --model ising",
    "maml-unentangled": f"--env acrobot --env.horizon 30 {SMALL} --model unentangled",
    "maml-fourier": f"--env mountain_car --env.horizon 30 {SMALL} --model fourier",
    "maml-frozen-lake": f"--env frozen_lake --env.horizon 30 {SMALL}",
    "maml-labels": f"--env pqc_labels {SMALL}",
    "maml-qubits": f"--env qubit_control {SMALL}",
    "maml-cartpole-target": f"--env cartpole_target --env.horizon 40 {SMALL}",
    # RL^2: quantum and classical memories, and the options of its inputs, read-outs and losses.
    "rl2-qgru": f"--env bandit --agent rl2 --model qgru {TRIAL} --agent.episodes 4",
    "rl2-gru": f"--env bandit --agent rl2 --model gru {TRIAL} --agent.episodes 4",
    "rl2-shots": f"--env bandit --agent rl2 --model qgru {TRIAL} --agent.episodes 3 --shots 20",
    "rl2-tabular": f"--env tabular_mdp --agent rl2 --model gru {TRIAL} --agent.episodes 2",
    "rl2-lstm": f"--env algorithm_selection --agent rl2 --model lstm {TRIAL} --agent.trials 4",
    "rl2-qlstm": f"--env navigation --env.horizon 6 --agent rl2 --model qlstm {TRIAL} --agent.episodes 2",
    "rl2-shared": f"--env bandit --agent rl2 --model gru_vqc {TRIAL} --agent.memories shared --agent.truncation 2",
    # The other learners.
    "reinforce": "--env cartpole --env.no-varies --agent reinforce --model jerbi --agent.episodes 4",
    "reinforce-batch": f"{NAVIGATION} --agent reinforce --agent.standardise-returns batch --model skolik"
    " --model.n-wires 2",
    "reptile": f"{NAVIGATION} --agent reptile",
    "finetune": f"{NAVIGATION} --agent finetune",
    "finetune-vary": f"--env CartPole-v1 --vary gravity=5:15 --agent finetune {SMALL}",
    "scratch": "--env navigation --env.horizon 20 --agent scratch --model mlp",
    "sb3-ppo": f"{NAVIGATION} --agent sb3_ppo --agent.n-epochs 2",
    "sb3-ppo-discrete": f"--env cartpole --env.horizon 40 --agent sb3_ppo {SMALL} --agent.n-epochs 2 --model mlp",
    # References.
    "random": "--env navigation --env.horizon 20 --agent random",
    "cross-entropy": "--env navigation --env.horizon 20 --agent cross_entropy",
    "grape": "--env qubit_control --agent grape",
    **{name: f"--env bandit --agent {name} --agent.episodes 6" for name in ("bayes", "gittins", "thompson", "ucb1")},
    "greedy": "--env bandit --agent greedy --agent.episodes 6",
    "psrl": "--env tabular_mdp --agent psrl --agent.episodes 3",
    "oracle": "--env tabular_mdp --agent oracle --agent.episodes 3",
    **{
        name.replace("_", "-"): f"--env algorithm_selection --agent {name}"
        for name in ("random_search", "best_single", "portfolio", "nearest_tasks", "gaussian_ucb")
    },
    "tpe": "--env hyperparameter_tuning --agent tpe",
}
"""Options of `run.py train`, by name."""

RENAMED = {"tries": "evaluations", "forgetful": "memory_reset", "unproved": "skip_sensitivity_check"}
"""Names in earlier recordings, and their current names."""

ADDED = {"policy", "step_timeout"}
"""Keys that are missing in earlier recordings."""

COMMON = "--seed 3 --iterations 3 --threads 1 --eval-tasks 6 --eval-steps 2 --eval-episodes 5"


def outcome(checkout: Path, options: str) -> dict[str, Any]:
    """Train in a separate process; return metrics and evaluation, or the error message of a failed run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "run.py", "train", *COMMON.split(), *options.split(), "--out", str(out)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1:]}
        rows = (
            [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            if (out / "metrics.jsonl").exists()
            else []
        )
        return {"metrics": rows, "evaluation": json.loads((out / "evaluation.json").read_text())}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a JSON value with its path."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}[{index}]")
    else:
        yield path, value


def difference(before: Any, after: Any) -> float:
    """Return the largest relative difference between two outcomes; infinite if anything but numbers differs."""
    old, new = dict(leaves(before)), dict(leaves(after))
    if old.keys() != new.keys():
        return math.inf
    return max((_relative(old[path], new[path]) for path in old), default=0.0)


def _relative(old: Any, new: Any) -> float:
    if old == new:
        return 0.0
    if not (isinstance(old, int | float) and isinstance(new, int | float)):
        return math.inf
    return abs(old - new) / max(abs(old), abs(new))


def measure(checkout: Path, only: str, jobs: int) -> dict[str, Any]:
    """Return the outcomes of all runs whose names contain `only`."""
    names = [name for name in RUNS if only in name]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda name: outcome(checkout, RUNS[name]), names)
        results = {}
        for name, result in zip(names, found, strict=True):
            print(f"{name}: {'FAILED ' + str(result['failed']) if 'failed' in result else 'done'}", file=sys.stderr)
            results[name] = result
    return results


def with_current_names(value: Any) -> Any:
    """Return a recorded outcome with current names, without keys that were added later."""
    if isinstance(value, dict):
        return {RENAMED.get(key, key): with_current_names(each) for key, each in value.items() if key not in ADDED}
    if isinstance(value, list):
        return [with_current_names(each) for each in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value


def compare(recorded: dict[str, Any], found: dict[str, Any]) -> int:
    """Print differences; return the number of runs that differ."""
    differing = 0
    for name, current in found.items():
        before, after = with_current_names(recorded[name]), with_current_names(current)
        if before == after:
            continue
        differing += 1
        if "failed" in after:
            print(f"{name}: failed: {after['failed']}")
            continue
        first = difference(before["metrics"][:1], after["metrics"][:1])
        print(f"{name}: differs by {first:.1e} after one iteration, {difference(before, after):.1e} at most (relative)")
    print(f"{len(found) - differing} of {len(found)} runs are bitwise identical")
    return differing


def main() -> int:
    """Record or compare all runs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="folder of run.py")
    parser.add_argument("--only", default="", help="only runs whose names contain this text")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes; does not affect results")
    options = parser.parse_args()
    found = measure(options.checkout.resolve(), options.only, options.jobs)
    if options.command == "compare":
        return min(1, compare(json.loads(RESULT.read_text())["results"], found))
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=options.checkout, capture_output=True, text=True, check=True
    )
    about = {"commit": commit.stdout.strip(), "processor": platform.processor(), "common": COMMON, "options": RUNS}
    RESULT.write_text(json.dumps(about | {"results": found}, indent=1) + "\n")
    failed = [name for name, result in found.items() if "failed" in result]
    print(f"wrote {RESULT}" + (f"; failed: {failed}" if failed else ""))
    return min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main())
