"""Train, evaluate and resume from the command line; see `python run.py --help`."""

import sys

from qrl_meta import main

if __name__ == "__main__":
    sys.exit(main())
