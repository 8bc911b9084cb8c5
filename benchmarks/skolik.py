"""Reproduction of Skolik et al. 2022: deep Q-learning with a quantum circuit on CartPole-v0's task with SB3's DQN.

    python -m benchmarks.skolik --jobs 2         ten seeds, until solved or 5000 episodes, an hour; --quick to try it

Solved means a mean return of at least 195 over 100 episodes, including exploration; an episode has at most 200 steps.
Franz et al. 2022 solve it in 29 of 30 runs. The circuit, its read-out (62 parameters in total), learning rates, batch
size, replay buffer and exploration, which decays by a factor per episode, are the published ones; updates every 10
steps, target updates every 30 and Adam with amsgrad follow the TensorFlow Quantum tutorial of the paper. Observations
are not rescaled. The control is a perceptron with about as many parameters in place of the circuit; its hidden weights
have the learning rate of the angles.

When the benchmark is restarted, finished seeds (results/runs/skolik-MODEL-SEED.json) are reused. Results:
results/skolik.json, docs/skolik.png.
"""

import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from agents.runs.provenance import provenance
from benchmarks.shared.common import RUNS, set_up, table
from benchmarks.shared.curves import draw, overview
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import check_names, publish
from qrl.common.files import from_json, to_json, write_atomically

N_SEEDS = 10
N_EPISODES = 5000
WINDOW = 100
GOAL = 195.0
HORIZON = 200
AT_LEAST = 8
POLICIES: dict[str, dict[str, Any]] = {
    "skolik": {"model": "skolik", "readout": "scaled"},
    "mlp": {"model": "mlp", "hidden": (5, 5)},
}
LEARNING: dict[str, Any] = {
    "learning_rate": 0.001,
    "batch_size": 16,
    "gamma": 0.99,
    "buffer_size": 10_000,
    "learning_starts": 16,
    "train_freq": 10,
    "target_update_interval": 30,
}
READOUT_LEARNING_RATE = 0.1
"""Learning rate of the read-out."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    first_seed: int = 0
    """First seed; unless it is 0, the result goes to results/runs."""

    models: tuple[str, ...] = tuple(POLICIES)
    """Names of the models: the circuit and the control."""


def main(options: Options) -> None:
    """Train every model from every seed."""
    check_names("skolik", "model", options.models, POLICIES)
    set_up(threads=1)
    measured = {}
    RUNS.mkdir(parents=True, exist_ok=True)
    # Runs of Stable-Baselines3 have no run folders, so that they are no study.
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for model in options.models:
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            arguments = (itertools.repeat(each) for each in (model, options.overwrite, options.quick))
            rows = list(pool.map(run, seeds, *arguments))
            measured[model] = {
                "table": overview(rows, at_least=AT_LEAST),
                "seeds": rows,
                "options": LEARNING | {"lr_heads": READOUT_LEARNING_RATE},
            }
    print(table([{"model": model, **row["table"]} for model, row in measured.items()]))
    publish(
        "skolik", measured, POLICIES, _draw, draft=options.quick or options.first_seed != 0 or options.seeds < N_SEEDS
    )


def run(seed: int, model: str, overwrite: bool, quick: bool) -> dict[str, Any]:
    """Train a seed, or reuse its saved result."""
    set_up(threads=1)
    path = RUNS / f"skolik-{model}-{seed}{'-quick' if quick else ''}.json"
    if path.exists() and not overwrite:
        row: dict[str, Any] = from_json(path)
        return row
    row = train(seed, model, 20 if quick else N_EPISODES)
    write_atomically(path, (to_json(row) + "\n").encode())
    return row


def train(seed: int, model: str, n_episodes: int) -> dict[str, Any]:
    """Train until the task is solved; return the row of the seed."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.monitor import Monitor

    from qrl.sb3 import ExplorationByEpisode, QuantumQPolicy

    env = Monitor(gymnasium.make("CartPole-v1", max_episode_steps=HORIZON))
    options = {**POLICIES[model], "lr_heads": READOUT_LEARNING_RATE, "optimizer_kwargs": {"amsgrad": True}}
    learner = DQN(QuantumQPolicy, env, policy_kwargs=options, seed=seed, device="cpu", **LEARNING)

    class UntilSolved(BaseCallback):
        def _on_step(self) -> bool:
            return not solved(env.get_episode_rewards()) and len(env.get_episode_rewards()) < n_episodes

    started = time.perf_counter()
    learner.learn(n_episodes * HORIZON, callback=[ExplorationByEpisode(), UntilSolved()])
    returns = env.get_episode_rewards()
    return {
        "seed": seed,
        "episodes": len(returns) if solved(returns) else None,
        "returns": returns,
        "n_parameters": sum(parameter.numel() for parameter in learner.q_net.parameters()),
        "env_steps": learner.num_timesteps,
        "training_seconds": time.perf_counter() - started,
        **{key: value for key, value in provenance([]).items() if key in ("versions", "commit", "started")},
    }


def solved(returns: list[float]) -> bool:
    """Return whether the mean return of the last 100 episodes reaches the goal."""
    return len(returns) >= WINDOW and float(np.mean(returns[-WINDOW:])) >= GOAL


def _draw(results: dict[str, Any], path: Path) -> None:
    """Plot means over 100 episodes at every tenth episode."""
    curves = {model: [_means(row["returns"]) for row in part["seeds"]] for model, part in results.items()}
    draw(curves, path, episodes_per_point=10, goal=GOAL, title="CartPole-v0's task, DQN")


def _means(returns: list[float]) -> list[float]:
    """Return the mean of up to 100 last episodes after 10, 20, ... episodes and at the end."""
    ends = [*range(10, len(returns), 10), len(returns)]
    return [float(np.mean(returns[max(0, end - WINDOW) : end])) for end in ends]


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
