"""Meta-training under noise against exact meta-training, both evaluated under that noise.

    python -m benchmarks.noise_aware --jobs 2    five seeds each, about half an hour; --quick to try it

The study is benchmarks/studies/noise_aware.toml: MAML on navigation with a re-uploading circuit of two wires and
default options, without noise (`exact`) and with it (`noisy`), depolarizing=0.05 after every gate and readout=0.02.
Both are adapted and evaluated on the same 100 test tasks under the noise, and the exact one also without noise.

Results: results/noise_aware.json, docs/noise_aware.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.experiment.evaluation import Curve
from agents.experiment.run import Run
from agents.experiment.style import line_style, set_titles, whole_ticks
from benchmarks.shared.common import set_up, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.estimates import differences, means, text
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import publish
from benchmarks.shared.studies import evaluated_again, returns, seed_rows, train
from qrl.backends.backend import Backend
from qrl.common.pictures import PANEL
from qrl.noise.model import Noise

N_SEEDS = 5
NOISE = ("depolarizing=0.05", "readout=0.02")
PARTS = ("trained exactly, under noise", "trained under noise, under noise", "trained exactly, exactly")


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS


def main(options: Options) -> None:
    """Train with and without noise from every seed and evaluate under noise."""
    set_up(threads=1)
    exact, noisy = train("noise_aware", options).values()
    under_noise = evaluated_again(exact, with_noise)
    parts = dict(zip(PARTS, (under_noise, noisy, exact), strict=True))
    measured: dict[str, Any] = {
        name: {"returns": means(returns(part)), "seeds": seed_rows(part)} for name, part in parts.items()
    }
    measured["difference"] = {"returns": differences(returns(noisy), returns(under_noise)), "noise": NOISE}
    print(table([{"": name, **_columns(part["returns"])} for name, part in measured.items()]))
    publish("noise_aware", measured, (*PARTS, "difference"), _draw, draft=options.quick or options.seeds < N_SEEDS)


def with_noise(run: Run) -> Curve:
    """Return the adaptation curve of a run under the noise, on the tasks of its regular evaluation."""
    spec, backend = run.spec, Backend(noise=Noise.parse(NOISE))
    return run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes, backend=backend)


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": text(value, 2) for x, value in enumerate(returns)}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, (axes,) = grid(1, columns=1, size=PANEL)
    for index, name in enumerate(PARTS):
        returns, curve = results[name]["returns"], results[name]["seeds"][0]["evaluation"]
        draw_means(axes, curve["x"], returns, name, **line_style(index))
    set_titles(axes, "navigation", f"mean of {N_SEEDS} seeds and its 95 % interval")
    axes.set(xlabel=f"gradient steps of {curve['episodes'][1]} episodes each", ylabel="return on test tasks")
    whole_ticks(axes.xaxis)
    axes.legend()
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
