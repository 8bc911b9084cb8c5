"""Name of the command-line program in messages."""

import sys
from pathlib import Path


def program() -> str:
    """Return the name under which the program was started: "qrl-meta", "python -m agents", or otherwise "run.py"."""
    started = Path(sys.argv[0])
    if started.stem == "qrl-meta":
        return "qrl-meta"
    return "python -m agents" if started.parts[-2:] == ("agents", "__main__.py") else "run.py"
