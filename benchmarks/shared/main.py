"""Command line of the benchmarks: shared options and the entry point."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from benchmarks.shared.publish import Draw, redraw
from qrl.common.errors import TrainingError, UsageError


@dataclass(frozen=True, kw_only=True)
class QuickOptions:
    """Options of every benchmark."""

    quick: bool = False
    """Run a quick check at small sizes; the result goes to results/runs."""


@dataclass(frozen=True, kw_only=True)
class TimingOptions(QuickOptions):
    """Options of benchmarks that measure time in a single process."""

    threads: int = 1
    """Torch threads [threads]."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(QuickOptions):
    """Options of benchmarks that train from several seeds."""

    seeds: int
    """Number of seeds, 0, 1, ...; with fewer than the default, the result goes to results/runs."""

    jobs: int = 1
    """Number of parallel runs [processes]."""

    overwrite: bool = False
    """Replace runs that have other options."""

    redraw: bool = False
    """Only redraw the figure from the committed result."""


O = TypeVar("O", bound=QuickOptions)  # noqa: E741


def run_main(main: Callable[[O], None], options_type: type[O], about: str | None, draw: Draw | None = None) -> None:
    """Parse the command line and run a benchmark.

    Args:
        main: measures, prints and writes the result.
        options_type: options of the benchmark.
        about: docstring of the benchmark.
        draw: draws all results into a file, for benchmarks with a figure.
    """
    name = Path(sys.argv[0]).stem
    options: Any = tyro.cli(options_type, prog=f"python -m benchmarks.{name}", description=about)
    if isinstance(options, TrainingOptions):
        if options.seeds < 1 or options.jobs < 1:
            sys.exit(f"benchmarks.{name}: --seeds and --jobs must be at least 1")
        if options.redraw:
            assert draw is not None
            redraw(name, draw)
            return
    try:
        main(options)
    except (UsageError, TrainingError) as error:
        sys.exit(f"benchmarks.{name}: {error}")
