"""Ends that come from outside: kills, signals, other processes on the same folder."""

import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.runs.checkpoints import Checkpoint
from agents.runs.folder import RunFolder
from benchmarks.fault_injection.runs import (
    EVERY,
    PAUSE,
    Row,
    Whole,
    contents,
    failures,
    finish,
    going_on,
    n_rows,
    newest,
    outcome,
    start,
    training,
    wait,
    writing,
)


def again(whole: Whole, work: Path) -> Row:
    """The same command in another folder; and another seed, which must be told apart."""
    same, other = work / "same", work / "other-seed"
    wrong = failures(finish(start(*training(same, whole.iterations))), same, whole)
    ended = finish(start(*training(other, whole.iterations), "--seed", "1"))
    if ended.code or outcome(other)["tensors"] == whole.bytes["tensors"]:
        wrong.append("another seed gives the same tensors")
    return {"struck": ["same seed, and another one"], "failed": wrong}


def killed(whole: Whole, work: Path, index: int, seed: int) -> Row:
    """Kill a run, every third one twice, and let it go on to its end.

    Instants are uniform over the life of the process, over what follows the birth of its folder, or over what follows
    the first checkpoint, in turn. A process that had ended by then is started again, with another instant.
    """
    rng = np.random.default_rng([seed, 1, index])
    run = work / f"killed-{index}"
    since = (None, run / "config.json", first_checkpoint(run))[index % 3]
    life = whole.seconds if since is None else whole.seconds - whole.start_up
    too_late = 0
    while not kill(training(run, whole.iterations), instant := life * rng.uniform(), since):
        shutil.rmtree(run)
        too_late += 1
    instants, struck = [f"{instant:.3f} from {'the start' if since is None else since.name}"], [stage(run, whole)]
    if index % 3 == 2:
        instant = whole.seconds * rng.uniform()
        if kill(going_on(run, whole.iterations), instant):
            instants.append(f"{instant:.3f} from the start of resuming")
            struck.append(f"again: {stage(run, whole)}")
    wrong = failures(finish(start(*going_on(run, whole.iterations))), run, whole)
    return {"index": index, "seconds": instants, "too late": too_late, "struck": struck, "failed": wrong}


def first_checkpoint(run: Path) -> Path:
    """Where it will be."""
    return run / "checkpoint" / f"{EVERY:08d}"


def kill(arguments: Sequence[str], after: float, since: Path | None = None) -> bool:
    """Start run.py and kill it so many seconds after its start or the birth of a file; whether it was still there."""
    with start(*arguments) as process:
        if since is not None:
            wait(process, since.exists)
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode == -signal.SIGKILL


def stage(run: Path, whole: Whole) -> str:
    """How far a killed run had come."""
    if not (run / "config.json").exists():
        return "start-up"
    done = newest(run)
    where = "training" if done < whole.iterations else "evaluation"
    where = where if done else "training, before the first checkpoint"
    return f"{where}, writing" if writing(run) else where


def signalled(whole: Whole, work: Path, index: int, seed: int, signals: Sequence[signal.Signals]) -> Row:
    """Send signals while a checkpoint is being written, then resume."""
    rng = np.random.default_rng([seed, 2, len(signals), index])
    run = work / f"signalled-{len(signals)}-{index}"
    after, delay = int(rng.integers(1, whole.iterations // 2)), float(rng.uniform(0, 4 * PAUSE))
    with start(*training(run, whole.iterations, every=1), slow=True) as process:
        wait(process, lambda: n_rows(run) >= after and any(run.glob("checkpoint/.*.tmp")))
        time.sleep(delay)
        struck = ["writing" if writing(run) else "between writes"]
        for number in signals:
            process.send_signal(number)
            time.sleep(PAUSE)
        ended = finish(process)
    expected = 128 + signals[0]
    wrong = [] if ended.code == expected and "Traceback" not in ended.errors else [f"{ended}"]
    checkpoint = RunFolder.open(run).checkpoints.load() if newest(run) else Checkpoint(0, {}, {})
    wrong += checkpoint.problems
    # One signal is obeyed after what is being done has been saved; Ctrl-C again means now.
    if len(signals) == 1 and checkpoint.iteration != n_rows(run):
        wrong.append(f"{n_rows(run)} iterations done, {checkpoint.iteration} saved")
    wrong += failures(finish(start("resume", run)), run, whole)
    return {"index": index, "after iteration": after, "and seconds": delay, "struck": struck, "failed": wrong}


def second_process(whole: Whole, work: Path, names: Sequence[str] = ("resume", "train", "train --overwrite")) -> Row:
    """While one process trains, held still for as long as it takes, others are refused; then it goes on."""
    run = work / "shared"
    used = "is in use by another process"
    again = training(run, whole.iterations)
    others = {
        "resume": (["resume", str(run)], used),
        "train": (again, "exists and is not empty"),
        "train --overwrite": ([*again, "--overwrite"], used),
    }
    wrong = []
    with start(*training(run, whole.iterations)) as first:
        wait(first, lambda: n_rows(run) > 0)
        first.send_signal(signal.SIGSTOP)
        before = contents(run)
        tried = [(start(*others[name][0]), others[name][1]) for name in names]
        for process, message in tried:
            ended = finish(process)
            if not ended.refused(str(run), message) or len(ended.errors.splitlines()) != 1:
                wrong.append(f"{ended}")
        if contents(run) != before:
            wrong.append("the others changed the run")
        first.send_signal(signal.SIGCONT)
        wrong += failures(finish(first), run, whole)
    return {"struck": list(names), "failed": wrong}


def rivals(whole: Whole, work: Path, index: int) -> Row:
    """Two starts of the same command in the same moment: one trains, the other is refused."""
    run = work / f"rivals-{index}"
    both = [start(*training(run, whole.iterations)) for _ in range(2)]
    ended = sorted((finish(process) for process in both), key=lambda each: each.code)
    wrong = failures(ended[0], run, whole)
    if not ended[1].refused(str(run)):
        wrong.append(f"{ended[1]}")
    message = "in use" if "in use" in ended[1].errors else "not empty"
    return {"index": index, "struck": [message], "failed": wrong}
