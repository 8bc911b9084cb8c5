"""Settings of the process that third-party code may change: its own while it runs, the library's otherwise."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch

from envs.wrapped.faults import Fault

_STREAM_NAMES = ("stdin", "stdout", "stderr")
"""Names of the file descriptors 0 to 2."""


class Home(NamedTuple):
    """Settings of the library."""

    folder: str
    """Working folder, empty if it has been deleted."""
    numpy_errors: Any
    """Keyword arguments of `numpy.seterr`."""
    dtype: torch.dtype
    """Default type of torch's tensors."""
    device: torch.device
    """Default device of torch's tensors."""
    gradients: bool
    """Whether torch records operations for gradients."""


class Guest:
    """Third-party code as a guest of this process.

    Its working folder and its handling of NumPy's floating-point errors hold while it runs, and the library's hold
    otherwise: relative paths of both keep their meaning. The library also keeps its own recording of gradients.
    """

    def __init__(self) -> None:
        self._folder = ""
        self._numpy_errors: Any = {}
        self.differs = False
        """Whether the settings of third-party code differ from the library's."""
        self._streams = select.poll()
        for number in _open_streams():
            self._streams.register(number, 0)

    @contextmanager
    def running(self) -> Iterator[Home]:
        """Run third-party code in this context.

        Raises:
            Fault: it closed a standard stream, or changed torch's default type or device; these are restored.
        """
        home, complaint = self.enter(), ""
        try:
            yield home
        finally:
            complaint = self.leave(home)
        if complaint:
            raise Fault(complaint)

    def enter(self) -> Home:
        """Set what third-party code left behind, and return the settings of the library."""
        home = Home(
            working_folder(),
            np.seterr(**self._numpy_errors),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_grad_enabled(),
        )
        if self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        return home

    def leave(self, home: Home) -> str:
        """Restore the settings of the library. Return a complaint if third-party code did what it must not do."""
        self._numpy_errors = np.seterr(**home.numpy_errors)
        torch.set_grad_enabled(home.gradients)
        folder = working_folder()
        self._folder = folder if folder != home.folder else ""
        if folder != home.folder and home.folder:
            os.chdir(home.folder)
        self.differs = bool(self._folder) or self._numpy_errors != home.numpy_errors
        return self._reopen_streams() or restore_default_type(home.dtype) or restore_default_device(home.device)

    def _reopen_streams(self) -> str:
        """Open those standard streams that were closed on the null device; return a complaint if there are any.

        Otherwise the next file that is opened, such as a checkpoint, would receive what is printed.
        """
        closed = sorted(number for number, event in self._streams.poll(0) if event & select.POLLNVAL)
        for _ in closed:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        return f"the environment closed {_STREAM_NAMES[closed[0]]}, file descriptor {closed[0]}" if closed else ""


def working_folder() -> str:
    """Return the working folder, or nothing if it has been deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _open_streams() -> list[int]:
    return [number for number in range(len(_STREAM_NAMES)) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def restore_default_type(dtype: torch.dtype) -> str:
    """Restore torch's default type; return a complaint if it was changed, as the policy's tensors would follow it."""
    if (changed := torch.get_default_dtype()) is dtype:
        return ""
    torch.set_default_dtype(dtype)
    return f"the environment set torch's default type to {changed}: state the types of tensors instead"


def restore_default_device(device: torch.device) -> str:
    """Restore torch's default device; return a complaint if it was changed."""
    if (changed := torch.get_default_device()) == device:
        return ""
    torch.set_default_device(None if device.type == "cpu" else device)
    return f"the environment set torch's default device to {changed}: state the devices of tensors instead"
