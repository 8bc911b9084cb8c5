"""Import third-party code by path or by name, with one-line errors.

`what` names the plug-in in every message, such as "env 'mine.py'".
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from qrl.common.errors import UsageError, is_interrupt, suggest
from qrl.common.files import read_regular
from qrl.common.summaries import DISTRIBUTION, reason

T = TypeVar("T")

_REQUIRED = frozenset(
    {
        "torch",
        "numpy",
        "gymnasium",
        "pennylane",
        "cattrs",
        "safetensors",
        "jaxtyping",
        "scipy",
        "matplotlib",
        "jinja2",
        "markupsafe",
        "tqdm",
        "PIL",
    }
)
"""Import names of the required dependencies of this distribution."""


def check_installed(option: str, package: str) -> None:
    """Raise UsageError if an option needs a package that is not installed; the extra that installs it has its name."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # A folder of this name in the current one is no package.
        raise UsageError(f"{option}: {package} is not installed: pip install '{DISTRIBUTION}[{package}]'")


def wrap_import_errors(what: str, action: Callable[[], T], file: Path | None = None) -> T:
    """Run an import; any exception of the imported code becomes a one-line UsageError, with the cause attached.

    Args:
        what: words for the code in the message.
        action: the import.
        file: the file that is imported; if it lacks a module that lies near it, the message says where.

    Raises:
        UsageError: the import failed.
    """
    try:
        return action()
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except BaseException as error:  # Third-party code may raise anything, and even exit.
        if is_interrupt(error):
            raise
        raise UsageError(f"{what} cannot be imported: {reason(error)}{install_hint(error, file)}") from error


def import_file(role: str, path: Path, source: bytes) -> ModuleType:
    """Import a plug-in's file with this content: once, and again after an edit.

    Raises:
        UsageError: the file cannot be imported.
    """
    # The content is part of the name: an unchanged file is imported once, an edited file again.
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()[:16]
    name = f"_qrl_{role}_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)

    def execute() -> ModuleType:
        # Dataclasses look up a class's module, so the module is registered before it runs. The source is
        # compiled here because the loader would leave a __pycache__ next to the user's file.
        sys.modules[name] = module
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return wrap_import_errors(f"{role} {str(path)!r}", execute, path)


def import_attribute(what: str, module_name: str, attribute: str) -> object:
    """Import an attribute of a module, `Outer.inner` for a nested one; the module itself if `attribute` is empty.

    Raises:
        UsageError: the module cannot be imported, or has no such attribute.
    """
    return attribute_of(what, wrap_import_errors(what, lambda: importlib.import_module(module_name)), attribute)


def attribute_of(what: str, module: ModuleType, attribute: str) -> object:
    """Return an attribute of a module as `import_attribute` does. Raise UsageError if there is none of that name."""
    found: object = module
    for part in filter(None, attribute.split(".")):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [each for each in dir(found) if not each.startswith("_")]
            raise UsageError(f"{what}: no attribute {part!r}{suggest(part, public)}") from None
    return found


def module_files(name: str) -> list[Path]:
    """Return the files of a module's parent packages and of the module itself, without importing any of them.

    The list ends before a part that is not found; parts without a file, such as namespace packages, are left out.
    """
    found: list[Path] = []
    parts = name.split(".")
    folders: list[str] | None = None
    for n_parts in range(1, len(parts) + 1):
        try:
            spec = _find_spec(".".join(parts[:n_parts]), folders)
        except KeyError:  # Python finds a namespace package in another one only once that one is imported.
            spec = None
        else:
            if spec is None:
                break
            if spec.has_location and spec.origin is not None:
                found.append(Path(spec.origin))
            if spec.submodule_search_locations is None:
                break
        if spec is None or not spec.has_location:  # a namespace package
            folders = [str(Path(each, parts[n_parts - 1])) for each in (sys.path if folders is None else folders)]
        else:
            folders = list(spec.submodule_search_locations or ())
    return found


def _find_spec(name: str, folders: list[str] | None) -> ModuleSpec | None:
    return next(filter(None, (finder.find_spec(name, folders) for finder in sys.meta_path)), None)


def missing_module(error: UsageError, module_name: str) -> str:
    """Return the missing module if `module_name` itself or one of its parents was not found.

    The name is empty if the import failed for another reason, such as a module that `module_name` imports.
    """
    cause = error.__cause__
    name = cause.name if isinstance(cause, ModuleNotFoundError) else None
    return name if name and f"{module_name}.".startswith(f"{name}.") else ""


def read_source(role: str, path: Path) -> bytes:
    """Read a plug-in's file.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return read_regular(path)
    except UsageError as error:
        raise UsageError(f"{role} file {error}") from error


def checkout() -> Path | None:
    """Return the folder of the checkout that this library runs from; None if the library is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").exists() else None


def install_hint(error: BaseException | None, file: Path | None = None) -> str:
    """Return the tail of a message about a failed import: the remedy if there is one, else empty.

    Args:
        error: the exception; a missing dependency of this library, a missing module that lies in the working folder or
            near `file`, or a relative import in a file that is imported without its package.
        file: the file that was imported, if it was one.
    """
    if file is not None and isinstance(error, ImportError) and "no known parent package" in str(error):
        return f"; name the file as a module of its package: {_as_module(file)}"
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not name:
        return ""
    if name in _SUCCESSORS:
        return f"; {_SUCCESSORS[name]}"
    if name not in _REQUIRED:
        return _nearby(name, file)
    if (root := checkout()) is not None:
        return f"; use .venv/bin/python, or install {DISTRIBUTION}: pip install -e {root}"
    return f"; install {DISTRIBUTION} with its dependencies: pip install {DISTRIBUTION}"


_SUCCESSORS = {"gym": "Gymnasium has succeeded gym: write `import gymnasium as gym`, and its interface"}
"""What to do about modules that others have replaced."""


def _nearby(name: str, file: Path | None) -> str:
    """Say how to find a module that lies in the working folder, or in one of the folders that `file` lies in."""
    with suppress(OSError):  # a folder that has been deleted, or cannot be read
        own = file.resolve() if file is not None else None
        for folder in (*(own.parents if own is not None else ()), Path.cwd()):
            module = folder / f"{name}.py"
            if (module.is_file() and module != own) or (folder / name / "__init__.py").is_file():
                return f"; it lies in {folder}: put this folder on the module path, PYTHONPATH={folder}"
    return ""


def _as_module(file: Path) -> str:
    """Return how to name a file in a package as a module, with its package's folder on the module path."""
    parts, folder = [file.stem], file.resolve().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return f"{'.'.join(parts)}:NAME, with PYTHONPATH={folder}"
