"""Quantum policies and every control through the same code: who adapts, how well, at what price.

    python -m benchmarks.controls --jobs 2                       everything: three families of tasks, as many seeds as
                                                                 SEEDS has
    python -m benchmarks.controls --envs navigation --seeds 1    a part; --quick for a look

Every run is an ordinary one (results/runs/ENV-CONTROL-SEED, what `run.py train` leaves) in a process of its own with
one thread; started again, finished runs are taken as they are and others resumed. results/controls.json holds each
seed's adaptation curve on 100 test tasks, the same ones for all, with 40 episodes an update; means over seeds with 95 %
t-intervals; and differences from the re-uploading circuit with the same seed on the same tasks. docs/controls.png is
drawn from it.

All learners have the defaults. Those were chosen on train tasks of navigation with the re-uploading circuit; what a
network's size and kind change most, the size of an outer step, follows the KL divergence for each by itself
(`target_kl`). `scratch` has nothing learned: its step size is the best of STEP_SIZES on train tasks.
"""

import contextlib
import itertools
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from agents._api import Run, load, run_resume, run_training
from agents._config import Spec, load_plugin
from agents._evaluate import Curve, adaptation_curve, paired_gain
from agents._files import from_json
from agents._inner import STEP_PREFIX
from agents._run import RunFolder
from agents._setting import build
from benchmarks._common import RUNS, default_spec, set_up, table, write_result
from qrl.errors import UsageError

SEEDS = {"navigation": 5, "cartpole_target": 5, "cartpole": 3}
"""Seeds 0, 1, ... of each family of tasks."""
REFERENCE = "maml reuploading"
STEP_SIZES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""What `scratch` chooses from, by the return after three updates in train tasks."""
TUNING_SEED = 1000
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "controls.png"
TARGETS = {"navigation": {1: -11.7, 3: -6.0}, "cartpole_target": {}, "cartpole": {}}
"""Least mean return after x updates of the best quantum policy of at most 100 parameters."""


@dataclass(frozen=True)
class Control:
    """An agent and a model, with what differs from their defaults."""

    agent: str
    model: str = "reuploading"
    options: dict[str, Any] = field(default_factory=dict)
    quantum: bool = False

    def spec(self, env: str, seed: int, step_size: float | None, quick: bool) -> Spec:
        """The run's configuration; a classical model without options is matched in parameters."""
        options = {"model_config": load_plugin("model", self.model).Config(**self.options)} if self.options else {}
        spec = default_spec(env, self.model, agent=self.agent, seed=seed, **options)
        changes: dict[str, Any] = {} if step_size is None else {"inner_step_size": step_size}
        if quick:
            spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
            known = {"meta_batch": 2, "episodes": 4}
            changes |= {name: value for name, value in known.items() if hasattr(spec.agent_config, name)}
        return replace(spec, agent_config=replace(spec.agent_config, **changes))


CONTROLS = {
    REFERENCE: Control("maml", quantum=True),
    "maml unentangled": Control("maml", "unentangled", quantum=True),
    "maml strongly_entangling": Control("maml", "strongly_entangling", quantum=True),
    "maml fourier": Control("maml", "fourier"),
    "maml mlp": Control("maml", "mlp"),
    "maml mlp 100x100": Control("maml", "mlp", {"hidden": (100, 100)}),
    "finetune reuploading": Control("finetune", quantum=True),
    "finetune mlp": Control("finetune", "mlp"),
    "scratch reuploading": Control("scratch", quantum=True),
    "scratch mlp": Control("scratch", "mlp"),
    "random": Control("random"),
}


@dataclass(frozen=True)
class Job:
    """One run."""

    env: str
    control: str
    seed: int
    spec: Spec
    folder: Path


def main(
    envs: tuple[str, ...] = tuple(SEEDS),
    controls: tuple[str, ...] = tuple(CONTROLS),
    seeds: int = max(SEEDS.values()),
    jobs: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> None:
    """Train, evaluate and report every control from every seed.

    Args:
        envs: families of tasks.
        controls: which of them, by name; the reference is always among them.
        seeds: at most so many seeds of each.
        jobs: runs side by side [processes].
        overwrite: train again what is there already.
        quick: two iterations each, evaluated on four tasks; the result goes to results/runs.
    """
    for kind, names, known in (("control", controls, CONTROLS), ("family", envs, SEEDS)):
        for name in names:
            if name not in known:
                sys.exit(f"benchmarks.controls: there is no {kind} {name!r}; there are {', '.join(known)}")
    set_up(threads=1)
    RUNS.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in CONTROLS if name in {*controls, REFERENCE}]
    # Each run has a fresh process, as it would have by itself.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        try:
            sizes = step_sizes(pool, envs, chosen, quick)
            every = list(planned(envs, chosen, seeds, sizes, quick))
            for _ in pool.map(train, every, itertools.repeat(overwrite)):
                pass
        except UsageError as error:
            sys.exit(f"benchmarks.controls: {error}")
    results = {env: summary([job for job in every if job.env == env], sizes) for env in envs}
    for env, result in results.items():
        print(f"\n{env}")
        print(table([shown(name, row) for name, row in result["controls"].items()]))
        for key, value in result["targets"].items():
            print(f"{key}: {value}")
    write_result("controls", results, quick=quick)
    draw(results, RUNS / "quick-controls.png" if quick else PICTURE)


