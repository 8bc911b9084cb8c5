"""Success rate on quantum data against noise of the stored memory, and the strength at which the advantage ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from agents.experiment.certificate import Certificate
from agents.experiment.certificate_text import DIGITS, ceiling_name
from agents.experiment.evaluation import Curve
from agents.experiment.style import REFERENCE_COLOUR, draw_band, line_style, place_legend, set_titles
from envs.core.quantum_data import StoredDataFamily
from qrl.common.pictures import encode, panels


@dataclass(frozen=True)
class StorageSweep:
    """Success rates of one agent at increasing strengths of the noise `storage`, from 0."""

    strengths: list[float]
    """Probability that the stored memory is replaced by the maximally mixed state between two registers."""
    rates: list[float]
    """Success rate at each strength."""
    low: list[float]
    """Lower ends of the exact 95 % intervals of the rates."""
    high: list[float]
    """Their upper ends."""
    ceiling: float
    """Largest success rate of any classical memory, or a bound on it."""
    ceiling_name: str
    crossing: float | None
    """Strength at which the rate, interpolated, reaches the ceiling; None if it does not come down to it."""
    crossing_low: float | None
    """Strength at which the lower ends reach the ceiling."""
    crossing_high: float | None
    """Strength at which the upper ends do; with `crossing_low` an approximate 95 % interval. The rate is a polynomial
    in the strength, of degree 1 if an episode has two registers."""
    predicted: float | None
    """Strength at which the best coherent memory reaches the ceiling; None if not known."""

    @classmethod
    def of(cls, strengths: Sequence[float], certificates: Sequence[Certificate], family: object) -> "StorageSweep":
        """Return the sweep of evaluations at these increasing strengths."""
        first, totals = certificates[0], [each.total for each in certificates]
        rates, low, high = ([getattr(total, name) for total in totals] for name in ("rate", "low", "high"))
        return cls(
            list(strengths),
            rates,
            low,
            high,
            first.ceiling,
            ceiling_name(first.ceiling_kind),
            crossing(strengths, rates, first.ceiling),
            crossing(strengths, low, first.ceiling),
            crossing(strengths, high, first.ceiling),
            family.storage_threshold if isinstance(family, StoredDataFamily) else None,
        )

    def table(self) -> str:
        """Format the rates as a table, followed by the threshold."""
        rows = zip(self.strengths, self.rates, self.low, self.high, strict=True)
        lines = [f"{'storage noise':>14} {'success rate':>14} {'95 % interval':>20}"]
        lines += [f"{p:>14g} {r:>14.{DIGITS}f} {f'[{a:.{DIGITS}f}, {b:.{DIGITS}f}]':>20}" for p, r, a, b in rows]
        return "\n".join([*lines, self.threshold_text()])

    def threshold_text(self) -> str:
        """Return the measured and the predicted threshold in one line."""
        if self.crossing is None:
            found = "not reached" if self.rates[0] > self.ceiling else "not exceeded"
        else:
            low = 0.0 if self.crossing_low is None else self.crossing_low
            high = f"{self.crossing_high:.3f}]" if self.crossing_high is not None else "beyond the sweep)"
            found = f"reached at {self.crossing:.3f}, about 95 % in [{low:.3f}, {high}"
        predicted = "" if self.predicted is None else f"; predicted for the optimum: {self.predicted:.3f}"
        return f"{self.ceiling_name}, {self.ceiling:.{DIGITS}f}: {found}{predicted}"


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float | None:
    """Return the first x at which y, interpolated linearly, comes down to a level; None if it starts at or below it."""
    if y[0] <= level:
        return None
    for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), zip(x[1:], y[1:], strict=True), strict=False):
        if y1 <= level:
            return x0 + (x1 - x0) * (y0 - level) / (y0 - y1)
    return None


def draw_storage(sweep: StorageSweep, curve: Curve) -> bytes:
    """Return `storage_figure` as the bytes of a PNG file."""
    return encode(storage_figure(sweep, curve))


def storage_figure(sweep: StorageSweep, curve: Curve) -> Figure:
    """Draw the success rate, the ceiling, and the measured and the predicted threshold; `curve` names the run."""
    with panels(1, 1) as (figure, grid):
        axes = grid[0][0]
        label = curve.label.replace(", ", " with ")
        draw_band(axes, sweep.strengths, sweep.rates, sweep.low, sweep.high, label, **line_style(0))
        axes.axhline(sweep.ceiling, color=REFERENCE_COLOUR, linestyle="-", linewidth=1.2, label=sweep.ceiling_name)
        if sweep.predicted is not None:
            text = f"predicted threshold of the optimum, {sweep.predicted:.3f}"
            axes.axvline(sweep.predicted, color=REFERENCE_COLOUR, linestyle=":", linewidth=1.2, label=text)
        if sweep.crossing is not None:
            text = f"measured threshold, {sweep.crossing:.3f}"
            axes.plot([sweep.crossing], [sweep.ceiling], label=text, **line_style(1) | {"linestyle": "none"})
        axes.set_xlabel("noise of the stored memory [probability]")
        axes.set_ylabel("success rate")
        set_titles(axes, f"{curve.env}: {curve.n_tasks} {curve.split} tasks", "rate and exact 95 % interval")
        place_legend(axes)
    return figure
