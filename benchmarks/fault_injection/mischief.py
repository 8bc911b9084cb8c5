"""An environment that misbehaves, as a user's file; which way and when is read from the variables of the process.

MISCHIEF is a key of `RESULTS`, `RESETS` or `ACTIONS`; MOMENT where it happens: step, reset, constructor or close; SINCE
the number of finished iterations in the file METRICS from which on it happens. WORKERS and STEP_TIMEOUT [s] are options
of the family. STARTED is a file to write when an action begins.
"""

import asyncio
import ctypes
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import envs

RESULTS: dict[str, Callable[..., Any]] = {
    "longer observation": lambda seen, *others: (np.zeros(3, np.float32), *others),
    "shorter observation": lambda seen, *others: (seen[:1], *others),
    "observation None": lambda seen, *others: (None, *others),
    "scalar observation": lambda seen, *others: (np.float32(1), *others),
    "observation with two axes": lambda seen, *others: (seen[:, None], *others),
    "ragged list as observation": lambda seen, *others: ([[1.0], [1.0, 2.0]], *others),
    "strings as observation": lambda seen, *others: (np.array(["1.5", "2.5"]), *others),
    "objects as observation": lambda seen, *others: (np.array([1.5, None], object), *others),
    "complex observation": lambda seen, *others: (seen.astype(complex), *others),
    "dict as observation": lambda seen, *others: ({"seen": seen}, *others),
    "observation beyond float32": lambda seen, *others: (np.float64(seen + 1) * 1e300, *others),
    "observation not a number": lambda seen, *others: (seen * np.float32("nan"), *others),
    "reward None": lambda seen, reward, *others: (seen, None, *others),
    "reward array": lambda seen, reward, *others: (seen, np.array([reward]), *others),
    "reward string": lambda seen, reward, *others: (seen, "1.5", *others),
    "reward not a number": lambda seen, reward, *others: (seen, float("nan"), *others),
    "complex reward": lambda seen, reward, *others: (seen, 1j, *others),
    "terminated None": lambda seen, reward, *_: (seen, reward, None, False, {}),
    "terminated array": lambda seen, reward, *_: (seen, reward, np.zeros(2, bool), False, {}),
    "truncated string": lambda seen, reward, *_: (seen, reward, False, "no", {}),
    "four values": lambda *results: (*results[:2], False, {}),
    "six values": lambda *results: (*results, {}),
    "no values": lambda *results: None,
    "info list": lambda *results: (*results[:4], []),
}
"""Wrong results of `step` from right ones."""

RESETS: dict[str, Callable[..., Any]] = {
    "observation alone": lambda seen, info: seen,
    "three values": lambda seen, info: (seen, info, {}),
    "nothing": lambda seen, info: None,
    "info None": lambda seen, info: (seen, None),
    "longer observation at reset": lambda seen, info: (np.zeros(3, np.float32), info),
}
"""Wrong results of `reset` from right ones."""


def _raise(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def _recurse() -> None:
    _recurse()


def _loop() -> None:
    while True:
        pass


def _loop_and_catch() -> None:
    while True:
        with suppress(BaseException):
            time.sleep(0.01)


def _warn() -> None:
    warnings.simplefilter("error")
    warnings.warn("worn out", stacklevel=1)


def _close_descriptor(number: int) -> Callable[[], None]:
    def action() -> None:
        with suppress(OSError):
            os.close(number)

    return action


def _sleep_once() -> None:
    time.sleep(30)


def _replace_handlers() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


ACTIONS: dict[str, Callable[[], Any]] = {
    "ValueError": _raise(ValueError("worn out")),
    "GeneratorExit": _raise(GeneratorExit()),
    "KeyboardInterrupt": _raise(KeyboardInterrupt()),
    "SystemExit": lambda: sys.exit(0),
    "CancelledError": _raise(asyncio.CancelledError()),
    "StopIteration": _raise(StopIteration()),
    "MemoryError": _raise(MemoryError()),
    "BaseException": _raise(BaseException("several\nlines")),
    "endless recursion": _recurse,
    "warning as error": _warn,
    "sleep for ever": lambda: time.sleep(1e6),
    "loop for ever": _loop,
    "loop that catches everything": _loop_and_catch,
    "loop in C": lambda: sum(repeat(0)),
    "os._exit": lambda: os._exit(9),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segmentation fault": lambda: ctypes.string_at(0),
    "default type of torch": lambda: torch.set_default_dtype(torch.float64),
    "default device of torch": lambda: torch.set_default_device("meta"),
    "np.seterr": lambda: np.seterr(all="raise"),
    "os.chdir": lambda: os.chdir("/"),
    "stdin closed": _close_descriptor(0),
    "stdout closed": _close_descriptor(1),
    "stderr closed": _close_descriptor(2),
    "descriptors closed": lambda: os.closerange(3, 256),
    "signal handlers": _replace_handlers,
    "warnings ignored": lambda: warnings.simplefilter("ignore"),
    "seeds": _seed,
    "no new files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)),
    "sleep of half a minute": _sleep_once,
}
"""What happens in place of, or before, a right result."""


def is_due(moment: str) -> bool:
    """Return whether the time for mischief has come."""
    if os.environ.get("MOMENT") != moment:
        return False
    since, metrics = int(os.environ["SINCE"]), Path(os.environ["METRICS"])
    return since == 0 or (metrics.exists() and metrics.read_bytes().count(b"\n") >= since)


class Mischief(gymnasium.Env[np.ndarray, np.int64]):
    """A cart on a tilted track."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, tilt: float = 0.0) -> None:
        self.tilt = tilt
        self._act("constructor")

    def _act(self, moment: str) -> str:
        """Do what is due; return its name if results are to be changed."""
        if not is_due(moment):
            return ""
        kind = os.environ["MISCHIEF"]
        if kind in ACTIONS:
            Path(os.environ["STARTED"]).touch()
            ACTIONS[kind]()
            return ""
        return kind

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start somewhere near the middle."""
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.5, 0.5, 2).astype(np.float32)
        kind = self._act("reset")
        return RESETS[kind](self.state, {}) if kind else (self.state, {})

    def step(self, action: np.int64) -> Any:
        """Push the cart to the left or to the right."""
        kind = self._act("step")
        self.state = np.clip(self.state + 0.1 * (2 * action - 1) + 0.01 * self.tilt, -2, 2).astype(np.float32)
        results = (self.state, -float(abs(self.state[0])), False, False, {})
        return RESULTS[kind](*results) if kind else results

    def close(self) -> None:
        """Close nothing."""
        self._act("close")


distribution = envs.GymnasiumTasks(
    Mischief,
    {"tilt": envs.Uniform(-1, 1)},
    horizon=6,
    workers=int(os.environ.get("WORKERS", "0")),
    step_timeout=float(os.environ.get("STEP_TIMEOUT", "300")),
)
