"""Nothing is lost and nothing changes: a run that was stopped in any way ends in the bits of the uninterrupted one.

    python -m benchmarks.recovery [--quick] [--seed S]      results/recovery.json

Kills at random instants, stops before every single system call, signals and Ctrl-C during writes, mutated checkpoints,
disks that fill, two processes on one run folder. Compared byte by byte with the uninterrupted run, once it has ended:
tensors, counters and generator states of the last checkpoint, `metrics.jsonl`, `evaluation.json`, `adaptation.png`; all
but the time that training took (`seconds` in a checkpoint's state).
"""

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import tyro

from agents._config import Spec, load_plugin
from agents._files import to_json
from agents._run import VERSION, Checkpoint, RunFolder, _digest
from agents._setting import build
from agents._train import Training
from benchmarks._common import set_up, table, write_result
from qrl.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    *("--env", "navigation", "--threads", "1", "--env.horizon", "10", "--agent.meta-batch", "3"),
    *("--agent.episodes", "4", "--eval-tasks", "3", "--eval-steps", "1", "--eval-episodes", "2"),
)
"""A run of some seconds, with the default model: a circuit."""

EVERY = 3
"""Iterations between checkpoints."""

PAUSE = 0.02
SLOW = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def slowed(call):
    return lambda *a, **k: (time.sleep({PAUSE}), call(*a, **k))[1]
for name in ("fsync", "rename", "replace"):
    setattr(os, name, slowed(getattr(os, name)))
import run
sys.exit(run.main())
"""
"""run.py on a slow disk: most of the time of a run that saves at every iteration is then spent in writing."""

Row = dict[str, Any]


def main(quick: bool = False, seed: int = 0, jobs: int = 2) -> None:
    """Stop runs in every way there is and compare how they end.

    Args:
        quick: a few of each; the result goes to results/runs.
        seed: of all random instants and mutations.
        jobs: processes at a time.
    """
    set_up(threads=1)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        work = Path(folder)
        whole = uninterrupted(work / "whole", iterations=12 if quick else 30)
        original, strangers = small_runs(work)

        def each(trial: Callable[..., Row], count: int, *arguments: Any) -> Iterator[Row]:
            return pool.map(lambda index: trial(whole, work, index, seed, *arguments), range(count))

        # One after the other: a stop before a system call is one of the whole process.
        planned: dict[str, Callable[[], Iterable[Row]]] = {
            "same command again": lambda: [again(whole, work)],
            "stopped before a system call": lambda: stopped(original, work),
            "mutated checkpoint, loaded": lambda: mutated(original, strangers, work, 60 if quick else 300, seed),
            "mutated checkpoint, run.py": lambda: each(resumed_from_mutated, 2 if quick else len(MUTATIONS), strangers),
            "SIGKILL at a random instant": lambda: each(killed, 4 if quick else 30),
            "SIGTERM during a write": lambda: each(signalled, 2 if quick else 10, (signal.SIGTERM,)),
            "Ctrl-C twice during a write": lambda: each(signalled, 1 if quick else 4, (signal.SIGINT, signal.SIGINT)),
            "disk that fills": lambda: full_disks(whole, work, (0, 44) if quick else ROOMS, pool),
            "second process refused": lambda: [second_process(whole, work)],
            "two starts at once": lambda: [rivals(whole, work, index) for index in range(1 if quick else 3)],
        }
        sections = {}
        for name, trials in planned.items():
            sections[name] = list(trials())
            print(f"{name}: {found(sections[name])}", flush=True)
    rows = [summary(name, trials) for name, trials in sections.items()]
    print(table(rows))
    failed = {name: bad for name, trials in sections.items() if (bad := [row for row in trials if row.get("failed")])}
    for name, bad in failed.items():
        print(f"FAIL {name}: {bad[0]}")
    result = {"seed": seed, "seconds of the uninterrupted run": whole.seconds, "summary": rows, "pass": not failed}
    result |= {"found": {name: found(trials) for name, trials in sections.items()}}
    result |= {"trials": {name: [line(row) for row in trials] for name, trials in sections.items()}}
    write_result("recovery", result | {"minutes": round((time.perf_counter() - begun) / 60, 1)}, quick=quick)
    sys.exit(bool(failed))


def summary(name: str, trials: Sequence[Row]) -> Row:
    """One line of the table. A trial is as it should be if it has no "failed"."""
    done = [row for row in trials if "skipped" not in row]
    bad = sum(bool(row.get("failed")) for row in done)
    return {"what": name, "trials": len(done), "as it should be": len(done) - bad, "not": bad, "pass": not bad}


def found(trials: Sequence[Row]) -> str:
    """Where the trials struck, counted; or why there were none."""
    if "skipped" in trials[0]:
        return f"skipped: {trials[0]['skipped']}"
    struck = Counter(where for row in trials for where in row.get("struck", ()))
    return ", ".join(f"{where} {count}" for where, count in sorted(struck.items()))


def line(trial: Row) -> str:
    """A trial in one line: with the seed, all that is needed to repeat it."""
    shown = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in trial.items()}
    return "; ".join(f"{key} {value}" for key, value in shown.items() if value != "")


# --- runs and what they leave -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """The uninterrupted run."""

    path: Path
    iterations: int
    seconds: float
    """From the start of the process to its end [s]."""
    start_up: float
    """Until its folder is complete and training begins [s]."""
    bytes: dict[str, bytes]
    """What every other run must leave, too."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    errors: str
    """Its stderr."""

    def refused(self, *words: str) -> bool:
        """Whether it ended with code 2 and one line of complaint, in which the words stand."""
        lines = self.errors.splitlines()
        complaints = [line for line in lines if line.startswith("run.py: error: ")]
        known = all(re.match(r"run\.py: error: |iteration \d|warning: |note: ", line) for line in lines)
        one = self.code == 2 and known and lines[-1:] == complaints
        return one and all(word in complaints[0] for word in words)


