"""Command `python -m agents.select.selector RUN`: install a run of `algorithm_selection` as the shipped selector."""

import sys
from pathlib import Path

from agents.select.selector import FOLDER, install_selector
from qrl.common.errors import UsageError


def main() -> int:
    """Install the run named on the command line; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m agents.select.selector RUN", file=sys.stderr)
        return 2
    try:
        install_selector(Path(sys.argv[1]))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"installed {sys.argv[1]} as the shipped selector in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
