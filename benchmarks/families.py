"""Families of tasks are learned: adaptation curves beside random actions, and quantum policies beside their controls.

    python -m benchmarks.families --jobs 2                    every family, learner and seed
    python -m benchmarks.families --envs pqc_labels           a part; --quick for a look

Every run is an ordinary one (results/runs/family-ENV-AGENT-MODEL-SEED, what `run.py train` leaves) in a process of its
own with one thread; started again, finished runs are taken as they are and others resumed. results/families.json holds
each seed's adaptation curve on 100 test tasks (each once, where there are fewer), the same ones for all, and what
random actions earn there; means over seeds with 95 % t-intervals, gains by adaptation, and differences of the first
learner of an agent, the quantum one, from its controls with the same seed. docs/families.png is drawn from it. All
options but those in FAMILIES are defaults; nothing was tuned on test tasks.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agents.core.spec import Spec
from benchmarks.shared.common import RUNS, default_spec, table
from benchmarks.shared.runs import Job, check_part, outcome, publish, side_by_side, train_all
from benchmarks.shared.statistics import differences, interval, median_of, over_seeds, t_interval
from envs.core.registry import ENVS
from qrl.models import MODELS

MADE_BY = "benchmarks.families"


@dataclass(frozen=True)
class Learner:
    """An agent and a model, with what differs from their defaults."""

    agent: str
    model: str
    iterations: int = 60
    options: dict[str, Any] = field(default_factory=dict)
    """Of the agent."""
    model_options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its row."""
        return f"{self.agent} {self.model}"

    def spec(self, env: str, seed: int, quick: bool) -> Spec:
        """The run's configuration; a classical model of MAML is matched in parameters."""
        configs: dict[str, Any] = {"env_config": ENVS.load(env).Config(**FAMILIES[env].options)}
        if self.agent == "rl2":
            spec = Spec.default(env=env, agent="rl2", model=self.model, seed=seed, threads=1, **configs)
        else:
            if self.model_options:
                configs["model_config"] = MODELS.load(self.model).Config(**self.model_options)
            spec = default_spec(env, self.model, agent=self.agent, seed=seed, **configs)
        spec = replace(spec, iterations=self.iterations, agent_config=replace(spec.agent_config, **self.options))
        if quick:
            known = {"meta_batch": 8, "episodes": 3}
            changes = {name: value for name, value in known.items() if hasattr(spec.agent_config, name)}
            spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=2)
            spec = replace(spec, agent_config=replace(spec.agent_config, **changes))
        return spec


@dataclass(frozen=True)
class Family:
    """Who learns it. The learners of an agent are compared with its first."""

    learners: tuple[Learner, ...]
    seeds: int = 3
    options: dict[str, Any] = field(default_factory=dict)
    """Of the environment."""


RANDOM = Learner("random", "reuploading")
MAML = tuple(Learner("maml", model) for model in ("reuploading", "mlp", "fourier"))
MEMORY = (Learner("rl2", "qgru", 60), Learner("rl2", "gru", 60))
CHEETAH = {"meta_batch": 20, "episodes": 10}
FAMILIES = {
    "gridworld": Family((MAML[0], MAML[1], *MEMORY)),
    # Sixteen cells, one-hot, are as many inputs as four layers of four wires have room for.
    "frozen_lake": Family(
        (
            Learner("maml", "reuploading", model_options={"n_layers": 4}),
            Learner("maml", "mlp", model_options={"budget": 89}),
            *MEMORY,
        )
    ),
    "acrobot": Family(MAML[:2]),
    # Random actions never reach the goal: without a reward for energy all policies earn the same.
    "mountain_car": Family(MAML[:2], options={"shaping": 100.0}),
    "pqc_labels": Family((*MAML, *MEMORY), seeds=5),
    "half_cheetah_direction": Family(
        (
            Learner("maml", "reuploading", 100, CHEETAH, {"n_wires": 6, "n_layers": 6}),
            Learner("maml", "mlp", 100, CHEETAH, {"budget": 198}),
        )
    ),
}