def start(*arguments: object, slow: bool = False) -> subprocess.Popen[str]:
    """Start run.py."""
    command = [sys.executable, *(("-c", SLOW) if slow else ("run.py",)), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    _, errors = process.communicate(timeout=300)
    return Ended(process.returncode, errors)


def training(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """The arguments that start a small run."""
    return ["train", *SMALL, "--iterations", str(iterations), "--checkpoint-every", str(every), "--out", str(run)]


def going_on(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """What the user types after a stop: `resume`, or the first command again if there is nothing to resume yet."""
    return ["resume", str(run)] if (run / "config.json").exists() else training(run, iterations, every)


def uninterrupted(run: Path, iterations: int) -> Whole:
    """Train and evaluate without interruption."""
    begun = time.perf_counter()
    with start(*training(run, iterations)) as process:
        wait(process, (run / "config.json").exists)
        start_up = time.perf_counter() - begun
        ended = finish(process)
    seconds = time.perf_counter() - begun
    if ended.code:
        raise RuntimeError(ended.errors)
    return Whole(run, iterations, seconds, start_up, outcome(run))


def wait(process: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    """Wait for something that a process does, or for its end."""
    while process.poll() is None and not until():
        time.sleep(0.002)


def newest(run: Path) -> int:
    """Iteration of the newest checkpoint, damaged or not; 0 without one."""
    return max(RunFolder(run, {}).checkpoints(), default=0)


def outcome(run: Path) -> dict[str, bytes]:
    """What is compared of a run that has ended."""
    checkpoint = run / "checkpoint" / f"{newest(run):08d}"
    state = json.loads((checkpoint / "state.json").read_bytes())
    del state["meta"]["seconds"]
    return {
        "tensors": (checkpoint / "state.safetensors").read_bytes(),
        "state": to_json({key: state[key] for key in ("iteration", "meta")}).encode(),
        "metrics": (run / "metrics.jsonl").read_bytes(),
        "evaluation": (run / "evaluation.json").read_bytes(),
        "picture": (run / "adaptation.png").read_bytes(),
    }


def failures(ended: Ended, run: Path, whole: Whole) -> list[str]:
    """What is wrong with a run that should have ended as the uninterrupted one; then its folder is removed."""
    if ended.code:
        return [f"exit code {ended.code}: {ended.errors[-500:]}"]
    theirs = outcome(run)
    shutil.rmtree(run)
    return [f"{name} differs" for name, data in whole.bytes.items() if theirs[name] != data]


def n_rows(run: Path) -> int:
    """Iterations in metrics.jsonl."""
    with suppress(FileNotFoundError):
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def writing(run: Path) -> bool:
    """Whether a file or checkpoint of the run is half written."""
    return any(run.glob(".*.tmp")) or any((run / "checkpoint").glob(".*.tmp"))


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


# --- ends from outside ------------------------------------------------------------------------------------------------


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
    checkpoint = RunFolder.open(run).load() if newest(run) else Checkpoint(0, {}, {})
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


# --- a disk that fills ------------------------------------------------------------------------------------------------

ROOMS = (0, 4, 8, 20, 24, 32, 44, 52, 60, 100)
"""What the disk has room for [KiB]: the configuration takes 4, a checkpoint 16, the picture some 150."""

FILLS = """
cd {work}
mount -t tmpfs -o size=4m none disk || exit 3
head -c {ballast} /dev/zero > disk/ballast
{train} 2> full.err; echo $? > full.code
cp -a {run} full
rm disk/ballast
if [ -e {run}/config.json ]; then {resume}; else {train}; fi 2> end.err; echo $? > end.code
cp -a {run} end
"""


def full_disks(whole: Whole, work: Path, rooms: Sequence[int], pool: ThreadPoolExecutor) -> Iterable[Row]:
    """Runs on a disk of a few KiB, and again once there is space."""
    mounting, reason = own_mounts(work)
    if not mounting:
        return [{"skipped": reason}]
    return pool.map(partial(full_disk, whole, work, mounting), rooms)


def own_mounts(work: Path) -> tuple[list[str], str]:
    """The command under which this user may mount a file system of their own; or none, and why."""
    reason = "no unshare"
    (work / "trial").mkdir(exist_ok=True)
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        with suppress(FileNotFoundError):
            mount = [*command, "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(work / "trial")]
            tried = subprocess.run(mount, capture_output=True, text=True, check=False)
            if tried.returncode == 0:
                return command, ""
            reason = tried.stderr.strip()
    return [], reason


def full_disk(whole: Whole, work: Path, mounting: Sequence[str], room: int) -> Row:
    """Train on a disk with so much room [KiB], free space, go on."""
    here = work / f"full-{room}"
    (here / "disk").mkdir(parents=True)
    run = here / "disk" / "run"
    command = f"cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} run.py"
    places = {"work": here, "run": run}
    script = FILLS.format(
        **{name: shlex.quote(str(path)) for name, path in places.items()},
        train=f"({command} {shlex.join(training(run, whole.iterations))})",
        resume=f"({command} resume {shlex.quote(str(run))})",
        ballast=4 * 2**20 - room * 2**10,
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script = subprocess.run(
        [*mounting, "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    ).stderr
    full, end = (Ended(int((here / f"{n}.code").read_text()), (here / f"{n}.err").read_text()) for n in ("full", "end"))
    wrong = [] if full.refused(os.strerror(errno.ENOSPC)) else [f"{full}{script}"]
    if newest(here / "full"):
        checkpoint = RunFolder.open(here / "full").load()
        wrong += checkpoint.problems
        if n_rows(here / "full") - checkpoint.iteration > EVERY:
            wrong.append(f"only {checkpoint.iteration} of {n_rows(here / 'full')} iterations are saved")
    if writing(here / "full"):
        wrong.append("a half-written file is left")
    named = re.search(rf"{re.escape(str(run))}/?([\w./]*): ", full.errors)
    struck = re.sub(r"\d{8}", "N", named[1] or "folder") if named else "?"
    return {"KiB": room, "struck": [struck], "failed": [*wrong, *failures(end, here / "end", whole)]}


# --- a stop before every system call ----------------------------------------------------------------------------------


class Stop(BaseException):
    """The end of a process, as far as its files can tell."""


@contextmanager
def stopping(at: int) -> Iterator[list[str]]:
    """Let the first `at` calls that change files happen, and half of the next one if it is a write; then none.

    What is in the system's hands survives a killed process, so this leaves what SIGKILL at that instant would leave.
    Yields the calls so far.
    """
    calls: list[str] = []

    def until(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            calls.append(name)
            if len(calls) <= at:
                return call(*arguments, **keywords)
            if name == "write" and len(calls) == at + 1:
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise Stop

        return counted

    names = ("open", "write", "fsync", "ftruncate", "mkdir", "rename", "replace", "unlink", "rmdir")
    patched: dict[str, Any] = {name: until(name, getattr(os, name)) for name in names}
    with mock.patch.multiple(os, **patched):
        yield calls


def stopped(original: RunFolder, work: Path) -> Iterator[Row]:
    """Stop every operation on a run folder before each of its system calls; what is left must be usable."""
    run = work / "stopped"
    for name, operation in OPERATIONS.items():
        for at in range(10_000):
            shutil.rmtree(run, ignore_errors=True)
            if name != "create":
                shutil.copytree(original.path, run)
            wrong: list[str] = []
            with suppress(Stop), stopping(at) as calls:
                operation(run, original)
            try:
                check_left(name, run, original)
                operation(run, original)
                check_done(name, run, original)
            except (Exception, Stop) as error:
                wrong = [f"{type(error).__name__}: {error}"]
            if len(calls) <= at:
                break
            yield {"call": at, "before": calls[-1], "struck": [name], "failed": wrong}


def _overwrite(run: Path, original: RunFolder) -> None:
    RunFolder.create(run, original.config | {"again": True}, overwrite=True)


def _create(run: Path, original: RunFolder) -> None:
    with suppress(UsageError):  # after a stop too late to matter
        RunFolder.create(run, original.config)


def _save(iteration: int, run: Path, original: RunFolder) -> None:
    checkpoint = original.load()
    RunFolder.open(run).save(iteration, checkpoint.tensors, checkpoint.meta | {"saved": "again"})


def _extend(run: Path, original: RunFolder) -> None:
    folder = RunFolder.open(run)
    folder.update_config(folder.config | {"spec": folder.config["spec"] | {"iterations": 99}})


def _log(run: Path, original: RunFolder) -> None:
    folder = RunFolder.open(run)
    folder.trim_metrics(2)  # as resuming does: half a row is cut away
    folder.log(original.metrics()[-1] | {"iteration": 3})


OPERATIONS: dict[str, Callable[[Path, RunFolder], Any]] = {
    "create": _create,
    "overwrite": _overwrite,
    "save": partial(_save, 3),
    "save again": partial(_save, 2),
    "log": _log,
    "trim metrics": lambda run, _: RunFolder.open(run).trim_metrics(1),
    "extend": _extend,
    "evaluation": lambda run, _: RunFolder.open(run).write_json("evaluation.json", {"mean": [1.5] * 50}),
}


def check_left(name: str, run: Path, original: RunFolder) -> None:
    """What an operation that was stopped leaves is the old or the new, whole."""
    if name == "create":
        return  # It can be made again: `check_done`.
    folder = RunFolder.open(run)
    if name == "overwrite":
        if folder.checkpoints():
            expect(folder.load().problems == (), "checkpoint")
        return
    checkpoint, intact = folder.load(), original.load()
    expect(checkpoint.problems == (), "checkpoint")
    if checkpoint.iteration == 1:
        # The one before, while the one of the same iteration is being replaced.
        expect(name == "save again", "iteration")
        intact = Checkpoint(1, *original._load(1))
    expect(equal(checkpoint.tensors, intact.tensors), "tensors")
    expect(checkpoint.meta in (intact.meta, intact.meta | {"saved": "again"}), "meta")
    done = [row["iteration"] for row in folder.metrics()]
    expect(done == [1, 2] or done == {"trim metrics": [1], "log": [1, 2, 3]}.get(name), f"rows {done}")
    expect(folder.config["spec"]["iterations"] in {original.config["spec"]["iterations"], 99}, "configuration")
    if (run / "evaluation.json").exists():
        json.loads((run / "evaluation.json").read_bytes())


def check_done(name: str, run: Path, original: RunFolder) -> None:
    """What the operation leaves when it is done again."""
    folder = RunFolder.open(run)
    left = sorted(entry.name for entry in run.iterdir() if not entry.name.endswith(".tmp"))
    if name in ("create", "overwrite"):
        expect(left == [".lock", "config.json"], f"{left}")
        return
    kept = [1, 2] if name != "save" else [2, 3]
    expect(folder.checkpoints() == kept and not folder.load().problems, "checkpoints")
    expect(not name.startswith("save") or not any(run.glob("checkpoint/.*.tmp")), "remains of a checkpoint")


def expect(true: bool, what: str) -> None:
    """A check that python -O keeps."""
    if not true:
        raise AssertionError(what)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two checkpoints hold the same tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- mutated files ----------------------------------------------------------------------------------------------------


def small_runs(work: Path) -> tuple[RunFolder, list[RunFolder]]:
    """A run with checkpoints at iterations 1 and 2; and another seed and another model, whose digests are right too."""
    return small_run(work / "original"), [small_run(work / "seed", seed=1), small_run(work / "mlp", model="mlp")]


def small_run(path: Path, **fields: Any) -> RunFolder:
    """Two iterations in this process, with a checkpoint after each."""
    env = load_plugin("env", "navigation").Config(horizon=5)
    agent = load_plugin("agent", "maml").Config(meta_batch=2, episodes=3)
    spec = Spec.default(env="navigation", env_config=env, agent_config=agent, iterations=2, threads=1, **fields)
    run = RunFolder.create(path, {"spec": spec.to_json()})
    course = Training(spec, *build(spec))
    for _ in range(2):
        run.log(course.step())
        course.save(run)
    return run


Mutate = Callable[[np.random.Generator, Path, Sequence[RunFolder]], str]
"""Damages a run folder; what it did."""


def _checkpoint(run: Path, back: int = 0) -> Path:
    return run / "checkpoint" / f"{RunFolder(run, {}).checkpoints()[-1 - back]:08d}"


def _flip(file: Path, rng: np.random.Generator) -> str:
    data = bytearray(file.read_bytes())
    place, mask = int(rng.integers(len(data))), int(rng.integers(1, 256))
    data[place] ^= mask
    file.write_bytes(data)
    return f"byte {place} ^ {mask:#x}"


def _cut(file: Path, rng: np.random.Generator) -> str:
    data = file.read_bytes()
    length = 0 if rng.random() < 0.2 else int(rng.integers(len(data)))
    file.write_bytes(data[:length])
    return f"{length} of {len(data)} bytes"


def _append(file: Path, rng: np.random.Generator) -> str:
    more = (b"\n", b" ", b"\0", b"{}", rng.bytes(1), rng.bytes(100))[rng.integers(6)]
    file.write_bytes(file.read_bytes() + more)
    return f"and {more[:8].hex()}"


def _remove(file: Path, rng: np.random.Generator) -> str:
    file.unlink()
    if rng.random() < 0.3:
        file.mkdir()
        return "is a folder"
    return "is missing"


def damaged(damage: Callable[[Path, np.random.Generator], str], name: str = "") -> Mutate:
    """Damage a file of the newest checkpoint; either of them without a name."""

    def mutate(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
        file = _checkpoint(run) / (name or FILES[rng.integers(2)])
        return f"{file.name}: {damage(file, rng)}"

    return mutate


def damaged_configuration(damage: Callable[[Path, np.random.Generator], str]) -> Mutate:
    """Damage config.json, until it is other JSON: white space does not count there."""

    def mutate(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
        file = run / "config.json"
        intact = file.read_bytes()
        while True:
            file.write_bytes(intact)
            done = damage(file, rng)
            try:
                if json.loads(file.read_bytes()) != json.loads(intact):
                    return done
            except ValueError:
                return done

    return mutate


def _swapped(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
    name = FILES[rng.integers(2)]
    one, two = (_checkpoint(run, back) / name for back in (0, 1))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    return name


def _other_iteration(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
    names = FILES if rng.random() < 0.6 else (FILES[rng.integers(2)],)
    for name in names:
        shutil.copy(_checkpoint(run, 1) / name, _checkpoint(run) / name)
    return " and ".join(names)


def _stranger(which: int) -> Mutate:
    def mutate(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
        names = FILES if rng.random() < 0.6 else (FILES[rng.integers(2)],)
        for name in names:
            shutil.copy(_checkpoint(strangers[which].path) / name, _checkpoint(run) / name)
        return " and ".join(names)

    return mutate


def _newer(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
    file = _checkpoint(run) / "state.json"
    content = json.loads(file.read_bytes()) | {"version": VERSION + int(rng.integers(1, 1000))}
    del content["digest"]
    file.write_text(to_json({**content, "digest": _digest(content)}) + "\n")
    return f"version {content['version']}"


def _both(rng: np.random.Generator, run: Path, strangers: Sequence[RunFolder]) -> str:
    done = []
    for back in (0, 1):
        damage, name = (_flip, _cut, _append, _remove)[rng.integers(4)], FILES[rng.integers(2)]
        done.append(f"{name}: {damage(_checkpoint(run, back) / name, rng)}")
    return "; ".join(done)


FILES = ("state.safetensors", "state.json")
MUTATIONS: dict[str, tuple[int, Mutate]] = {
    "flipped byte of tensors": (50, damaged(_flip, FILES[0])),
    "flipped byte of state": (50, damaged(_flip, FILES[1])),
    "cut tensors": (30, damaged(_cut, FILES[0])),
    "cut state": (30, damaged(_cut, FILES[1])),
    "appended bytes": (20, damaged(_append)),
    "missing file": (15, damaged(_remove)),
    "file of the iteration before": (15, _other_iteration),
    "file of another seed's run": (15, _stranger(0)),
    "file of another model's run": (15, _stranger(1)),
    "newer format": (10, _newer),
    "files swapped between the two": (10, _swapped),
    "both damaged": (20, _both),
    "flipped byte of config.json": (10, damaged_configuration(_flip)),
    "cut config.json": (10, damaged_configuration(_cut)),
}
"""Kind: how many of 300, and what it does."""

NOTHING_LEFT = ("files swapped between the two", "both damaged")


def draw(index: int, seed: int) -> tuple[str, Mutate, np.random.Generator]:
    """The kind of mutation with this index, and its generator."""
    # In an order that has every kind early on: a smaller number is a sample of all of them.
    order = sorted((number / count, kind) for kind, (count, _) in MUTATIONS.items() for number in range(count))
    kind = order[index % len(order)][1]
    return kind, MUTATIONS[kind][1], np.random.default_rng([seed, 3, index])


def mutated(original: RunFolder, strangers: Sequence[RunFolder], work: Path, count: int, seed: int) -> list[Row]:
    """Load run folders with damaged files."""
    return [mutation(original, strangers, work / "mutated", index, seed) for index in range(count)]


def mutation(original: RunFolder, strangers: Sequence[RunFolder], run: Path, index: int, seed: int) -> Row:
    """Damage a copy of the run, load it, and judge: "recognised" is the only right verdict."""
    kind, mutate, rng = draw(index, seed)
    shutil.copytree(original.path, run)
    done = mutate(rng, run, strangers)
    try:
        verdict = judge(kind, run, original)
    except Exception as error:
        verdict = f"crashed: {type(error).__name__}: {error}"
    shutil.rmtree(run)
    wrong = [] if verdict == "recognised" else [verdict]
    return {"index": index, "struck": [kind], "did": done, "verdict": verdict, "failed": wrong}


def judge(kind: str, run: Path, original: RunFolder) -> str:
    """Load a damaged run: recognised, or loaded silently, or badly told."""
    both = [str(run / "checkpoint" / f"{iteration:08d}") for iteration in (1, 2)]
    try:
        checkpoint = RunFolder.open(run).load()
    except UsageError as error:
        expected = [str(run)] if "config.json" in kind else both if kind in NOTHING_LEFT else ["a checkpoint left"]
        told = "\n" not in str(error) and all(name in str(error) for name in expected)
        return "recognised" if told else f"badly told: {error}"
    if checkpoint.iteration != 1 or "config.json" in kind or kind in NOTHING_LEFT:
        return "loaded silently"
    tensors, meta = original._load(1)
    if not equal(checkpoint.tensors, tensors) or checkpoint.meta != meta:
        return "the checkpoint before is not what it was"
    named = len(checkpoint.problems) == 1 and both[1] in checkpoint.problems[0]
    return "recognised" if named else f"badly told: {checkpoint.problems}"


def resumed_from_mutated(whole: Whole, work: Path, index: int, seed: int, strangers: Sequence[RunFolder]) -> Row:
    """The same through run.py: it goes on from the checkpoint before, to the same end, or refuses in one line."""
    kind, mutate, rng = draw(index, seed)
    run = work / f"resumed-{index}"
    shutil.copytree(whole.path, run)
    done = mutate(rng, run, strangers)
    if kind not in NOTHING_LEFT and "config.json" not in kind:
        ended = finish(start("resume", run))
        wrong = [] if f"warning: {_checkpoint(run)}" in ended.errors else [f"no warning: {ended}"]
        wrong += failures(ended, run, whole)
    else:
        before = contents(run)
        tried = [finish(start(command, run)) for command in ("resume", "evaluate")]
        wrong = [f"{each}" for each in tried if not each.refused(str(run)) or len(each.errors.splitlines()) != 1]
        wrong += [] if contents(run) == before else ["something was written"]
    return {"index": index, "struck": [kind], "did": done, "failed": wrong}


if __name__ == "__main__":
    tyro.cli(main)
