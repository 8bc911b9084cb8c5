"""Worker processes that are started after torch has worked in parallel, as for the evaluation after training."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT

PARALLEL = """
import os
import torch
torch.set_num_threads(2)
large = torch.rand(1000, 1000)
def work():
    torch.exp(large).sum(), (large @ large).sum()
def n_threads():
    return len(os.listdir("/proc/self/task"))
"""
"""Start of a program: `work` runs on two threads."""

POOL = """
import gymnasium as gym
import numpy as np
from envs import GymnasiumTasks, Uniform

class Parallel(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (1,))
    action_space = gym.spaces.Discrete(2)
    def __init__(self, tilt=0.0):
        self.tilt = tilt
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        torch.set_num_threads(2)
        work()
        return np.zeros(1, np.float32), 0.5, False, False, {}

def pool():
    env = GymnasiumTasks(Parallel, {"tilt": Uniform(-1, 1)}, horizon=5, workers=2, step_timeout=20.0).vectorise(2, 1)
    env.reset(seed=0)
    print(env.step(torch.zeros(2, dtype=torch.int64))[1].tolist())
    env.close()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads threads from /proc")


def output(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_environments_may_work_in_parallel_in_pools_before_between_and_after_parallel_work_of_the_parent() -> None:
    assert output(f"{PARALLEL}{POOL}\npool(); work(); pool(); work(); pool(); work()") == ["[0.5, 0.5]"] * 3


def test_threads_end_and_start_again() -> None:
    """Third-party behaviour: OpenMP's pause ends the threads, keeps their number, and does not change results."""
    program = f"""{PARALLEL}
from envs.wrapped.openmp import end_threads
before = n_threads(); first = (large @ large).sum(); work(); during = n_threads()
end_threads()
print(during - before, n_threads() - before, torch.get_num_threads())
print(bool(((large @ large).sum() == first).item()), n_threads() - before)
"""
    if "libgomp" not in output("import torch; print(open('/proc/self/maps').read().count('libgomp') * 'libgomp')")[0]:
        pytest.skip("this torch has another OpenMP library")
    assert output(program) == ["1 0 2", "True 1"]
