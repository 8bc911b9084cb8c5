"""Small studies, and an executor that runs their jobs in this process."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.main import main
from agents.study.executor import Job

SMALL = [
    *("--iterations", "2", "--agent.meta-batch", "2", "--agent.episodes", "3", "--env.horizon", "5"),
    *("--eval-tasks", "2", "--eval-episodes", "2", "--eval-steps", "1"),
]
"""Options of a run of a fraction of a second on navigation."""


@dataclass
class Ended:
    """Handle of a job that has ended."""

    code: int

    def poll(self) -> int:
        return self.code

    def cancel(self, *, at_once: bool = False) -> None:
        """Do nothing."""


@dataclass
class InProcess:
    """Executor that runs a job in this process when it is submitted."""

    words: list[tuple[str, ...]] = field(default_factory=list)
    """Words of all submitted jobs."""
    room: int = 1

    def submit(self, job: Job) -> Ended:
        self.words.append(job.words)
        job.log.write_text("started\n")
        return Ended(main(list(job.words)))


def results(run: Path) -> dict[str, bytes]:
    """Return what training and evaluation wrote into a run folder, without times and origins."""
    (last,) = sorted((run / "checkpoint").iterdir())[-1:]
    state = json.loads((last / "state.json").read_bytes())["meta"]
    state.pop("seconds")
    names = ("metrics.jsonl", "evaluation.json")
    found = {name: (run / name).read_bytes() for name in names}
    return found | {"tensors": (last / "state.safetensors").read_bytes(), "state": json.dumps(state).encode()}
