"""Importing third-party code by path or by name, with errors of one line.

`what` names the plug-in in every message, such as "env 'mine.py'".
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from qrl.common.errors import UsageError, suggest
from qrl.common.summaries import DISTRIBUTION, reason

T = TypeVar("T")

_NEEDED = frozenset(
    {
        "torch",
        "numpy",
        "gymnasium",
        "pennylane",
        "tyro",
        "safetensors",
        "jaxtyping",
        "scipy",
        "matplotlib",
        "tqdm",
        "PIL",
    }
)
"""Import names of what this distribution always needs."""


def importing(what: str, action: Callable[[], T]) -> T:
    """Run an import; whatever the imported code raises becomes one line that names it, the cause attached.

    Raises:
        UsageError: the import failed.
    """
    try:
        return action()
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except (Exception, SystemExit) as error:  # Third-party code may raise anything, and even end the process.
        raise UsageError(f"{what} cannot be imported: {reason(error)}{own_remedy(error)}") from error


def import_file(role: str, path: Path) -> ModuleType:
    """The module of a plug-in's file, imported once and anew after an edit.

    Raises:
        UsageError: the file cannot be read or imported.
    """
    source = read_source(role, path)
    # The content is part of the name: the same file is imported once, an edited one anew.
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()[:16]
    name = f"_qrl_{role}_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)

    def execute() -> ModuleType:
        # Dataclasses and tyro look a class's module up, so it is entered before it runs. It is compiled here rather
        # than by the loader, which would leave a __pycache__ beside the user's file.
        sys.modules[name] = module
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return importing(f"{role} {str(path)!r}", execute)


def import_attribute(what: str, module_name: str, attribute: str) -> object:
    """The attribute of a module, `Outer.inner` that of an attribute; the module itself if it is empty.

    Raises:
        UsageError: the module cannot be imported, or has no such attribute.
    """
    found: object = importing(what, lambda: importlib.import_module(module_name))
    for part in filter(None, attribute.split(".")):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [each for each in dir(found) if not each.startswith("_")]
            raise UsageError(f"{what}: no {part!r} there{suggest(part, public)}") from None
    return found


def missing_module(error: UsageError, module_name: str) -> str:
    """The module that was not found, if the import of `module_name` failed for that; empty if it was one inside it."""
    cause = error.__cause__
    name = cause.name if isinstance(cause, ModuleNotFoundError) else None
    return name if name and f"{module_name}.".startswith(f"{name}.") else ""


def read_source(role: str, path: Path) -> bytes:
    """The content of a plug-in's file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{role} file {path}: {reason(error)}") from error


def checkout() -> Path | None:
    """Return the folder of the checkout that this library runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").exists() else None


def own_remedy(error: BaseException) -> str:
    """The tail of a message about a failed import: what to do if it is of a package this one always needs."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in _NEEDED:
        return ""
    if (root := checkout()) is not None:
        return f"; use .venv/bin/python, or install {DISTRIBUTION}: pip install -e {root}"
    return f"; install all that {DISTRIBUTION} needs: pip install {DISTRIBUTION}"
