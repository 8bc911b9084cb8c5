"""Damaged files in a run folder: flipped bytes, truncated, swapped, from other runs, of a newer format."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from agents.runs.folder import RunFolder
from agents.runs.seal import VERSION, digest
from benchmarks.fault_injection.runs import Row, Whole, contents, equal, failures, finish, start
from qrl.common.errors import UsageError
from qrl.common.files import to_json

Mutate = Callable[[np.random.Generator, Path, Sequence[RunFolder]], str]
"""Function that damages a run folder and returns a description of the damage."""


def _checkpoint(run: Path, back: int = 0) -> Path:
    return run / "checkpoint" / f"{RunFolder(run, {}).checkpoints.iterations()[-1 - back]:08d}"


def _flip(file: Path, rng: np.random.Generator) -> str:
    data = bytearray(file.read_bytes())
    position, mask = int(rng.integers(len(data))), int(rng.integers(1, 256))
    data[position] ^= mask
    file.write_bytes(data)
    return f"byte {position} ^ {mask:#x}"


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
    """Return a mutation that damages a file of the newest checkpoint: the named one, or a random one."""

    def mutate(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
        file = _checkpoint(run) / (name or FILES[rng.integers(2)])
        return f"{file.name}: {damage(file, rng)}"

    return mutate


def damaged_configuration(damage: Callable[[Path, np.random.Generator], str]) -> Mutate:
    """Return a mutation that damages config.json until its JSON value changes, as white space is irrelevant."""

    def mutate(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
        file = run / "config.json"
        intact = file.read_bytes()
        while True:
            file.write_bytes(intact)
            description = damage(file, rng)
            try:
                if json.loads(file.read_bytes()) != json.loads(intact):
                    return description
            except ValueError:
                return description

    return mutate


def _swapped(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
    name = FILES[rng.integers(2)]
    one, two = (_checkpoint(run, back) / name for back in (0, 1))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    return name


def _other_iteration(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
    names = FILES if rng.random() < 0.6 else (FILES[rng.integers(2)],)
    for name in names:
        shutil.copy(_checkpoint(run, 1) / name, _checkpoint(run) / name)
    return " and ".join(names)


def _foreign(which: int) -> Mutate:
    def mutate(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
        names = FILES if rng.random() < 0.6 else (FILES[rng.integers(2)],)
        for name in names:
            shutil.copy(_checkpoint(foreign_runs[which].path) / name, _checkpoint(run) / name)
        return " and ".join(names)

    return mutate


def _newer(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
    file = _checkpoint(run) / "state.json"
    content = json.loads(file.read_bytes()) | {"version": VERSION + int(rng.integers(1, 1000))}
    del content["digest"]
    file.write_text(to_json({**content, "digest": digest(content)}) + "\n")
    return f"version {content['version']}"


def _both(rng: np.random.Generator, run: Path, foreign_runs: Sequence[RunFolder]) -> str:
    description = []
    for back in (0, 1):
        damage, name = (_flip, _cut, _append, _remove)[rng.integers(4)], FILES[rng.integers(2)]
        description.append(f"{name}: {damage(_checkpoint(run, back) / name, rng)}")
    return "; ".join(description)


FILES = ("state.safetensors", "state.json")
MUTATIONS: dict[str, tuple[int, Mutate]] = {
    "flipped byte of tensors": (50, damaged(_flip, FILES[0])),
    "flipped byte of state": (50, damaged(_flip, FILES[1])),
    "cut tensors": (30, damaged(_cut, FILES[0])),
    "cut state": (30, damaged(_cut, FILES[1])),
    "appended bytes": (20, damaged(_append)),
    "missing file": (15, damaged(_remove)),
    "file of the iteration before": (15, _other_iteration),
    "file of another seed's run": (15, _foreign(0)),
    "file of another model's run": (15, _foreign(1)),
    "newer format": (10, _newer),
    "files swapped between the two": (10, _swapped),
    "both damaged": (20, _both),
    "flipped byte of config.json": (10, damaged_configuration(_flip)),
    "cut config.json": (10, damaged_configuration(_cut)),
}
"""Number among 300 and function of each kind of mutation."""

NOTHING_LEFT = ("files swapped between the two", "both damaged")


def draw_mutation(index: int, seed: int) -> tuple[str, Mutate, np.random.Generator]:
    """Return the mutation with this index and its random generator."""
    # Ordered such that every kind occurs early, so that a smaller number samples all of them.
    order = sorted((number / count, kind) for kind, (count, _) in MUTATIONS.items() for number in range(count))
    kind = order[index % len(order)][1]
    return kind, MUTATIONS[kind][1], np.random.default_rng([seed, 3, index])


def mutated(original: RunFolder, foreign_runs: Sequence[RunFolder], work: Path, count: int, seed: int) -> list[Row]:
    """Damage and load `count` copies of a run; return their rows."""
    return [load_mutated(original, foreign_runs, work / "mutated", index, seed) for index in range(count)]


def load_mutated(original: RunFolder, foreign_runs: Sequence[RunFolder], run: Path, index: int, seed: int) -> Row:
    """Damage a copy of the run and load it; the trial passes if the verdict is "recognised"."""
    kind, mutate, rng = draw_mutation(index, seed)
    shutil.copytree(original.path, run)
    description = mutate(rng, run, foreign_runs)
    try:
        verdict = load_verdict(kind, run, original)
    except Exception as error:  # any other exception on loading is a finding
        verdict = f"crashed: {type(error).__name__}: {error}"
    shutil.rmtree(run)
    problems = [] if verdict == "recognised" else [verdict]
    return {"index": index, "struck": [kind], "did": description, "verdict": verdict, "failed": problems}


def load_verdict(kind: str, run: Path, original: RunFolder) -> str:
    """Load a damaged run; return "recognised", or a description of the failure."""
    both = [str(run / "checkpoint" / f"{iteration:08d}") for iteration in (1, 2)]
    try:
        checkpoint = RunFolder.open(run).checkpoints.load()
    except UsageError as error:
        expected = [str(run)] if "config.json" in kind else both if kind in NOTHING_LEFT else ["a checkpoint left"]
        clear = "\n" not in str(error) and all(name in str(error) for name in expected)
        return "recognised" if clear else f"unclear message: {error}"
    if checkpoint.iteration != 1 or "config.json" in kind or kind in NOTHING_LEFT:
        return "loaded silently"
    tensors, meta = original.checkpoints._load(1)
    if not equal(checkpoint.tensors, tensors) or checkpoint.meta != meta:
        return "the previous checkpoint has changed"
    named = len(checkpoint.problems) == 1 and both[1] in checkpoint.problems[0]
    return "recognised" if named else f"unclear message: {checkpoint.problems}"


def resume_mutated(reference: Whole, work: Path, index: int, seed: int, foreign_runs: Sequence[RunFolder]) -> Row:
    """Damage a run and resume it with run.py: same final state from the previous checkpoint, or a one-line error."""
    kind, mutate, rng = draw_mutation(index, seed)
    run = work / f"resumed-{index}"
    shutil.copytree(reference.path, run)
    description = mutate(rng, run, foreign_runs)
    if kind not in NOTHING_LEFT and "config.json" not in kind:
        ended = finish(start("resume", run))
        problems = [] if f"warning: {_checkpoint(run)}" in ended.errors else [f"no warning: {ended}"]
        problems += failures(ended, run, reference)
    else:
        before = contents(run)
        attempts = [finish(start(command, run)) for command in ("resume", "evaluate")]
        problems = [f"{each}" for each in attempts if not each.refused(str(run)) or len(each.errors.splitlines()) != 1]
        problems += [] if contents(run) == before else ["files were modified"]
    return {"index": index, "struck": [kind], "did": description, "failed": problems}
