"""Command line, run as `python -m agents`."""

import sys

from qrl_meta import main

if __name__ == "__main__":
    sys.exit(main())
