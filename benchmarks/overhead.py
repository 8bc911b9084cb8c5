"""Overhead of validation and of TensorBoard over a plain training, without the time of the evaluations themselves.

    python -m benchmarks.overhead [--quick] [--threads N]      results/overhead.json

MAML on navigation with its default options, with a circuit of 4 wires x 3 layers and with an MLP of as many parameters:
a plain run, and the same run with `--track tensorboard` and a validation every five iterations. Both train in turns,
one iteration at a time, and do the same work bit by bit. The CPU time of an iteration includes its metrics, callbacks
and checkpoints, and the thread that writes TensorBoard's file. An evaluation on validation tasks is timed on its own
and subtracted; what remains of a validation is the best checkpoint and its row. Overhead: the median over blocks of ten
iterations, each with two validations and a checkpoint. Bound: 3 %.
"""

import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.callbacks import TrainingInfo
from agents.experiment.evaluation import Curve
from agents.experiment.loop import Training
from agents.experiment.training import train
from agents.experiment.validation import Validation
from agents.runs.folder import RunFolder
from agents.runs.progress import Progress
from agents.tracking.tracker import TrackedRun
from agents.tracking.tracking import tracked
from benchmarks.shared.common import default_spec, set_up, table, write_result
from benchmarks.shared.main import TimingOptions, run_main
from qrl.models.reuploading import Config as CircuitConfig

AT_MOST = 0.03
"""Upper bound of the overhead [of the plain training]."""
BLOCK = 10
"""Iterations of a block, a multiple of the intervals of validations and of checkpoints [meta-iterations]."""
SETTLE = 0.01
"""Pause after an iteration, in which the thread that writes TensorBoard's file finishes [s]."""


class Turn:
    """Callback that lets two trainings in two threads take turns, and notes the CPU time of each iteration."""

    def __init__(self) -> None:
        self.mine, self.other = threading.Semaphore(0), threading.Semaphore(0)
        self.seconds: list[float] = []
        """CPU time of each turn: what follows the callbacks of an iteration, and the next iteration [s]."""
        self.evaluation: list[float] = []
        """CPU time of the evaluation in each turn [s]."""
        self._started = 0.0

    def begin(self) -> None:
        """Wait for the turn."""
        self.mine.acquire()
        self.evaluation.append(0.0)
        self._started = time.process_time()

    def end(self) -> None:
        """Note the time since the turn began, and hand over."""
        time.sleep(SETTLE)
        self.seconds.append(time.process_time() - self._started)
        self.other.release()

    def on_iteration(self, run: TrainingInfo, row: Mapping[str, object]) -> None:
        """Hand over, and wait for the next turn."""
        self.end()
        self.begin()

    def on_evaluation(self, run: TrainingInfo, curve: Curve) -> None:
        """Do nothing: the evaluation is timed where it takes place."""


def main(options: TimingOptions) -> None:
    """Time plain and validated trainings in turns."""
    set_up(options.threads)
    n_iterations = 2 * BLOCK if options.quick else 12 * BLOCK
    specs = {
        "circuit 4 x 3": default_spec("navigation", model_config=CircuitConfig(n_wires=4, n_layers=3)),
        "mlp, matched": default_spec("navigation", "mlp"),
    }
    rows = []
    for name, spec in specs.items():
        spec = replace(spec, iterations=n_iterations, threads=options.threads)
        if options.quick:
            spec = replace(spec, agent_config=replace(spec.agent_config, meta_batch=4, episodes=4))  # type: ignore[type-var]
        rows.append(measured(name, spec))
        print(table(rows), flush=True)
    write_result("overhead", rows, quick=options.quick)


def measured(name: str, spec: Spec) -> dict[str, Any]:
    """Train a spec plainly, and with validation and TensorBoard, in turns; return the row of the result."""
    plain, validated = Turn(), Turn()
    plain.other, validated.other = validated.mine, plain.mine
    with tempfile.TemporaryDirectory() as folder:
        threads = [
            threading.Thread(target=run_plain, args=(spec, Path(folder, "plain"), plain)),
            threading.Thread(target=run_validated, args=(spec, Path(folder, "validated"), validated)),
        ]
        for thread in threads:
            thread.start()
        plain.mine.release()
        for thread in threads:
            thread.join()
        metrics = [Path(folder, each, "metrics.jsonl").read_bytes() for each in ("plain", "validated")]
    own = [seconds - evaluation for seconds, evaluation in zip(validated.seconds, validated.evaluation, strict=True)]
    # The first block is a warm-up, as is the first turn, which has an iteration only.
    blocks = list(zip(blocks_of(own[1:]), blocks_of(plain.seconds[1:]), strict=True))[1:]
    overhead = statistics.median(mine / other - 1 for mine, other in blocks)
    return {
        "policy": name,
        "iterations": spec.iterations,
        "seconds per iteration": statistics.median(plain.seconds),
        "seconds per evaluation": statistics.median(each for each in validated.evaluation if each),
        "overhead": overhead,
        "smallest": min(mine / other - 1 for mine, other in blocks),
        "largest": max(mine / other - 1 for mine, other in blocks),
        "equal metrics": metrics[0] == metrics[1],
        "at most": AT_MOST,
        "pass": overhead <= AT_MOST and metrics[0] == metrics[1],
    }


def blocks_of(seconds: list[float]) -> list[float]:
    """Return the sums over blocks of iterations [s]."""
    return [sum(seconds[first : first + BLOCK]) for first in range(0, len(seconds), BLOCK)]


@contextmanager
def alternating(turn: Turn) -> Iterator[None]:
    """End the last turn at exit, and let the other training go on alone, also after an error."""
    try:
        yield
    finally:
        turn.end()
        turn.other.release(1_000_000)


def run_plain(spec: Spec, path: Path, turn: Turn) -> None:
    """Train without validation and trackers."""
    training, folder = begin(spec, path)
    turn.begin()
    with alternating(turn), Progress(spec.iterations, stream=io.StringIO()) as progress:
        train(training, folder, progress, [turn])


def run_validated(spec: Spec, path: Path, turn: Turn) -> None:
    """Train with a validation every five iterations and TensorBoard; note the time of each evaluation."""
    training, folder = begin(replace(spec, validate_every=5), path)
    evaluate: Callable[[Validation], Curve] = Validation._curve

    def timed(self: Validation) -> Curve:
        begun = time.process_time()
        curve = evaluate(self)
        turn.evaluation[-1] += time.process_time() - begun
        return curve

    turn.begin()
    run = TrackedRun(path, training.spec, folder.checkpoints.identity, 0)
    with (
        alternating(turn),
        mock.patch.object(Validation, "_curve", timed),
        Progress(spec.iterations, stream=io.StringIO()) as progress,
        tracked(["tensorboard"], run) as trackers,
    ):
        train(training, folder, progress, [*trackers, turn])


def begin(spec: Spec, path: Path) -> tuple[Training, RunFolder]:
    """Create the run folder of a spec, and its training."""
    return Training(spec, *build(spec)), RunFolder.create(path, {"spec": spec.to_json()})


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
