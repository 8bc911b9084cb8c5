"""Throughput of environments: native families against Gymnasium's loop, and the overhead of wrapping an environment.

    python -m benchmarks.environments [--quick] [--threads N]      results/environments.json

Environment steps per second of 256 environments under random actions drawn in advance; finished environments are reset
before the next step. Both sides of a comparison alternate in one process, and a ratio is the median over rounds.
Native: a family in torch over Gymnasium's `SyncVectorEnv` of the equivalent environment at the nominal task (at least
10). Wrapped: a pool of `GymnasiumTasks` over the same `SyncVectorEnv` (at least 1 / 1.15), both without reaching the
time limit.

Also the conformance suite, `envs.check`, of every family: seconds of each, at most 60 in total.
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

N_ENVS = 256
STEPS = 100
GYMNASIUM_IDS = {
    "cartpole": "CartPole-v1",
    "pendulum": "Pendulum-v1",
    "acrobot": "Acrobot-v1",
    "mountain_car": "MountainCar-v0",
    "mountain_car_continuous": "MountainCarContinuous-v0",
    "frozen_lake": "FrozenLake-v1",
}
"""Gymnasium environments that the native families equal at their nominal tasks."""
WRAPPED = {
    "CartPole-v1": "length",
    "Pendulum-v1": "l",
    "Acrobot-v1": "LINK_LENGTH_1",
    "MountainCar-v0": "gravity",
    "LunarLander-v3": "gravity",
    "HalfCheetah-v5": "forward_reward_weight",
}
"""Varied parameter of each wrapped id."""
NATIVE_TARGET, WRAPPED_TARGET = 10.0, 1 / 1.15


def main(options: TimingOptions) -> None:
    """Measure throughput and the duration of the conformance suite."""
    set_up(options.threads)
    silence_mujoco()
    rounds, steps = (2, 5) if options.quick else (15, STEPS)
    native = [compare(name, native_stepper(name, steps), id, steps, rounds) for name, id in GYMNASIUM_IDS.items()]
    wrapped = [compare(f"wrapped {id}", pool_stepper(id, steps), id, steps, rounds) for id in WRAPPED]
    for row, target in [*((row, NATIVE_TARGET) for row in native), *((row, WRAPPED_TARGET) for row in wrapped)]:
        row |= {"at least": target, "met": row["ratio"] >= target}
    checks = [time_checks(name) for name, summary in ENVS.available().items() if summary.usable]
    print(table([*native, *wrapped]))
    print(table(checks))
    seconds = sum(row["seconds"] for row in checks)
    print(f"conformance suite of every family: {seconds:.1f} s")
    write_result(
        "environments", {"steps": [*native, *wrapped], "checks": checks, "seconds": seconds}, quick=options.quick
    )


def silence_mujoco() -> None:
    """Suppress MuJoCo's warnings about Gymnasium's models, one per environment, and its log file, if installed."""
    if importlib.util.find_spec("mujoco"):
        import mujoco

        mujoco.set_mju_user_warning(lambda text: None)


def compare(name: str, ours: Callable[[], int], id: str, steps: int, rounds: int) -> dict[str, Any]:
    """Return a row: our steps per second, those of Gymnasium's loop over `id`, and their ratio."""
    both = {"ours": ours, "theirs": loop_stepper(id, steps)}
    rates = [{side: N_ENVS * steps / s for side, s in medians(both, 1).items()} for _ in range(rounds)]
    # One ratio per round, because the speed of the machine varies between rounds.
    return {
        "what": name,
        "over": id,
        "steps/s": median(each["ours"] for each in rates),
        "its steps/s": median(each["theirs"] for each in rates),
        "ratio": median(each["ours"] / each["theirs"] for each in rates),
    }


def native_stepper(name: str, steps: int) -> Callable[[], int]:
    """Return a stepping function of a native family."""
    family = envs.make(name)
    assert isinstance(family, TorchTasks)
    return stepper(family.vectorise(1, N_ENVS), steps, torch.from_numpy)


def pool_stepper(id: str, steps: int) -> Callable[[], int]:
    """Return a stepping function of a wrapped environment on its nominal task."""
    nominal = nominal_value(id, WRAPPED[id])
    low, high = sorted((0.99 * nominal, 1.01 * nominal))
    family = GymnasiumTasks(id, {WRAPPED[id]: Uniform(low, high)})
    return stepper(family.vectorise(1, N_ENVS), steps, torch.from_numpy)


def nominal_value(id: str, name: str) -> float:
    """Return the default value of a parameter."""
    env = gym.make(id, disable_env_checker=True)
    inner: Any = env.unwrapped
    value = getattr(inner, name, None)
    env.close()
    return float(1.0 if value is None else value)


def loop_stepper(id: str, steps: int) -> Callable[[], int]:
    """Return a stepping function of Gymnasium's `SyncVectorEnv`."""
    factories = [lambda: gym.make(id, disable_env_checker=True)] * N_ENVS
    return stepper(SyncVectorEnv(factories, autoreset_mode=AutoresetMode.DISABLED), steps, lambda array: array)


def stepper(env: Any, steps: int, convert: Callable[[np.ndarray], Any]) -> Callable[[], int]:
    """Return a function that takes `steps` steps in all environments and returns the number of resets."""
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


def time_checks(name: str) -> dict[str, Any]:
    """Time the checks of a family, which raise if one fails."""
    start = time.perf_counter()
    passed = envs.check(envs.make(name))
    return {"family": name, "checks passed": len(passed), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
