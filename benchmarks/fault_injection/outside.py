"""External interruptions: kills, signals, other processes on the same folder."""

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


def repeat_command(reference: Whole, work: Path) -> Row:
    """Repeat the command in another folder, which must agree, and with another seed, which must differ."""
    same, other = work / "same", work / "other-seed"
    problems = failures(finish(start(*training(same, reference.iterations))), same, reference)
    ended = finish(start(*training(other, reference.iterations), "--seed", "1"))
    if ended.code or outcome(other)["tensors"] == reference.bytes["tensors"]:
        problems.append("another seed gives the same tensors")
    return {"struck": ["same seed, and another one"], "failed": problems}


def kill_and_resume(reference: Whole, work: Path, index: int, seed: int) -> Row:
    """Kill a run, every third one twice, and resume it to its end.

    In turn, instants are uniform over the life of the process, over the time after the creation of its folder, or over
    the time after the first checkpoint. A process that ends before its instant is restarted with another instant.
    """
    rng = np.random.default_rng([seed, 1, index])
    run = work / f"killed-{index}"
    since = (None, run / "config.json", first_checkpoint(run))[index % 3]
    life = reference.seconds if since is None else reference.seconds - reference.start_up
    too_late = 0
    while not kill(training(run, reference.iterations), instant := life * rng.uniform(), since):
        shutil.rmtree(run)
        too_late += 1
    instants, struck = [f"{instant:.3f} from {'the start' if since is None else since.name}"], [stage(run, reference)]
    if index % 3 == 2:
        instant = reference.seconds * rng.uniform()
        if kill(going_on(run, reference.iterations), instant):
            instants.append(f"{instant:.3f} from the start of resuming")
            struck.append(f"again: {stage(run, reference)}")
    problems = failures(finish(start(*going_on(run, reference.iterations))), run, reference)
    return {"index": index, "seconds": instants, "too late": too_late, "struck": struck, "failed": problems}


def first_checkpoint(run: Path) -> Path:
    """Return the path of the first checkpoint."""
    return run / "checkpoint" / f"{EVERY:08d}"


def kill(arguments: Sequence[str], after: float, since: Path | None = None) -> bool:
    """Start run.py and kill it `after` seconds from its start or a file's creation; return whether it was running."""
    with start(*arguments) as process:
        if since is not None:
            wait(process, since.exists)
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode == -signal.SIGKILL


def stage(run: Path, reference: Whole) -> str:
    """Return the stage in which a run was killed."""
    if not (run / "config.json").exists():
        return "start-up"
    done = newest(run)
    where = "training" if done < reference.iterations else "evaluation"
    where = where if done else "training, before the first checkpoint"
    return f"{where}, writing" if writing(run) else where


def signal_and_resume(reference: Whole, work: Path, index: int, seed: int, signals: Sequence[signal.Signals]) -> Row:
    """Send signals during the write of a checkpoint, then resume."""
    rng = np.random.default_rng([seed, 2, len(signals), index])
    run = work / f"signalled-{len(signals)}-{index}"
    after, delay = int(rng.integers(1, reference.iterations // 2)), float(rng.uniform(0, 4 * PAUSE))
    with start(*training(run, reference.iterations, every=1), slow=True) as process:
        wait(process, lambda: n_rows(run) >= after and any(run.glob("checkpoint/.*.tmp")))
        time.sleep(delay)
        struck = ["writing" if writing(run) else "between writes"]
        for number in signals:
            process.send_signal(number)
            time.sleep(PAUSE)
        ended = finish(process)
    expected = 128 + signals[0]
    problems = [] if ended.code == expected and "Traceback" not in ended.errors else [f"{ended}"]
    checkpoint = RunFolder.open(run).checkpoints.load() if newest(run) else Checkpoint(0, {}, {})
    problems += checkpoint.problems
    # One signal stops the run after saving the current iteration; a second Ctrl-C stops it immediately.
    if len(signals) == 1 and checkpoint.iteration != n_rows(run):
        problems.append(f"{n_rows(run)} iterations done, {checkpoint.iteration} saved")
    problems += failures(finish(start("resume", run)), run, reference)
    return {"index": index, "after iteration": after, "and seconds": delay, "struck": struck, "failed": problems}


def second_process(
    reference: Whole, work: Path, names: Sequence[str] = ("resume", "train", "train --overwrite")
) -> Row:
    """Pause a training process, check that other processes on its folder are refused, and let it continue."""
    run = work / "shared"
    used = "is in use by another process"
    train_arguments = training(run, reference.iterations)
    others = {
        "resume": (["resume", str(run)], used),
        "train": (train_arguments, "exists and is not empty"),
        "train --overwrite": ([*train_arguments, "--overwrite"], used),
    }
    problems = []
    with start(*training(run, reference.iterations)) as first:
        wait(first, lambda: n_rows(run) > 0)
        first.send_signal(signal.SIGSTOP)
        before = contents(run)
        attempts = [(start(*others[name][0]), others[name][1]) for name in names]
        for process, message in attempts:
            ended = finish(process)
            if not ended.refused(str(run), message) or len(ended.errors.splitlines()) != 1:
                problems.append(f"{ended}")
        if contents(run) != before:
            problems.append("the others changed the run")
        first.send_signal(signal.SIGCONT)
        problems += failures(finish(first), run, reference)
    return {"struck": list(names), "failed": problems}


def start_simultaneously(reference: Whole, work: Path, index: int) -> Row:
    """Start the same command twice at the same time: one trains, the other is refused."""
    run = work / f"rivals-{index}"
    both = [start(*training(run, reference.iterations)) for _ in range(2)]
    ended = sorted((finish(process) for process in both), key=lambda each: each.code)
    problems = failures(ended[0], run, reference)
    if not ended[1].refused(str(run)):
        problems.append(f"{ended[1]}")
    message = "in use" if "in use" in ended[1].errors else "not empty"
    return {"index": index, "struck": [message], "failed": problems}