def main(
    envs: tuple[str, ...] = tuple(FAMILIES),
    seeds: int = max(family.seeds for family in FAMILIES.values()),
    jobs: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> None:
    """Train, evaluate and report.

    Args:
        envs: families of tasks.
        seeds: at most so many seeds of each.
        jobs: runs side by side [processes].
        overwrite: train again what is there already.
        quick: two iterations each, evaluated on four tasks.

    A family measured whole takes its place in the result, beside what is there of others; what is not, goes to
    results/runs.
    """
    check_part(MADE_BY, "family", envs, FAMILIES)
    if seeds < 1 or jobs < 1 or not envs:
        sys.exit("benchmarks.families: families, seeds and jobs must be at least 1")
    results = {}
    with side_by_side(MADE_BY, jobs) as pool:
        for env in envs:
            planned = list(runs_of(env, seeds, quick))
            train_all(pool, planned, overwrite)
            results[env] = summary(planned)
            print(f"\n{env}\n" + table([shown(name, row) for name, row in results[env]["learners"].items()]))
            print(f"learned by at least one: {results[env]['learned']}")
    draft = quick or seeds < max(FAMILIES[env].seeds for env in envs)
    publish("families", results, FAMILIES, draw, draft=draft)


def runs_of(env: str, seeds: int, quick: bool) -> Iterator[Job]:
    """All runs of a family; a seed of every learner before the next."""
    family = FAMILIES[env]
    for seed, learner in itertools.product(range(min(seeds, family.seeds)), (*family.learners, RANDOM)):
        name = f"{'quick-' if quick else ''}family-{env}-{learner.name.replace(' ', '-')}-{seed}"
        yield Job(env, learner.name, seed, learner.spec(env, seed, quick), RUNS / name, MADE_BY)


# --- the result ------------------------------------------------------------------------------------------------------


def summary(jobs: list[Job]) -> dict[str, Any]:
    """Every learner of one family: its seeds, and over seeds."""
    rows = {name: [outcome(job)[2] for job in jobs if job.control == name] for name in {job.control: 0 for job in jobs}}
    random = rows.pop(RANDOM.name)
    learners = {name: row_of(seeds, random, rows[first_of(name, rows)]) for name, seeds in rows.items()}
    learned = [name for name, row in learners.items() if is_learned(row)]
    return {"random": {"seeds": random, "over_seeds": over_seeds(random)}, "learners": learners, "learned": learned}


def first_of(name: str, rows: dict[str, Any]) -> str:
    """The first learner with the same agent."""
    return next(each for each in rows if each.split()[0] == name.split()[0])


def row_of(
    seeds: list[dict[str, Any]], random: list[dict[str, Any]], reference: list[dict[str, Any]]
) -> dict[str, Any]:
    """A learner over its seeds, beside random actions and beside the first learner of its agent."""
    last = [seed["evaluation"]["mean"][-1] for seed in seeds]
    first = [seed["evaluation"]["mean"][0] for seed in seeds]
    chance = [seed["evaluation"]["mean"][0] for seed in random]
    return {
        "seeds": seeds,
        "over_seeds": over_seeds(seeds),
        "gain": t_interval([b - a for a, b in zip(first, last, strict=True)]),
        "over_random": t_interval([b - a for a, b in zip(chance, last, strict=True)]),
        "minus_reference": differences(seeds, reference),
    }


def is_learned(row: dict[str, Any]) -> bool:
    """Whether what was adapted earns more than random actions do, beyond doubt of the seeds."""
    return row["over_random"]["low"] is not None and row["over_random"]["low"] > 0


def shown(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A learner as a line of the table."""
    seeds = row["seeds"]
    return {
        "learner": name,
        "parameters": seeds[0]["n_policy_parameters"],
        "seconds": median_of(seeds, "training_seconds"),
        "env steps": int(median_of(seeds, "env_steps")),
        "at first": interval(row["over_seeds"][0], 2),
        "at last": interval(row["over_seeds"][-1], 2),
        "gain": interval(row["gain"], 2),
        "over random": interval(row["over_random"], 2),
        "minus the first's": interval(row["minus_reference"][-1], 2),
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """One panel a family and kind of agent: mean over seeds with t-intervals, against updates or episodes."""
    panels = [
        (env, agent) for env, each in results.items() for agent in {name.split()[0]: 0 for name in each["learners"]}
    ]
    columns = min(4, len(panels))
    n_rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * n_rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(n_rows, columns, squeeze=False).flatten()
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    for axes, (env, agent) in zip(places, panels, strict=False):
        rows = {name: row for name, row in results[env]["learners"].items() if name.split()[0] == agent}
        for index, (name, row) in enumerate(rows.items()):
            curve = row["seeds"][0]["evaluation"]
            low, mean, high = (
                [each["mean"] if each[key] is None else each[key] for each in row["over_seeds"]]
                for key in ("low", "mean", "high")
            )
            axes.plot(curve["x"], mean, color=f"C{index}", marker="o", markersize=3, label=name.split()[1])
            axes.fill_between(curve["x"], low, high, color=f"C{index}", alpha=0.25, linewidth=0)
            axes.set_xlabel(curve["axis"].replace("_", " "), fontsize=8)
            axes.set_xticks(curve["x"])
        axes.axhline(results[env]["random"]["over_seeds"][0]["mean"], color="0.5", linestyle=":", label="random")
        axes.set_title(f"{env}, {agent}", fontsize="medium")
        axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    tyro.cli(main)
