"""Files are opened in one place, which opens regular files only and bounds what is read."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CALLS = {
    *("open", "fdopen", "read_bytes", "read_text", "read_csv", "safe_open", "load_file", "loadtxt", "genfromtxt"),
    *("fromfile", "memmap", "write_bytes", "write_text", "exists", "is_dir", "is_file"),
}
"""Functions and methods that open a file, or that raise errors of their own for names that no file can have."""

ALLOWED = {
    "qrl/common/files.py": {"open": "the one place", "fdopen": "the one place"},
    "qrl/common/leftovers.py": {
        "open": "temporary files, whose names are our own",
        "exists": "temporary files, whose names are our own",
        "is_dir": "temporary files, whose names are our own",
        "is_file": "temporary files, whose names are our own",
    },
    "qrl/common/importing.py": {
        "exists": "this library's own pyproject.toml",
        "is_file": "hints in the error of an import: where a module of that name lies",
    },
    "envs/native/ids.py": {"read_text": "this library's own source files"},
    "envs/automl/apply.py": {
        "open": "copied into best.py; after `open_stream` has opened the same path",
        "read_csv": "large files in chunks, after `open_stream` has opened the same path",
    },
    "envs/wrapped/guest.py": {"open": "os.devnull"},
    "agents/cli/main.py": {"open": "os.devnull"},
    "agents/study/ray_driver.py": {
        "open": "the log of a job, on Ray's machines, which the sweep has made; os.devnull",
        "fdopen": "its own pipes",
    },
    "agents/runs/replacing.py": {"is_dir": "entries of a listed folder"},
}
"""Exceptions: functions by file, with the reason."""

OPENERS = {"RunFolder"}
"""Classes with a method `open` that opens no file itself."""


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="open")) if owner in OPENERS:
                pass
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in CALLS:
                yield name


def test_no_other_code_opens_files():
    found = {
        str(path.relative_to(ROOT)): {*calls(path)}
        for package in ("qrl", "envs", "agents")
        for path in sorted(ROOT.joinpath(package).rglob("*.py"))
    }
    assert {name: names for name, names in found.items() if names} == {name: {*each} for name, each in ALLOWED.items()}
