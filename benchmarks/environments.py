"""Environments are no bottleneck: native families against Gymnasium's loop, and what wrapping an environment costs.

    python -m benchmarks.environments [--quick] [--threads N]      results/environments.json

Environment steps a second of 256 environments under random actions that are drawn beforehand, finished ones reset
before the next step; all of a row take turns in one process, and a ratio is the median over rounds. Native: a family in
torch over Gymnasium's `SyncVectorEnv` of the environment that it equals at the nominal task (at least 10). Wrapped: a
pool of `GymnasiumTasks` over the same `SyncVectorEnv` (at least 1 / 1.15), both without the time limit being reached.

Also the conformance suite, `envs.check`, over every family: seconds of each, which should be below 60 in all.
"""

import importlib.util
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from benchmarks.shared.common import medians, set_up, table, write_result
from benchmarks.shared.main import TimingOptions, run_main
from envs import GymnasiumTasks, TorchTasks, Uniform
from envs.core.registry import ENVS

LANES = 256
STEPS = 100
ORIGINALS = {
    "cartpole": "CartPole-v1",
    "pendulum": "Pendulum-v1",
    "acrobot": "Acrobot-v1",
    "mountain_car": "MountainCar-v0",
    "mountain_car_continuous": "MountainCarContinuous-v0",
    "frozen_lake": "FrozenLake-v1",
}
"""What the native families are equal to at their nominal tasks."""
WRAPPED = {
    "CartPole-v1": "length",
    "Pendulum-v1": "l",
    "Acrobot-v1": "LINK_LENGTH_1",
    "MountainCar-v0": "gravity",
    "LunarLander-v3": "gravity",
    "HalfCheetah-v5": "forward_reward_weight",
}
"""A parameter of each id that is wrapped."""
NATIVE_TARGET, WRAPPED_TARGET = 10.0, 1 / 1.15


def main(options: TimingOptions) -> None:
    """Measure."""
    set_up(options.threads)
    hush_mujoco()
    rounds, steps = (2, 5) if options.quick else (15, STEPS)
    native = [compare(name, native_stepper(name, steps), id, steps, rounds) for name, id in ORIGINALS.items()]
    wrapped = [compare(f"wrapped {id}", pool_stepper(id, steps), id, steps, rounds) for id in WRAPPED]
    for row, least in [*((row, NATIVE_TARGET) for row in native), *((row, WRAPPED_TARGET) for row in wrapped)]:
        row |= {"at least": least, "met": row["ratio"] >= least}
    checks = [checked(name) for name, summary in ENVS.available().items() if summary.usable]
    print(table([*native, *wrapped]))
    print(table(checks))
    seconds = sum(row["seconds"] for row in checks)
    print(f"conformance suite over every family: {seconds:.1f} s")
    write_result(
        "environments", {"steps": [*native, *wrapped], "checks": checks, "seconds": seconds}, quick=options.quick
    )


def hush_mujoco() -> None:
    """Keep MuJoCo, if it is there, from a warning about Gymnasium's model for each environment, and from a log file."""
    if importlib.util.find_spec("mujoco"):
        import mujoco

        mujoco.set_mju_user_warning(lambda text: None)


def compare(name: str, ours: Callable[[], int], id: str, steps: int, rounds: int) -> dict[str, Any]:
    """A row: steps a second of ours, of Gymnasium's loop over `id`, and their ratio."""
    both = {"ours": ours, "theirs": loop_stepper(id, steps)}
    rates = [{which: LANES * steps / s for which, s in medians(both, 1).items()} for _ in range(rounds)]
    # A ratio of each round: the machine's speed changes from one to the next.
    return {
        "what": name,
        "over": id,
        "steps/s": median(each["ours"] for each in rates),
        "its steps/s": median(each["theirs"] for each in rates),
        "ratio": median(each["ours"] / each["theirs"] for each in rates),
    }


def native_stepper(name: str, steps: int) -> Callable[[], int]:
    """Steps of a native family."""
    family = envs.make(name)
    assert isinstance(family, TorchTasks)
    return stepper(family.vectorise(1, LANES), steps, torch.from_numpy)


def pool_stepper(id: str, steps: int) -> Callable[[], int]:
    """Steps of a wrapped environment, on its nominal task."""
    nominal = number_of(id, WRAPPED[id])
    low, high = sorted((0.99 * nominal, 1.01 * nominal))
    family = GymnasiumTasks(id, {WRAPPED[id]: Uniform(low, high)})
    return stepper(family.vectorise(1, LANES), steps, torch.from_numpy)


def number_of(id: str, name: str) -> float:
    """The value of a parameter unless told."""
    env = gym.make(id, disable_env_checker=True)
    inner: Any = env.unwrapped
    value = getattr(inner, name, None)
    env.close()
    return float(1.0 if value is None else value)


def loop_stepper(id: str, steps: int) -> Callable[[], int]:
    """Steps of Gymnasium's own loop over its own environments."""
    made = [lambda: gym.make(id, disable_env_checker=True)] * LANES
    return stepper(SyncVectorEnv(made, autoreset_mode=AutoresetMode.DISABLED), steps, lambda array: array)


def stepper(env: Any, steps: int, convert: Callable[[np.ndarray], Any]) -> Callable[[], int]:
    """A function that steps all lanes so many times; returns how many resets that took."""
    env.action_space.seed(0)
    actions = [convert(env.action_space.sample()) for _ in range(steps)]
    env.reset(seed=0)

    def run() -> int:
        resets = 0
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            ended = terminated | truncated
            if ended.any():
                env.reset(options={"reset_mask": ended})
                resets += 1
        return resets

    return run


def checked(name: str) -> dict[str, Any]:
    """A row: how long the checks of a family take; they raise if one fails."""
    start = time.perf_counter()
    passed = envs.check(envs.make(name))
    return {"family": name, "checks passed": len(passed), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