def planned(
    envs: tuple[str, ...], controls: list[str], seeds: int, sizes: dict[str, float], quick: bool
) -> Iterator[Job]:
    """All runs; a seed of everything before the next, so that a part of them is a comparison already."""
    every = ((env, seed, name) for env in envs for seed in range(min(seeds, SEEDS[env])) for name in controls)
    for env, seed, name in every:
        spec = CONTROLS[name].spec(env, seed, sizes.get(f"{env} {name}"), quick)
        folder = f"{'quick-' if quick else ''}{env}-{name.replace(' ', '-')}-{seed}"
        yield Job(env, name, seed, spec, RUNS / folder)


def step_sizes(pool: Executor, envs: tuple[str, ...], controls: list[str], quick: bool) -> dict[str, float]:
    """The step size of each control without learning, for each family."""
    cases = [(env, name) for env in envs for name in controls if CONTROLS[name].agent == "scratch"]
    found = pool.map(best_step_size, cases, itertools.repeat(quick))
    return {f"{env} {name}": size for (env, name), size in zip(cases, found, strict=True)}


def best_step_size(case: tuple[str, str], quick: bool) -> float:
    """That with the best mean return after three updates in 40 train tasks, over two initialisations."""
    set_up(threads=1)
    env, name = case

    def reached(size: float) -> float:
        curves = []
        for seed in (TUNING_SEED, TUNING_SEED + 1):
            distribution, agent = build(CONTROLS[name].spec(env, seed, size, quick))
            tasks = 4 if quick else 40
            curves.append(adaptation_curve(agent, distribution, n_tasks=tasks, split="train", seed=TUNING_SEED))
        return float(np.mean([curve.mean[-1] for curve in curves]))

    return max(STEP_SIZES, key=reached)


def train(job: Job, overwrite: bool) -> None:
    """One run, or what is left of it. Its progress is in the file beside its folder."""
    set_up(threads=1)
    folder, log = job.folder, job.folder.with_name(job.folder.name + ".log")
    with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        if overwrite or not folder.exists():
            code = run_training(job.spec, folder, overwrite=overwrite, command=["benchmarks.controls"])
        elif Spec.from_json(RunFolder.open(folder).config["spec"]) != job.spec:
            raise UsageError(f"{folder} is a run with other options; --overwrite trains it again")
        elif (folder / "evaluation.json").exists():
            return
        else:
            code = run_resume(folder)
    if code:
        raise RuntimeError(f"the run {folder} ended with code {code}; see {log}")


# --- the result ------------------------------------------------------------------------------------------------------


def summary(jobs: list[Job], sizes: dict[str, float]) -> dict[str, Any]:
    """Every control of one family: its seeds, and over seeds."""
    rows = {name: [report(job) for job in jobs if job.control == name] for name in {job.control: 0 for job in jobs}}
    env = jobs[0].env
    controls = {
        name: {
            "step_size": sizes.get(f"{env} {name}"),
            "seeds": seeds,
            "over_seeds": over_seeds(seeds),
            "worst_decile": over_seeds(seeds, "worst_decile"),
            "minus_reference": differences(seeds, rows[REFERENCE]),
        }
        for name, seeds in rows.items()
    }
    return {"reference": REFERENCE, "controls": controls, "targets": targets(env, controls)}


def report(job: Job) -> dict[str, Any]:
    """What one seed gave."""
    run = load(job.folder)
    curve = Curve(**from_json(job.folder / "evaluation.json"))
    rows = run.metrics()
    last = rows[-1] if rows else {"seconds": 0.0, "env_steps": 0}
    gains = {f"0 to {x}": dict(zip(("mean", "ci_low", "ci_high"), paired_gain(curve, x), strict=True)) for x in (1, 3)}
    return {
        "seed": job.seed,
        **sizes_of(run),
        "training_seconds": last["seconds"],
        "env_steps": last["env_steps"],
        "evaluation": {key: value for key, value in curve.to_json().items() if key != "per_task"},
        "gains": gains,
        "spec": run.spec.to_json(),
        "versions": run.folder.config["versions"],
        "commit": run.folder.config["commit"],
        "started": run.folder.config["started"],
    }


