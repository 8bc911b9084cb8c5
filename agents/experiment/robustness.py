"""Robustness: return before and after adaptation against noise strength and number of shots."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.experiment.evaluation import Curve
from agents.experiment.style import REFERENCE_COLOUR, draw_band, line_style, place_legend, set_titles
from qrl.backends.backend import Backend
from qrl.common.errors import UsageError, suggest
from qrl.common.pictures import encode, panels
from qrl.noise.model import STRENGTHS, Noise

GATE_STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Default strengths of noise of circuits [probability]."""
STORAGE_STRENGTHS = tuple(step / 10 for step in range(1, 11))
"""Default strengths of noise of a stored memory [probability]."""
SHOTS = (10, 30, 100, 300, 1000)
"""Default numbers of shots [shots]."""


@dataclass(frozen=True)
class Point:
    """One evaluation of a sweep: the varied quantity, and the ends of the adaptation curve. All use the same tasks."""

    what: str
    """Varied quantity: a kind of noise, "shots", or "exact"."""
    value: float
    """Noise strength, or number of shots; 0 for "exact"."""
    before: tuple[float, float, float]
    """Mean return at the curve's first x, and the ends of its 95 % interval."""
    after: tuple[float, float, float]
    """Mean return at the curve's last x, and the ends of its 95 % interval."""

    @classmethod
    def of(cls, what: str, value: float, curve: Curve) -> "Point":
        """Return the point of an evaluation."""
        before, after = ((curve.mean[x], curve.ci_low[x], curve.ci_high[x]) for x in (0, -1))
        return cls(what, value, before, after)


def backends(
    kinds: Sequence[str] | None,
    strengths: Sequence[float] | None,
    shots: Sequence[int] | None,
    *,
    on_registers: bool = False,
) -> list[tuple[str, float, Backend]]:
    """Return the backends of a sweep, each with the varied quantity and its value.

    The sweep evaluates exact circuits, each kind of noise at each strength, and noiseless circuits with each number of
    shots; None stands for the defaults, which differ for models on registers. Raises UsageError for an unknown kind of
    noise, an invalid strength or an invalid number of shots.
    """
    kinds = ("storage",) if kinds is None and on_registers else ("depolarizing",) if kinds is None else kinds
    strengths = (STORAGE_STRENGTHS if {*kinds} == {"storage"} else GATE_STRENGTHS) if strengths is None else strengths
    shots = (() if on_registers else SHOTS) if shots is None else shots
    for kind in kinds:
        if "=" in kind:
            raise UsageError(f"robustness: --noise takes kinds, not {kind!r}: give strengths with --strengths")
        if kind not in STRENGTHS:
            raise UsageError(f"robustness: unknown noise {kind!r}{suggest(kind, STRENGTHS)}")
    if 0 in shots:
        raise UsageError("robustness: numbers of shots must be at least 1; exact values are always evaluated, too")
    rows = [("exact", 0.0, Backend())]
    for kind in dict.fromkeys(kinds):
        rows += [(kind, float(p), Backend(noise=Noise.parse([f"{kind}={p}"]))) for p in sorted({*strengths})]
    return rows + [("shots", float(n), Backend(shots=n)) for n in sorted({*shots})]


def table(points: Sequence[Point]) -> str:
    """Format the points as a table."""
    header = f"{'':>18} {'value':>8} {'before':>9} {'95 % interval':>20} {'adapted':>9} {'95 % interval':>20}"
    lines = [header]
    for point in points:
        ends = [f"{mean:>9.2f} {f'[{low:.2f}, {high:.2f}]':>20}" for mean, low, high in (point.before, point.after)]
        lines.append(f"{point.what:>18} {point.value:>8g} {' '.join(ends)}")
    return "\n".join(lines)


def to_json(points: Sequence[Point], curve: Curve) -> dict[str, Any]:
    """Return the content of robustness.json; `curve` is any curve of the sweep."""
    names = ("env", "env_options", "agent", "model", "split", "n_tasks", "seed", "axis", "iteration")
    ends = {"x_before": curve.x[0], "x_after": curve.x[-1]}
    return {name: getattr(curve, name) for name in names} | ends | {"points": [asdict(point) for point in points]}


def draw(points: Sequence[Point], curve: Curve) -> bytes:
    """Return `figure_of` a sweep, as the bytes of a PNG file."""
    return encode(figure_of(points, curve))


def figure_of(points: Sequence[Point], curve: Curve) -> Figure:
    """Draw a panel for noise and a panel for shots, both with the exact returns."""
    exact, *others = points
    kinds = list(dict.fromkeys(point.what for point in others))
    groups = [[kind for kind in kinds if kind != "shots"], [kind for kind in kinds if kind == "shots"]]
    groups = [group for group in groups if group] or [[]]
    with panels(1, len(groups)) as (figure, grid):
        for axes, group in zip(grid[0], groups, strict=True):
            _draw_panel(axes, group, others, exact)
            axes.set_xlabel("shots of each circuit" if group == ["shots"] else "strength of noise [probability]")
            set_titles(axes, f"{curve.env}: {curve.n_tasks} {curve.split} tasks", "mean and 95 % interval over tasks")
    return figure


def _draw_panel(axes: Axes, kinds: Sequence[str], points: Sequence[Point], exact: Point) -> None:
    for index, kind in enumerate(kinds):
        swept, look = [point for point in points if point.what == kind], line_style(index)
        x = [point.value for point in swept]
        for end, line, when in (("after", "-", "adapted"), ("before", ":", "before adaptation")):
            mean, low, high = zip(*(getattr(point, end) for point in swept), strict=True)
            draw_band(axes, x, mean, low, high, f"{kind}, {when}", linestyle=line, **look)
    for end, line, when in (("after", "-", "adapted"), ("before", ":", "before adaptation")):
        mean = getattr(exact, end)[0]
        axes.axhline(mean, color=REFERENCE_COLOUR, linestyle=line, linewidth=1.2, label=f"exact, {when}")
    axes.set_xscale("log")
    axes.set_ylabel("return")
    place_legend(axes)
