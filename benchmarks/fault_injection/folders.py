"""Damage to any file of a run folder: raw, sealed again with valid digests, or replaced by what is no file."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from agents.runs.checkpoints import encode_state
from agents.runs.seal import identity, sealed

Damage = Callable[[np.random.Generator, Path, Path], str]
"""Function of a generator, a run folder and a sound foreign run; damages the folder and returns a description."""

WRONG = (None, "x", "", 7, -1, 1.5, True, [], {}, [None], 10**30, 1e300, -(10**30), "a\0b", "\ud800", "/dev/zero")
"""Values that replace a JSON value."""


def files(run: Path) -> list[Path]:
    """Return the files of a run folder, except the lock."""
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")


def pick(rng: np.random.Generator, run: Path) -> Path:
    """Return a random file of the folder; files of the newest checkpoint and the configuration more often."""
    found = files(run)
    weights = np.array([3.0 if path.name == "config.json" or path.parent == newest(run) else 1.0 for path in found])
    return found[rng.choice(len(found), p=weights / weights.sum())]


def newest(run: Path) -> Path:
    """Return the folder of the newest checkpoint."""
    return max((run / "checkpoint").iterdir())


# --- raw --------------------------------------------------------------------------------------------------------------


def flip(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Flip bits of one byte."""
    file = pick(rng, run)
    data = bytearray(file.read_bytes())
    position, mask = int(rng.integers(len(data))), int(rng.integers(1, 256))
    data[position] ^= mask
    file.write_bytes(data)
    return f"{file.relative_to(run)}: byte {position} ^ {mask:#x}"