def sizes_of(run: Run) -> dict[str, int]:
    """Parameters of the policy, and learned step sizes."""
    params = getattr(run.agent, "params", {})
    policy = getattr(run.agent, "policy", None)
    return {
        "n_policy_parameters": 0 if policy is None else policy.n_parameters,
        "n_step_sizes": sum(value.numel() for name, value in params.items() if name.startswith(STEP_PREFIX)),
    }


def over_seeds(rows: list[dict[str, Any]], key: str = "mean") -> list[dict[str, Any]]:
    """Mean over seeds after each number of updates, with its 95 % t-interval."""
    return [t_interval([row["evaluation"][key][i] for row in rows]) for i in range(len(rows[0]["evaluation"]["x"]))]


def differences(rows: list[dict[str, Any]], reference: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over seeds of the difference from the reference with the same seed, on the same tasks."""
    pairs = list(zip(rows, reference, strict=True))
    steps = range(len(rows[0]["evaluation"]["x"]))
    return [t_interval([a["evaluation"]["mean"][i] - b["evaluation"]["mean"][i] for a, b in pairs]) for i in steps]


def t_interval(numbers: list[float]) -> dict[str, Any]:
    """Mean and 95 % interval of Student's t; none from a single number."""
    mean = float(np.mean(numbers))
    if len(numbers) < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(stats.sem(numbers) * stats.t.ppf(0.975, len(numbers) - 1))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def targets(env: str, controls: dict[str, Any]) -> dict[str, Any]:
    """For each target, the best quantum policy of at most 100 parameters."""
    small = {
        name: row
        for name, row in controls.items()
        if CONTROLS[name].quantum and row["seeds"][0]["n_policy_parameters"] <= 100
    }
    result = {}
    for x, least in TARGETS[env].items():
        best = max(small, key=lambda name: small[name]["over_seeds"][x]["mean"])
        reached = small[best]["over_seeds"][x]["mean"]
        result[f"after {x}"] = {"least": least, "best": best, "mean": reached, "pass": reached >= least}
    return result


def shown(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A control as a line of the table."""
    seeds = row["seeds"]
    after = {f"after {x}": interval(each) for x, each in enumerate(row["over_seeds"])}
    worst = {f"worst 10 % after {x}": round(row["worst_decile"][x]["mean"], 1) for x in (1, 3)}
    return {
        "control": name,
        "parameters": seeds[0]["n_policy_parameters"],
        "+ step sizes": seeds[0]["n_step_sizes"],
        "seconds": median_of(seeds, "training_seconds"),
        "env steps": int(median_of(seeds, "env_steps")),
        **after,
        **worst,
        "minus reference after 3": interval(row["minus_reference"][3]),
    }


def median_of(seeds: list[dict[str, Any]], key: str) -> float:
    """Median over seeds."""
    return float(np.median([seed[key] for seed in seeds]))


def interval(value: dict[str, Any]) -> str:
    """A mean and the half width of its interval."""
    return (
        f"{value['mean']:.1f}" if value["low"] is None else f"{value['mean']:.1f} ± {value['high'] - value['mean']:.1f}"
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """One panel a family, one row a control: mean after 0, 1 and 3 updates with t-intervals, and the worst decile."""
    most = max(len(result["controls"]) for result in results.values())
    figure = Figure(figsize=(11, len(results) * (0.9 + 0.34 * most)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (env, result) in zip(figure.subplots(len(results), 1, squeeze=False)[:, 0], results.items(), strict=True):
        names = list(result["controls"])
        for x, colour in ((0, "0.6"), (1, "C0"), (3, "C1")):
            for y, row in enumerate(result["controls"].values()):
                mean, worst = row["over_seeds"][x], row["worst_decile"][x]["mean"]
                error = 0.0 if mean["low"] is None else mean["high"] - mean["mean"]
                label = f"mean after {x} updates" if y == 0 else None
                axes.errorbar(mean["mean"], y, xerr=error, fmt="o", color=colour, markersize=5, capsize=3, label=label)
                axes.plot(worst, y, "|", color=colour, markersize=9)
        for y, row in enumerate(result["controls"].values()):
            seeds = row["seeds"]
            size = f"{seeds[0]['n_policy_parameters']} + {seeds[0]['n_step_sizes']}"
            cost = f"{median_of(seeds, 'training_seconds'):.0f} s, {median_of(seeds, 'env_steps') / 1e6:.1f} M steps"
            axes.text(1.01, y, f"{size}; {cost}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(env, fontsize="medium", loc="left")
        axes.text(1.01, 1.02, "parameters + step sizes; training", transform=axes.transAxes, fontsize=8)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(
            "return on test tasks: mean over seeds with 95 % t-interval; |: worst tenth of tasks", fontsize=8
        )
    figure.axes[0].legend(fontsize=8, loc="best", frameon=False)
    figure.savefig(path, metadata={"Software": None})
    print(f"wrote {path}")


if __name__ == "__main__":
    tyro.cli(main)
