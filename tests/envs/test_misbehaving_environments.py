"""Environments that misbehave in the middle of training: one line with the step and the task, and nothing is left."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

import envs
from benchmarks.fault_injection.mischief import ACTIONS, RESETS, RESULTS
from envs import GymnasiumTasks, Uniform
from envs.core.check import check_before_training
from envs.wrapped.pool import PoolVectorEnv
from envs.wrapped.time_limit import TimeLimit
from qrl.common.errors import TrainingError, UsageError

pytestmark = pytest.mark.filterwarnings("error")


class Tilted(gym.Env[np.ndarray, Any]):
    """An environment that behaves until `change_step`, `change_reset` or `act` is set."""

    observation_space: gym.Space[Any] = gym.spaces.Box(-9, 9, (2,))
    action_space = gym.spaces.Discrete(2)
    change_step: Callable[..., Any] | None = None
    change_reset: Callable[..., Any] | None = None
    act: Callable[[], Any] | None = None

    def __init__(self, tilt: float = 0.0) -> None:
        self.tilt, self.time = tilt, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        results = (np.zeros(2, np.float32), {})
        return results if self.change_reset is None else type(self).change_reset(*results)  # type: ignore[misc]

    def step(self, action: Any) -> Any:
        self.time += 1
        if self.time == 2 and self.tilt > 0 and self.act is not None:
            type(self).act()  # type: ignore[misc]
        results = (np.full(2, self.tilt * self.time, np.float32), 0.5, False, False, {})
        return results if self.change_step is None else type(self).change_step(*results)  # type: ignore[misc]


@contextmanager
def lanes(
    changes: dict[str, Any], workers: int = 0, cls: type[Tilted] = Tilted, **options: Any
) -> Iterator[PoolVectorEnv]:
    """A pool on two tasks that misbehaves from its next call on; the second task has a positive tilt."""
    mine = type("Mine", (cls,), {})
    family = GymnasiumTasks(mine, {"tilt": Uniform(-1, 1)}, horizon=5, workers=workers, **options)
    for name, change in changes.items():
        setattr(mine, name, staticmethod(change))
    env = family.vectorise(2, 1)
    try:
        yield env
    finally:
        env.close()


TASKS = {"tasks": envs.Tasks.from_rows([{"tilt": -0.5}, {"tilt": 0.5}])}
ACTION = torch.zeros(2, dtype=torch.int64)


def rollout(env: PoolVectorEnv, steps: int) -> None:
    env.reset(seed=0, options=TASKS)
    for _ in range(steps):
        env.step(ACTION)


def failure(env: PoolVectorEnv) -> str:
    """The message of the failure in two steps."""
    with pytest.raises(TrainingError) as caught:
        rollout(env, 2)
    assert "\n" not in str(caught.value)
    return str(caught.value)


NOT_FINITE = ("observation beyond float32", "observation not a number", "reward not a number")
"""Values that the collection of rollouts reports; see tests/agents."""


@pytest.mark.parametrize("kind", [kind for kind in RESULTS if kind not in NOT_FINITE])
def test_wrong_results_of_step(kind: str) -> None:
    with lanes({"change_step": RESULTS[kind]}) as env:
        message = failure(env)
    assert message.startswith("Mine: at step 1 of an episode on the task tilt=-0.5: ")
    assert " not " in message


def test_messages_name_what_was_given_and_what_is_expected() -> None:
    cases = {
        "longer observation": "an array of shape (3,) and type float32, not an array of float32 of shape (2,)",
        "observation None": "the observation is None, not an array of float32 of shape (2,)",
        "reward None": "step must return a number as reward, not None",
        "complex reward": "step must return a number as reward, not the complex 1j",
        "terminated array": "a number as terminated, not an array of shape (2,) and type bool",
        "six values": "step must return (observation, reward, terminated, truncated, info), not 6 values",
        "four values": "not 4 values: this is the interface of Gym before 0.26; write reset(*, seed=None",
    }
    for kind, text in cases.items():
        with lanes({"change_step": RESULTS[kind]}) as env:
            assert text in failure(env)


def test_overflow_is_infinite_without_a_warning() -> None:
    with lanes({"change_step": RESULTS["observation beyond float32"]}) as env:
        env.reset(seed=0, options=TASKS)
        for _ in range(2):
            observation, *_ = env.step(ACTION)
        assert observation[1].isinf().all()


@pytest.mark.parametrize("kind", RESETS)
def test_wrong_results_of_reset(kind: str) -> None:
    with lanes({"change_reset": RESETS[kind]}) as env:
        message = failure(env)
    assert message.startswith("Mine: at reset on the task tilt=-0.5: ") and "not" in message


class OldStyle(Tilted):
    def reset(self) -> Any:  # type: ignore[override]
        return np.zeros(2, np.float32)


def test_interface_of_old_gym_is_recognised() -> None:
    with pytest.raises(UsageError, match=r"nominal task: reset takes no seed and options: this is .* Gym before 0\.26"):
        GymnasiumTasks(OldStyle, {"tilt": Uniform(-1, 1)}, horizon=5)


def test_lengths_that_add_up_are_not_mixed() -> None:
    """One number, then three, where two are expected each."""
    lengths = iter([1, 3])
    with lanes({"change_step": lambda seen, *others: (np.ones(next(lengths), np.float32), *others)}) as env:
        assert "shape (1,)" in failure(env)


def test_numbers_of_other_types_are_converted() -> None:
    def change(seen: np.ndarray, *_: Any) -> Any:
        return seen.astype(np.float64).tolist(), np.float32(2), np.bool_(False), 0, {}

    with lanes({"change_step": change}) as env:
        env.reset(seed=0, options=TASKS)
        observation, reward, terminated, truncated, _ = env.step(ACTION)
    assert observation.tolist() == [[-0.5, -0.5], [0.5, 0.5]] and reward.tolist() == [2, 2]
    assert not (terminated | truncated).any()


@pytest.mark.parametrize("observation", [3, -1, 1.0, None])
def test_discrete_observations_out_of_range(observation: Any) -> None:
    class Discrete(Tilted):
        observation_space = gym.spaces.Discrete(3)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return 0, {}

        def step(self, action: Any) -> Any:
            return (0 if self.change_step is None else observation), self.tilt, False, False, {}

    with lanes({"change_step": lambda: None}, cls=Discrete) as env:
        assert "which is not in the space Discrete(3)" in failure(env)


EXCEPTIONS = ("GeneratorExit", "SystemExit", "CancelledError", "StopIteration", "MemoryError", "BaseException",
              "endless recursion")  # fmt: skip


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_any_exception_is_the_environments(kind: str) -> None:
    with lanes({"act": ACTIONS[kind]}) as env:
        message = failure(env)
    assert message.startswith("Mine: the environment raised at step 2 of an episode on the task tilt=0.5: ")


def test_keyboard_interrupt_of_an_environment_unless_python_raises_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with lanes({"act": ACTIONS["KeyboardInterrupt"]}) as env, pytest.raises(KeyboardInterrupt):
            failure(env)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with lanes({"act": ACTIONS["KeyboardInterrupt"]}) as env:
            assert "step 2 of an episode on the task tilt=0.5: KeyboardInterrupt" in failure(env)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [GeneratorExit(), asyncio.CancelledError(), StopIteration(), SystemExit(0)])
@pytest.mark.parametrize("method", ["__init__", "reset", "step", "close", "set_task"])
def test_any_exception_before_training(method: str, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    mine = type("Mine", (Tilted,), {method: fail})
    with pytest.raises(UsageError, match=f"^(Mine|<lambda>).*{type(error).__name__}") as caught:
        check_before_training(GymnasiumTasks(lambda tilt: mine(tilt), {"tilt": Uniform(-1, 1)}, horizon=5, name="Mine"))
    assert "\n" not in str(caught.value)


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "workers"), [("loop for ever", 0), ("sleep for ever", 0), ("loop in C", 2)])
def test_hang_is_ended(kind: str, workers: int) -> None:
    started = time.monotonic()
    with lanes({"act": ACTIONS[kind]}, workers, step_timeout=0.2) as env:
        message = failure(env)
    assert message.startswith("Mine: at step 2 of an episode on the task tilt=0.5: no answer within 0.2 s, the limit")
    assert time.monotonic() - started < 3


def test_slow_environments_are_not_ended() -> None:
    """Each step takes less than the limit, all lanes together more."""
    with lanes({"change_step": lambda *results: (time.sleep(0.15), results)[1]}, step_timeout=0.25) as env:
        rollout(env, 3)


def test_hang_before_training_is_ended() -> None:
    class Hanging(Tilted):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            time.sleep(60)

    with pytest.raises(UsageError, match=r"Hanging on the nominal task: no answer within 0\.1 s"):
        GymnasiumTasks(Hanging, {"tilt": Uniform(-1, 1)}, horizon=5, step_timeout=0.1)
    with pytest.raises(UsageError, match=r"step_timeout \[s\] must be between 0, no limit, and 1e\+06, not -1\.0"):
        GymnasiumTasks(Tilted, {"tilt": Uniform(-1, 1)}, horizon=5, step_timeout=-1.0)


def test_timer_ends_with_its_use_and_leaves_others_alone() -> None:
    with TimeLimit(0.04):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    time.sleep(0.03)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0 and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with TimeLimit(0.01):
            time.sleep(0.05)
        assert rung == [1]
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


# -- processes ---------------------------------------------------------------------------------------------------------


def test_interrupted_step_of_workers_ends_at_once() -> None:
    class Stop(BaseException):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with lanes({"act": ACTIONS["sleep for ever"]}, workers=2) as env:
            processes = env._shards._shards.processes  # type: ignore[union-attr]
            env.reset(seed=0, options=TASKS)
            env.step(ACTION)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            started = time.monotonic()
            with pytest.raises(Stop):
                env.step(ACTION)
        assert time.monotonic() - started < 1 and not any(process.is_alive() for process in processes)
    finally:
        signal.signal(signal.SIGUSR1, before)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states of processes from /proc")
@pytest.mark.parametrize("in_thread", [False, True])
def test_workers_end_with_a_killed_parent(tmp_path: Path, in_thread: bool) -> None:
    """The workers are in the middle of a step; those of a thread outlive the thread, not the process."""
    parent = os.fork()
    if parent == 0:  # never returns
        try:
            with lanes({"act": ACTIONS["sleep for ever"]}, workers=0) as env:
                family = env.distribution
            family.workers = 2
            pools: list[PoolVectorEnv] = []
            if in_thread:
                thread = threading.Thread(target=lambda: pools.append(family.vectorise(2, 1)))  # type: ignore[attr-defined]
                thread.start()
                thread.join()
            else:
                pools.append(family.vectorise(2, 1))  # type: ignore[attr-defined]
            pools[0].reset(seed=0, options=TASKS)
            pools[0].step(ACTION)
            pids = [process.pid for process in pools[0]._shards._shards.processes]  # type: ignore[union-attr]
            (tmp_path / "new").write_text(" ".join(map(str, pids)))
            (tmp_path / "new").rename(tmp_path / "pids")
            pools[0].step(ACTION)
        finally:
            os._exit(1)
    while not (tmp_path / "pids").exists():
        assert os.waitpid(parent, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    workers = [int(word) for word in (tmp_path / "pids").read_text().split()]
    time.sleep(0.1)
    assert len(workers) == 2 and all(map(alive, workers))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    end = time.monotonic() + 2
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(alive, workers))


def test_gymnasium_talks_to_workers_as_relied_on() -> None:
    """Third-party behaviour: the messages to a worker, the form of its answers, and what `closed` does."""

    def work(_: int, make: Any, pipe: Any, parent_pipe: Any, memory: Any, *__: Any) -> None:
        parent_pipe.close()
        while True:
            command, data = pipe.recv()
            if command == "_check_spaces":
                pipe.send(((True, True), True))
            elif command == "reset":
                pipe.send(((None, {"said": repr(data)}), True))
            elif command == "step":
                pipe.send(((None, 0.0, False, False, {"said": str(data)}), True))

    made = AsyncVectorEnv(
        [Tilted],
        copy=False,
        autoreset_mode=AutoresetMode.DISABLED,
        context="fork",
        worker=work,  # type: ignore[list-item]
    )
    made.reset_async(options={"a": 1})
    assert made.parent_pipes[0].poll(5)
    assert made.reset_wait()[1]["said"] == ["{'seed': None, 'options': {'a': 1}}"]
    made.step_async(np.array([1]))
    assert made.step_wait()[-1]["said"] == ["1"]
    made.processes[0].kill()
    made.processes[0].join()
    made.closed = True
    made.close()  # sends nothing


# -- the process -------------------------------------------------------------------------------------------------------


def test_default_type_of_torch_is_restored() -> None:
    with lanes({"act": ACTIONS["default type of torch"]}) as env:
        message = failure(env)
    assert "at step 2 of an episode on the task tilt=0.5: the environment set torch's default type" in message
    assert torch.get_default_dtype() is torch.float32


def test_folder_and_numpy_settings_are_those_of_who_runs(tmp_path: Path) -> None:
    mine, seen, before = os.getcwd(), [], np.geterr()

    def act() -> None:
        os.chdir(tmp_path)
        np.seterr(all="raise")

    def change(*results: Any) -> Any:
        seen.append((os.getcwd(), np.geterr()["over"]))
        return results

    with lanes({"act": act, "change_step": change}) as env:
        for _ in range(2):
            rollout(env, 5)
            assert os.getcwd() == mine and np.geterr() == before
    assert seen[0] == (mine, before["over"]) and seen[-1] == seen[10] == (str(tmp_path), "raise")


def test_closed_standard_stream_is_reported_and_opened_again() -> None:
    saved = os.dup(0)
    try:
        closed = "Mine: the environment closed stdin, file descriptor 0"
        with lanes({"act": ACTIONS["stdin closed"]}) as env, pytest.raises(TrainingError, match=closed):
            rollout(env, 5)
        os.fstat(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_timer_does_not_outlive_the_program():
    """At exit, Python restores the default action of SIGALRM, which ends the process with exit code 142."""
    code = (
        "import atexit, signal\n"
        "from envs.wrapped.time_limit import TimeLimit\n"
        "atexit.register(lambda: print(signal.getitimer(signal.ITIMER_REAL)))\n"  # runs last
        "with TimeLimit(60): pass\n"
        "assert signal.getitimer(signal.ITIMER_REAL)[0] > 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(0.0, 0.0)\n", "")


@pytest.mark.parametrize("deleted", [False, True])
def test_folder_is_restored_in_the_middle_of_an_episode(tmp_path: Path, deleted: bool) -> None:
    mine, folder = os.getcwd(), tmp_path / "folder"

    def act() -> None:
        folder.mkdir(exist_ok=True)
        os.chdir(folder)
        if deleted:
            folder.rmdir()

    with lanes({"act": act}) as env:
        env.reset(seed=0, options=TASKS)
        for _ in range(3):
            env.step(ACTION)
            assert os.getcwd() == mine
