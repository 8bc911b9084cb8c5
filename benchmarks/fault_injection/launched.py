"""Command lines with environment variables before them, run in this process and in further ones as `torchrun` would."""

import importlib.machinery
import importlib.util
import os
import re
import signal
import socket
from collections.abc import Sequence

from agents.cli.main import main as run_command_line

MOST = 8
"""Most processes that are started; for other values of WORLD_SIZE there is one, which is to refuse it."""


def launched(line: Sequence[str]) -> int:
    """Run a command line; return the exit code of the leading process.

    Args:
        line: variables such as WORLD_SIZE=2, then the words of the command. MISSING=NAME hides the package NAME.
    """
    count = next((index for index, word in enumerate(line) if not re.match(r"[A-Z_]+=", word)), len(line))
    variables = dict(word.split("=", 1) for word in line[:count])
    words = list(line[count:])
    if missing := variables.pop("MISSING", ""):
        _hide(missing)
    size = variables.get("WORLD_SIZE", "1")
    n_processes = int(size) if "RANK" not in variables and re.fullmatch(r"\d", size) and int(size) <= MOST else 1
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())} | variables)
    others = [_follower(rank, words) for rank in range(1, n_processes)]
    if "WORLD_SIZE" in variables:
        os.environ.setdefault("RANK", "0")
    try:
        return run_command_line(words)
    finally:
        for process in others:  # as torchrun does when one has failed
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _follower(rank: int, words: list[str]) -> int:
    """Start a process of another rank; return its id."""
    process = os.fork()
    if process:
        return process
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    code = 1
    try:
        code = run_command_line(words)
    finally:
        os._exit(code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _hide(package: str) -> None:
    """Make a package look as if it were not installed."""
    found = importlib.util.find_spec

    def find_spec(name: str, package_of: str | None = None) -> importlib.machinery.ModuleSpec | None:
        return None if name.partition(".")[0] == package else found(name, package_of)

    importlib.util.find_spec = find_spec
