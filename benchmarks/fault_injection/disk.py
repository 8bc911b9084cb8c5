"""Full disks."""

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
"""Free space [KiB]: the configuration takes 4, a checkpoint 16, the figure about 150."""

SCRIPT = """
cd {work}
mount -t tmpfs -o size=4m none disk || exit 3
head -c {ballast} /dev/zero > disk/ballast
{train} 2> full.err; echo $? > full.code
cp -a {run} full
rm disk/ballast
if [ -e {run}/config.json ]; then {resume}; else {train}; fi 2> end.err; echo $? > end.code
cp -a {run} end
"""


def fill_disks(reference: Whole, work: Path, rooms: Sequence[int], pool: ThreadPoolExecutor) -> Iterable[Row]:
    """Train on disks with little free space and continue after freeing space; return a row per size."""
    mount_prefix, reason = private_mount_prefix(work)
    if not mount_prefix:
        return [{"skipped": reason}]
    return pool.map(partial(fill_disk, reference, work, mount_prefix), rooms)


def private_mount_prefix(work: Path) -> tuple[list[str], str]:
    """Return the command prefix that lets this user mount a private file system; or none, and the reason."""
    reason = "no unshare"
    (work / "trial").mkdir(exist_ok=True)
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        with suppress(FileNotFoundError):
            mount = [*command, "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(work / "trial")]
            attempt = subprocess.run(mount, capture_output=True, text=True, check=False)
            if attempt.returncode == 0:
                return command, ""
            reason = attempt.stderr.strip()
    return [], reason


def fill_disk(reference: Whole, work: Path, mount_prefix: Sequence[str], room: int) -> Row:
    """Train on a disk with `room` free space [KiB], free space, and continue."""
    folder = work / f"full-{room}"
    (folder / "disk").mkdir(parents=True)
    run = folder / "disk" / "run"
    command = f"cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} run.py"
    paths = {"work": folder, "run": run}
    script = SCRIPT.format(
        **{name: shlex.quote(str(path)) for name, path in paths.items()},
        train=f"({command} {shlex.join(training(run, reference.iterations))})",
        resume=f"({command} resume {shlex.quote(str(run))})",
        ballast=4 * 2**20 - room * 2**10,
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script = subprocess.run(
        [*mount_prefix, "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    ).stderr
    full, end = (
        Ended(int((folder / f"{n}.code").read_text()), (folder / f"{n}.err").read_text()) for n in ("full", "end")
    )
    problems = [] if full.refused(os.strerror(errno.ENOSPC)) else [f"{full}{script}"]
    if newest(folder / "full"):
        checkpoint = RunFolder.open(folder / "full").checkpoints.load()
        problems += checkpoint.problems
        if n_rows(folder / "full") - checkpoint.iteration > EVERY:
            problems.append(f"only {checkpoint.iteration} of {n_rows(folder / 'full')} iterations are saved")
    if writing(folder / "full"):
        problems.append("a partially written file is left")
    named = re.search(rf"{re.escape(str(run))}/?([\w./]*): ", full.errors)
    struck = re.sub(r"\d{8}", "N", named[1] or "folder") if named else "?"
    return {"KiB": room, "struck": [struck], "failed": [*problems, *failures(end, folder / "end", reference)]}
