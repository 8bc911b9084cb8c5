"""Name of the command line, as messages show it."""

import sys
from pathlib import Path


def program() -> str:
    """Name the command line by how it was started: "run.py", "qrl-meta" or "python -m agents"; else "run.py"."""
    started = Path(sys.argv[0])
    if started.stem == "qrl-meta":
        return "qrl-meta"
    return "python -m agents" if started.parts[-2:] == ("agents", "__main__.py") else "run.py"
