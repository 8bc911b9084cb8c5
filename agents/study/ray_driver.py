"""Process that talks to Ray for a sweep: requests on standard input, replies on standard output, JSON line by line.

    python -P -m agents.study.ray_driver FOLDER [ADDRESS] < requests > replies

    request  {"do": "submit", "job": 0, "words": [...], "log": PATH, "folder": PATH, "environ": {...}, "cpus": 1, ...}
             {"do": "cancel", "job": 0, "at_once": false}
    reply    {"cpus": 8}                     Ray answers; it has so many CPUs
             {"job": 0, "code": 0}           the command of a job has ended with this exit code
             {"job": 0, "failed": "..."}     it could not be started
             {"job": 0, "lost": "..."}       its machine or worker process has died
             {"error": "..."}                Ray does not answer

FOLDER is that of a Ray of this machine. Ray prints on both streams, takes signals over, and ends its process when the
connection is lost. In a process of its own, none of this reaches the sweep. If the sweep is killed, the requests end:
then this process ends the jobs and Ray in good order, of which Ray itself would leave processes for minutes.
"""

import json
import os
import queue
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TextIO, TypedDict

import ray

POLL = 0.05
"""Time between two looks at the running jobs [s]."""

STORE = 80 * 2**20
"""Object store of a local Ray [bytes]: little more than the least that Ray accepts, as jobs leave nothing there."""


class Request(TypedDict):
    """Request; those to cancel a job have the first two keys and `at_once`, the others the rest."""

    do: str
    job: int
    at_once: bool
    words: list[str]
    log: str
    folder: str
    environ: dict[str, str]
    cpus: int
    gpus: int


def run_command(words: Sequence[str], log: str, folder: str, environ: Mapping[str, str]) -> int:
    """Run `python -m agents WORDS` on a worker of Ray, and return its exit code.

    It belongs to the module `__main__`, so that Ray sends its code: a worker need not import this package, nor finds
    another one of its name. An interruption, by `ray.cancel`, is passed on as SIGTERM: a run then saves its state.

    Raises:
        OSError: this machine does not have the folder or the log.
    """
    import os
    import signal
    import socket
    import subprocess
    import sys
    import time

    # Ignored where a shell has started Ray in the background; then Ray could not interrupt this function.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gpus = {name: value for name, value in os.environ.items() if name == "CUDA_VISIBLE_DEVICES"}
    descriptor = -1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agents.study.child", str(os.getpid()), *words],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=folder,
            env={**environ, **gpus},
            process_group=0,
        )
    except OSError as error:
        raise OSError(f"machine {socket.gethostname()}: {error}") from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    while True:
        try:
            while process.poll() is None:
                time.sleep(0.05)  # Ray interrupts Python code only, no wait of the operating system.
            return process.returncode
        except KeyboardInterrupt:
            process.terminate()


class Driver:
    """Jobs on Ray, by their numbers."""

    def __init__(self, replies: TextIO) -> None:
        self._replies = replies
        self._jobs: dict[int, "ray.ObjectRef[int]"] = {}
        # A lost job is the sweep's to submit again: its command is another one then.
        self._run = ray.remote(max_retries=0)(run_command)

    def serve(self, requests: "queue.Queue[str]") -> None:
        """Take requests and watch the jobs until an empty line, which is the end of the requests; then end the jobs."""
        while True:
            try:
                line = requests.get(timeout=POLL)
            except queue.Empty:
                line = None
            if line == "":
                break
            if line is not None:
                self._take(json.loads(line))
            self._look()
        for reference in self._jobs.values():
            ray.cancel(reference, force=True)

    def reply(self, **content: object) -> None:
        """Write a reply."""
        print(json.dumps(content), file=self._replies, flush=True)

    def _take(self, request: Request) -> None:
        number = request["job"]
        if request["do"] == "submit":
            place = self._run.options(**_reserved(request["cpus"], request["gpus"]))
            self._jobs[number] = place.remote(request["words"], request["log"], request["folder"], request["environ"])
        elif number in self._jobs:
            ray.cancel(self._jobs[number], force=request["at_once"])

    def _look(self) -> None:
        """Reply about each job that has ended."""
        for number, reference in list(self._jobs.items()):
            if ray.wait([reference], timeout=0)[0]:
                del self._jobs[number]
                self.reply(job=number, **_outcome(reference))


def _outcome(reference: "ray.ObjectRef[int]") -> dict[str, object]:
    try:
        return {"code": ray.get(reference)}
    except ray.exceptions.TaskCancelledError:
        return {"code": -9}
    except ray.exceptions.RayTaskError as error:
        return {"failed": str(error.cause)}
    except ray.exceptions.RayError as error:
        return {"lost": str(error).partition("\n")[0].partition(". ")[0]}


def _reserved(cpus: int, gpus: int) -> dict[str, float]:
    """Return the resources that a job reserves: no more than the largest machine has, so that it runs there.

    Without any CPU, it reserves what it asks for: a cluster that grows on demand has none before.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    largest = {key: max((machine.get(key, 0) for machine in machines), default=0) for key in ("CPU", "GPU")}
    return {"num_cpus": min(cpus, largest["CPU"] or cpus), "num_gpus": min(gpus, largest["GPU"])}


def _start(folder: str, address: str | None) -> None:
    """Start a Ray on this machine, or connect to the one at an address."""
    if address is not None:
        ray.init(address=address, log_to_driver=False)
        return
    ray.init(address="local", include_dashboard=False, log_to_driver=False, object_store_memory=STORE, _temp_dir=folder)


def _read(lines: TextIO, requests: "queue.Queue[str]") -> None:
    """Pass on the lines of a stream, and an empty one at its end."""
    for line in lines:
        requests.put(line)
    requests.put("")


def main(folder: str, address: str | None = None) -> None:
    """Connect to Ray and serve the sweep."""
    # The processes of Ray inherit the standard streams: they print where errors go, and read nothing.
    lines, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    driver = Driver(replies)
    try:
        _start(folder, address)
        driver.reply(cpus=int(ray.cluster_resources().get("CPU", 0)))
        requests: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=(lines, requests), daemon=True).start()
        driver.serve(requests)
    except BrokenPipeError:
        pass  # The sweep has been killed.
    except (Exception, SystemExit) as error:
        driver.reply(error=str(error))
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
