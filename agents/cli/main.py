"""Entry point of the command line: run one command, return its exit code, and print errors as one line.

Importing this module imports only the standard library, so that a missing dependency is reported as one line, too.
"""

import errno
import os
import re
import sys
import textwrap
import time
from collections.abc import Sequence

from agents.runs.interrupt import Interrupted, stopping_at_once
from agents.runs.messages import held_warnings, print_anything, tell
from agents.runs.program import program
from agents.shards.launch import is_first
from qrl.common.checks import check_text
from qrl.common.errors import TrainingError, UsageError, is_out_of_memory
from qrl.common.importing import install_hint

PATIENCE = 10.0
"""Time that the leading process of a training has to report an error before another one does [s]."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Exit codes: 0 success, 1 failed training, 2 invalid input, 128 + signal number after a signal.
    """
    print_anything()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with held_warnings():
            from agents.cli.commands import run_command

            for word in arguments:
                check_text("argument", word)
            with stopping_at_once():
                return run_command(arguments)
    except UsageError as error:
        if not is_first():  # nearly every error is found by all processes of a training, which end with the first
            time.sleep(PATIENCE)
        return _complain(error, 2)
    except TrainingError as error:
        return _complain(error, 1)
    except Interrupted as stop:
        return stop.exit_code if stop.told else _say("interrupted", stop.exit_code)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:
        # The reader of the pipe, such as `head`, has exited. Python's flush of stdout at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        of_the_system = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBADF)
        if error.filename is None and not of_the_system:
            raise
        return _complain(f"{error.filename or 'writing'}: {error.strerror or error}", 2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(_out_of_memory(error), 2)
    except ModuleNotFoundError as error:
        remedy = install_hint(error)
        if not remedy:
            raise
        return _complain(f"{error}{remedy}", 2)


def _out_of_memory(error: Exception) -> str:
    reason = re.sub(r"^\[.*?\] .*?\. (?=DefaultCPUAllocator)", "", " ".join(str(error).split()))
    detail = f": {textwrap.shorten(reason, 160, placeholder=' …')}" if reason else ""
    return f"not enough memory{detail}; use fewer tasks, episodes or wires"


def _complain(error: object, code: int) -> int:
    return _say(f"error: {error}", code)


def _say(text: str, code: int) -> int:
    tell(f"{program()}: {text}")
    return code
