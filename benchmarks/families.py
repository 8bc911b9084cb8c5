"""Learning families of tasks: adaptation curves against random actions, and quantum policies against their controls.

    python -m benchmarks.families --jobs 2                    every family, learner and seed
    python -m benchmarks.families --envs pqc_labels           a part; --quick to try it

Each run is a regular training run (results/runs/family-ENV-AGENT-MODEL-SEED, as written by `run.py train`) in its own
process with one thread; when the benchmark is restarted, finished runs are reused and interrupted runs are resumed.
results/families.json contains the adaptation curve of each seed on the same 100 test tasks (all of them where there are
fewer) and the return of random actions; means over seeds with 95 % t-intervals, gains by adaptation, and paired
differences of controls from the first learner of an agent, which is quantum. docs/families.png is drawn from it. All
options except those in FAMILIES have their defaults; nothing was tuned on test tasks.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.style import legend_below, line_style, reference_style, set_titles, whole_ticks
from benchmarks.shared.common import RUNS, default_spec, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, outcome, process_pool, publish, train_all
from benchmarks.shared.statistics import differences, interval, median_of, over_seeds, t_interval
from envs.core.registry import ENVS
from qrl.models import MODELS

BENCHMARK = "benchmarks.families"


@dataclass(frozen=True)
class Learner:
    """An agent and a model, with options that differ from their defaults."""

    agent: str
    model: str
    iterations: int = 60
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the agent."""
    model_options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its row."""
        return f"{self.agent} {self.model}"

    def spec(self, env: str, seed: int, quick: bool) -> Spec:
        """Return the spec of a run; a classical model of MAML is matched in parameters."""
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
    """Learners of a family of tasks. The learners of an agent are compared with its first."""

    learners: tuple[Learner, ...]
    seeds: int = 3
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the environment."""


RANDOM = Learner("random", "reuploading")
MAML = tuple(Learner("maml", model) for model in ("reuploading", "mlp", "fourier"))
MEMORY = (Learner("rl2", "qgru", 60), Learner("rl2", "gru", 60))
CHEETAH = {"meta_batch": 20, "episodes": 10}
FAMILIES = {
    "gridworld": Family((MAML[0], MAML[1], *MEMORY)),
    # Four layers of four wires encode the sixteen one-hot cells.
    "frozen_lake": Family(
        (
            Learner("maml", "reuploading", model_options={"n_layers": 4}),
            Learner("maml", "mlp", model_options={"budget": 89}),
            *MEMORY,
        )
    ),
    "acrobot": Family(MAML[:2]),
    # Random actions never reach the goal; without the energy shaping reward all policies have the same return.
    "mountain_car": Family(MAML[:2], options={"shaping": 100.0}),
    "pqc_labels": Family((*MAML, *MEMORY), seeds=5),
    "half_cheetah_direction": Family(
        (
            Learner("maml", "reuploading", 100, CHEETAH, {"n_wires": 6, "n_layers": 6}),
            Learner("maml", "mlp", 100, CHEETAH, {"budget": 198}),
        )
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = max(family.seeds for family in FAMILIES.values())
    """Maximum number of seeds of each family, 0, 1, ...; with fewer than in FAMILIES, results go to results/runs."""

    envs: tuple[str, ...] = tuple(FAMILIES)
    """Families of tasks."""


def main(options: Options) -> None:
    """Train, evaluate and report.

    Complete families replace their part of the committed result; incomplete ones go to results/runs.
    """
    check_names(BENCHMARK, "family", options.envs, FAMILIES)
    results = {}
    with process_pool(BENCHMARK, options.jobs) as pool:
        for env in options.envs:
            jobs = list(jobs_of(env, options.seeds, options.quick))
            train_all(pool, jobs, options.overwrite)
            results[env] = summary(jobs)
            print(f"\n{env}\n" + table([table_row(name, row) for name, row in results[env]["learners"].items()]))
            print(f"learned by at least one: {results[env]['learned']}")
    draft = options.quick or options.seeds < max(FAMILIES[env].seeds for env in options.envs)
    publish("families", results, FAMILIES, draw, draft=draft)


def jobs_of(env: str, seeds: int, quick: bool) -> Iterator[Job]:
    """Yield all runs of a family, seed by seed."""
    family = FAMILIES[env]
    for seed, learner in itertools.product(range(min(seeds, family.seeds)), (*family.learners, RANDOM)):
        name = f"{'quick-' if quick else ''}family-{env}-{learner.name.replace(' ', '-')}-{seed}"
        yield Job(env, learner.name, seed, learner.spec(env, seed, quick), RUNS / name, BENCHMARK)


# --- the result ------------------------------------------------------------------------------------------------------


def summary(jobs: list[Job]) -> dict[str, Any]:
    """Summarise the learners of a family: each seed, and statistics over seeds."""
    rows = {name: [outcome(job)[2] for job in jobs if job.control == name] for name in {job.control: 0 for job in jobs}}
    random = rows.pop(RANDOM.name)
    learners = {
        name: summarise_learner(seeds, random, rows[first_with_same_agent(name, rows)]) for name, seeds in rows.items()
    }
    learned = [name for name, row in learners.items() if is_learned(row)]
    return {"random": {"seeds": random, "over_seeds": over_seeds(random)}, "learners": learners, "learned": learned}


def first_with_same_agent(name: str, rows: dict[str, Any]) -> str:
    """Return the first learner with the same agent."""
    return next(each for each in rows if each.split()[0] == name.split()[0])


def summarise_learner(
    seeds: list[dict[str, Any]], random: list[dict[str, Any]], reference: list[dict[str, Any]]
) -> dict[str, Any]:
    """Summarise a learner over its seeds, with differences from random actions and the first learner of its agent."""
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
    """Return whether the adapted return exceeds that of random actions: the t-interval is above 0."""
    return row["over_random"]["low"] is not None and row["over_random"]["low"] > 0


def table_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a learner in the printed table."""
    seeds = row["seeds"]
    return {
        "learner": name,
        "parameters": seeds[0]["n_policy_parameters"],
        "seconds": median_of(seeds, "training_seconds"),
        "env steps": int(median_of(seeds, "env_steps")),
        "initial return": interval(row["over_seeds"][0], 2),
        "final return": interval(row["over_seeds"][-1], 2),
        "gain": interval(row["gain"], 2),
        "over random": interval(row["over_random"], 2),
        "minus first learner": interval(row["minus_reference"][-1], 2),
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot a panel per family and agent: mean over seeds with t-intervals against updates or episodes."""
    chosen = [
        (env, agent) for env, each in results.items() for agent in {name.split()[0]: 0 for name in each["learners"]}
    ]
    figure, panel_axes = grid(len(chosen), columns=3)
    for axes, (env, agent) in zip(panel_axes, chosen, strict=True):
        rows = {name: row for name, row in results[env]["learners"].items() if name.split()[0] == agent}
        for index, (name, row) in enumerate(rows.items()):
            curve = row["seeds"][0]["evaluation"]
            draw_means(axes, curve["x"], row["over_seeds"], name.split()[1], **line_style(index))
        updates = f"gradient steps of {curve['episodes'][1]} episodes each"
        axes.set_xlabel({"gradient_steps": updates, "episodes": "episode of a trial"}[curve["axis"]])
        axes.set_ylabel("return on test tasks")
        axes.axhline(results[env]["random"]["over_seeds"][0]["mean"], label="random", **reference_style("random"))
        whole_ticks(axes.xaxis)
        set_titles(axes, f"{env}, {agent}", f"mean and 95 % t-interval over {len(row['seeds'])} seeds")
        legend_below(axes, columns=4)
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