def cut(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Truncate a file."""
    file = pick(rng, run)
    data = file.read_bytes()
    length = int(rng.integers(len(data)))
    file.write_bytes(data[:length])
    return f"{file.relative_to(run)}: {length} of {len(data)} bytes"


def append(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Append bytes to a file."""
    file, more = pick(rng, run), (b"\n", b"\0", b"{}", b"[" * 5000, b"1" * 5000, b"\xff")[rng.integers(6)]
    file.write_bytes(file.read_bytes() + more)
    return f"{file.relative_to(run)}: and {more[:8]!r}, {len(more)} bytes"


def swap(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Swap two files of the folder."""
    one, two = pick(rng, run), pick(rng, run)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return f"{one.relative_to(run)} and {two.relative_to(run)}"


def delete(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Delete a file, the newest checkpoint, or all checkpoints."""
    gone = (pick(rng, run), newest(run), run / "checkpoint")[rng.choice(3, p=(0.7, 0.2, 0.1))]
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    return str(gone.relative_to(run))


# --- sealed again -----------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, each in items for found in ((*path, key), *places(each, (*path, key)))]


def change(rng: np.random.Generator, document: Any) -> str:
    """Change one value of a JSON document in place: its type or size, its key, its length."""
    found = places(document)
    *parents, key = found[rng.integers(len(found))]
    inner = document
    for each in parents:
        inner = inner[each]
    kind = ("replaced", "replaced", "replaced", "deleted", "added", "lengthened")[rng.integers(6)]
    if kind == "deleted":
        del inner[key]
    elif kind == "added" and isinstance(inner, dict):
        inner["more"] = WRONG[rng.integers(len(WRONG))]
    elif kind == "lengthened" and isinstance(inner[key], list):
        inner[key] = [*inner[key], *(inner[key][:1] or [0])]
    else:
        kind, inner[key] = "replaced", WRONG[rng.integers(len(WRONG))]
    left = inner.get(key) if isinstance(inner, dict) else inner
    return f"{'.'.join(map(str, (*parents, key)))} {kind}: {json.dumps(left)[:60]}"


def seal_checkpoints(run: Path, config: dict[str, Any]) -> None:
    """Give the checkpoints of a run the identity of its changed configuration."""
    for folder in (run / "checkpoint").iterdir():
        state = json.loads((folder / "state.json").read_bytes())
        sealed_again = encode_state(state["iteration"], state["tensors"], identity(config), state["meta"])
        (folder / "state.json").write_bytes(sealed_again)


def configuration(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Change a value of config.json and seal the folder again."""
    config = json.loads((run / "config.json").read_bytes())
    del config["digest"]
    description = change(rng, config)
    # As `sealed`, but it takes what strict JSON does not.
    config = sealed(config)
    (run / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    seal_checkpoints(run, config)
    return f"config.json: {description}"


def state(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Change a value of the newest checkpoint's JSON part and seal it again."""
    file = newest(run) / "state.json"
    content = json.loads(file.read_bytes())
    description = change(rng, content["meta"])
    file.write_bytes(encode_state(content["iteration"], content["tensors"], content["run"], content["meta"]))
    return f"state.json: meta.{description}"


def tensors(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Change the shape, type, values or presence of a tensor of the newest checkpoint, and seal it again."""
    folder = newest(run)
    own = safetensors.torch.load((folder / "state.safetensors").read_bytes())
    name = sorted(own)[rng.integers(len(own))]
    kind = ("shape", "dtype", "missing", "extra", "NaN")[rng.integers(5)]
    value = own[name]
    match kind:
        case "shape":
            own[name] = value.new_zeros((*value.shape, 2)) if rng.random() < 0.5 else value.flatten()[:0]
        case "dtype":
            other = torch.float64 if value.dtype == torch.float32 else torch.float32
            own[name] = value.to((other, torch.int64, torch.float16)[rng.integers(3)])
        case "missing":
            del own[name]
        case "extra":
            own[f"{name}/more"] = value.clone()
        case "NaN":
            own[name] = torch.full_like(value, 255 if value.dtype == torch.uint8 else float("nan"))
    data = safetensors.torch.save({key: each.contiguous() for key, each in own.items()})
    (folder / "state.safetensors").write_bytes(data)
    content = json.loads((folder / "state.json").read_bytes())
    again = encode_state(content["iteration"], hashlib.sha256(data).hexdigest(), content["run"], content["meta"])
    (folder / "state.json").write_bytes(again)
    return f"state.safetensors: {name} {kind}"


def results(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Change a value of evaluation.json or of a row of metrics.jsonl, which have no digest."""
    if rng.random() < 0.6:
        file = run / "evaluation.json"
        content = json.loads(file.read_bytes())
        description = change(rng, content)
        file.write_text(json.dumps(content))
        return f"{file.name}: {description}"
    file = run / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    kind = ("change", "twice", "order")[rng.integers(3)]
    description = kind
    if kind == "change":
        description = change(rng, rows[rng.integers(len(rows))])
    elif kind == "twice":
        rows.append(rows[rng.integers(len(rows))])
    else:
        rows.reverse()
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"{file.name}: {description}"


# --- replaced by something else ---------------------------------------------------------------------------------------


def _link(target: object) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(str(target))


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "a link to /dev/zero": _link("/dev/zero"),
    "a link to /dev/null": _link("/dev/null"),
    "a link to nothing": _link("nothing at all"),
    "a link to a terminal": _link("/dev/tty"),
    "a link to /proc/self/mem": _link("/proc/self/mem"),
    "a link to a folder": _link("/"),
}


def replace(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Replace a file, a checkpoint, or the folder of checkpoints by a pipe, a device, a link, a socket, a folder."""
    path = (pick(rng, run), newest(run), run / "checkpoint", run / ".lock")[rng.choice(4, p=(0.7, 0.1, 0.1, 0.1))]
    name = path.relative_to(run)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    kinds: dict[str, Callable[[Path], None]] = {
        **REPLACEMENTS,
        "a link to itself": _link(path),
        "a link to another file": _link(files(run)[rng.integers(len(files(run)))]),
        "a link to the other run's": _link(foreign / name),
        "a file": lambda path: path.write_bytes(b"x") and None,
    }
    kind = sorted(kinds)[rng.integers(len(kinds))]
    kinds[kind](path)
    return f"{name} is {kind}"


def huge(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Lengthen a file by a hole, up to 100 TB."""
    file, size = pick(rng, run), int(10 ** rng.uniform(9, 13))
    with file.open("ab") as opened:
        try:
            opened.truncate(size)
        except OSError:  # larger than the file system permits
            size = 1 << 33
            opened.truncate(size)
    return f"{file.relative_to(run)}: {size:,} bytes"


def names(rng: np.random.Generator, run: Path, foreign: Path) -> str:
    """Add files whose names are not text, or look like those of checkpoints and of temporary files."""
    added = (b"odd\xff", b"new\nline", b"x" * 250, b"checkpoint/99999999", b"checkpoint/000000002", b"checkpoint/1")
    more = (
        b"checkpoint/" + b"9" * 200,
        b".replaced-00000000",
        b".config.json.00000000.tmp",
        b"checkpoint/.x.00000000.tmp",
    )
    path = os.path.join(os.fsencode(run), (*added, *more)[rng.integers(10)])
    if rng.random() < 0.5:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return f"{path[len(os.fsencode(run)) + 1 :][:40]!r} added"


DAMAGES: dict[str, tuple[int, Damage]] = {
    "flipped byte": (100, flip),
    "cut": (80, cut),
    "appended": (60, append),
    "swapped": (50, swap),
    "deleted": (60, delete),
    "configuration, sealed": (180, configuration),
    "state, sealed": (100, state),
    "tensors, sealed": (100, tensors),
    "results": (100, results),
    "not a file": (110, replace),
    "huge": (30, huge),
    "odd names": (30, names),
}
"""Number among 1000 and function of each kind of damage."""

ANOTHER_RUN = ("configuration, sealed", "results")
"""Kinds of damage that can make another run, complete in itself, which no check can tell from an intended one."""


def draw_damage(index: int, seed: int) -> tuple[str, Damage, np.random.Generator]:
    """Return the damage of this index and its generator. Every kind occurs early, in a small sample, too."""
    order = sorted((number / count, kind) for kind, (count, _) in DAMAGES.items() for number in range(count))
    kind = order[index % len(order)][1]
    return kind, DAMAGES[kind][1], np.random.default_rng([seed, 7, index])
