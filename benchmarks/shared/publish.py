"""Results and figures of the benchmarks that train."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.shared.common import RESULTS, RUNS, write_result
from qrl.common.files import from_json
from qrl.common.pictures import in_style

Draw = Callable[[dict[str, Any], Path], None]
"""Function that draws all results of a benchmark into a file."""


def check_names(benchmark: str, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Exit unless there is at least one name and all names are known."""
    names = tuple(names)
    if not names:
        sys.exit(f"{benchmark}: give at least one {kind}")
    for name in names:
        if name not in known:
            sys.exit(f"{benchmark}: unknown {kind} {name!r}; choose from {', '.join(known)}")


def publish(name: str, measured: dict[str, Any], known: Iterable[str], draw: Draw, *, draft: bool) -> None:
    """Update the measured parts of results/NAME.json and redraw docs/NAME.png.

    Long benchmarks can be run in parts: parts that were not measured keep their earlier results, and the row of each
    seed records the commit that produced it. Drafts, whose parts are incomplete, go to results/runs instead.

    Args:
        name: name of the benchmark.
        measured: results by part.
        known: all possible parts, in the order of the file.
        draw: draws all results into a file.
        draft: whether parts are incomplete.
    """
    merged = earlier_results(name, draft=draft) | measured
    results = {part: merged[part] for part in known if part in merged}
    write_result(name, results, quick=draft)
    _draw_into(RUNS if draft else docs(), name, results, draw)


def earlier_results(name: str, *, draft: bool) -> dict[str, Any]:
    """Return the parts of results/NAME.json; none for a draft, whose parts are incomplete, and without that file."""
    path = RESULTS / f"{name}.json"
    return from_json(path)["results"] if path.exists() and not draft else {}


def redraw(name: str, draw: Draw) -> None:
    """Redraw docs/NAME.png from results/NAME.json."""
    _draw_into(docs(), name, from_json(RESULTS / f"{name}.json")["results"], draw)


def docs() -> Path:
    """Return the folder of the figures."""
    return RESULTS.parent.parent / "docs"


def _draw_into(folder: Path, name: str, results: dict[str, Any], draw: Draw) -> None:
    figure_path = folder / f"{name}.png"
    with in_style():
        draw(results, figure_path)
    print(f"wrote {figure_path}")
