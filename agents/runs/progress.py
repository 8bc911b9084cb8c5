"""Progress of training: a progress bar on a terminal, one plain line per iteration elsewhere."""

import io
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tqdm import tqdm


@runtime_checkable
class Stream(Protocol):
    """Output stream for progress, such as `sys.stderr`."""

    def write(self, text: str, /) -> object:
        """Write `text`."""

    def flush(self) -> object:
        """Flush the stream."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        ...


class Progress:
    """Display of the rows of `metrics.jsonl` during training.

    Args:
        total: number of iterations of the whole run.
        start: number of iterations completed before a resume.
        stream: output stream; a terminal shows a bar with the remaining time, any other stream a line per iteration.
    """

    def __init__(self, total: int, start: int = 0, stream: Stream | None = None) -> None:
        self.total = total
        self._stream: Stream = stream or sys.stderr or io.StringIO()  # Python has no stderr if it was closed
        self._last: Mapping[str, Any] | None = None
        self._bar: "tqdm[object] | None" = None
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=start, unit="it", file=self._stream, dynamic_ncols=True)

    def update(self, row: Mapping[str, Any]) -> None:
        """Show one iteration.

        Args:
            row: "iteration" (number of completed iterations), "env_steps" and "seconds" (totals since the start of the
                run), and "return_by_step" (mean return after 0, 1, … inner steps, or of a trial).
        """
        returns = row["return_by_step"]
        ends = [f"{value:.2f}" for value in (returns if len(returns) < 2 else (returns[0], returns[-1]))]
        rate = f"{self._steps_per_second(row):,.0f} steps/s"
        if self._bar is not None:
            self._bar.set_postfix_str(f"return {' → '.join(ends)}, {rate}", refresh=False)
            self._bar.update(row["iteration"] - self._bar.n)
        else:
            self._line(
                f"iteration {row['iteration']}/{self.total}  return {' -> '.join(ends)}  "
                f"{row['env_steps']:,} env steps  {rate}  {self._time_left(row)} left"
            )
        self._last = row

    def note(self, text: str) -> None:
        """Show a line of text, above the bar on a terminal."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._line(text)

    def close(self) -> None:
        """End the bar's line. May be called more than once."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _since_last(self, row: Mapping[str, Any], key: str) -> float:
        return float(row[key]) - (float(self._last[key]) if self._last is not None else 0.0)

    def _steps_per_second(self, row: Mapping[str, Any]) -> float:
        # For the first row, also after a resume, this is the mean since the start of the run.
        seconds = self._since_last(row, "seconds")
        return self._since_last(row, "env_steps") / seconds if seconds > 0 else 0.0

    def _time_left(self, row: Mapping[str, Any]) -> str:
        seconds = float(row["seconds"]) / max(row["iteration"], 1) * max(self.total - row["iteration"], 0)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:d}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
