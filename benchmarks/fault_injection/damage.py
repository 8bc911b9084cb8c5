"""Damaged files in a run folder: bytes flipped, cut, swapped, of other runs, of a newer format."""

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
"""Damages a run folder; what it did."""


def _checkpoint(run: Path, back: int = 0) -> Path:
    return run / "checkpoint" / f"{RunFolder(run, {}).checkpoints.iterations()[-1 - back]:08d}"


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
    file.write_text(to_json({**content, "digest": digest(content)}) + "\n")
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
    except Exception as error:  # whatever else a damaged file makes of loading is what is looked for
        verdict = f"crashed: {type(error).__name__}: {error}"
    shutil.rmtree(run)
    wrong = [] if verdict == "recognised" else [verdict]
    return {"index": index, "struck": [kind], "did": done, "verdict": verdict, "failed": wrong}


def judge(kind: str, run: Path, original: RunFolder) -> str:
    """Load a damaged run: recognised, or loaded silently, or badly told."""
    both = [str(run / "checkpoint" / f"{iteration:08d}") for iteration in (1, 2)]
    try:
        checkpoint = RunFolder.open(run).checkpoints.load()
    except UsageError as error:
        expected = [str(run)] if "config.json" in kind else both if kind in NOTHING_LEFT else ["a checkpoint left"]
        told = "\n" not in str(error) and all(name in str(error) for name in expected)
        return "recognised" if told else f"badly told: {error}"
    if checkpoint.iteration != 1 or "config.json" in kind or kind in NOTHING_LEFT:
        return "loaded silently"
    tensors, meta = original.checkpoints._load(1)
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
