"""A disk that fills."""

import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from agents.runs.folder import RunFolder
from benchmarks.fault_injection.runs import EVERY, ROOT, Ended, Row, Whole, failures, n_rows, newest, training, writing

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
        checkpoint = RunFolder.open(here / "full").checkpoints.load()
        wrong += checkpoint.problems
        if n_rows(here / "full") - checkpoint.iteration > EVERY:
            wrong.append(f"only {checkpoint.iteration} of {n_rows(here / 'full')} iterations are saved")
    if writing(here / "full"):
        wrong.append("a half-written file is left")
    named = re.search(rf"{re.escape(str(run))}/?([\w./]*): ", full.errors)
    struck = re.sub(r"\d{8}", "N", named[1] or "folder") if named else "?"
    return {"KiB": room, "struck": [struck], "failed": [*wrong, *failures(end, here / "end", whole)]}
