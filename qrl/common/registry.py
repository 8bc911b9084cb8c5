"""The folder is the registry: `envs/navigation.py` *is* `--env navigation`, and so for models and agents.

A plug-in is anything with `Config` (a frozen dataclass) and `build(config, ...)`, usually a module. Its name is one of

- a name given to `register`,
- a file of the folder (files that start with `_` are machinery),
- a path to a `.py` file,
- `module:attribute` or a dotted module,
- an entry point in the group `qrl.envs`, `qrl.models` or `qrl.agents`,
- whatever else the package of that kind can make a plug-in of, by a function `plugin_of_name`: an id of Gymnasium.

`load` is the one function that resolves them. An object that is no plug-in may stand for one, if the package of that
kind has a function `plugin_of_object` which says so: a task distribution does. Listing reads the files without
importing them, so it works where an optional dependency is missing. Such a file declares, as literals,
`REQUIRES = ("mujoco",)` (import names) and `EXTRA = "mujoco"` (the extra of this distribution that installs them).
"""

import ast
import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, runtime_checkable

from qrl.common.errors import UsageError, suggest

DISTRIBUTION = "qrl-meta"

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

Kind = Literal["envs", "models", "agents"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_PACKAGES: dict[Kind, tuple[str, ...]] = {
    "envs": ("envs",),
    "models": ("qrl.models",),
    "agents": ("agents", "agents.references"),
}
_SINGULAR: dict[Kind, str] = {"envs": "env", "models": "model", "agents": "agent"}
_registered: dict[Kind, dict[str, Any]] = {"envs": {}, "models": {}, "agents": {}}


@runtime_checkable
class Plugin(Protocol):
    """What every plug-in offers: a frozen dataclass of options, and a function that builds from it."""

    Config: type[Any]
    build: Callable[..., Any]


@dataclass(frozen=True)
class Summary:
    """What is known of a plug-in without importing it."""

    name: str
    doc: str
    """First line of its docstring."""
    missing: tuple[str, ...] = ()
    """Import names it requires that are not installed."""
    extra: str = ""
    """The extra of this distribution that installs them."""
    broken: str = ""
    """Why the file cannot be read, if it cannot."""

    @property
    def usable(self) -> bool:
        """Whether `load` can be expected to work."""
        return not (self.missing or self.broken)

    @property
    def remedy(self) -> str:
        """How to install what is missing, as a command; empty if nothing is."""
        if not self.missing:
            return ""
        return f"pip install '{DISTRIBUTION}[{self.extra}]'" if self.extra else f"pip install {' '.join(self.missing)}"


def available(kind: Kind) -> dict[str, Summary]:
    """Every plug-in of a kind by name, sorted: those of the folder, registered, and installed. Imports none of them.

    Raises:
        UsageError: `kind` is not one of envs, models, agents.
    """
    _check_kind(kind)
    found = {entry.name: _describe_entry_point(entry) for entry in _entry_points(kind)}
    found |= {path.stem: _describe_file(path) for path in _files(kind)}
    found |= {name: Summary(name, _first_line(plugin.__doc__)) for name, plugin in _registered[kind].items()}
    return dict(sorted(found.items()))


def register(kind: Kind, name: str, plugin: Any) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known under `name` in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is none or stands for something else.
    """
    _check_kind(kind)
    where = f"{_SINGULAR[kind]} {name!r} cannot be registered"
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(f"{where}: a name is letters, digits, _ and -")
    if name not in _registered[kind] and (name in available(kind) or _means_something(kind, name)):
        raise UsageError(f"{where}: the name is taken")
    _registered[kind][name] = _checked(kind, name, plugin)


def unregister(kind: Kind, name: str) -> None:
    """Forget a registered plug-in.

    Raises:
        UsageError: no plug-in is registered under that name.
    """
    _check_kind(kind)
    if _registered[kind].pop(name, None) is None:
        raise UsageError(f"no {_SINGULAR[kind]} is registered as {name!r}{suggest(name, _registered[kind])}")


def load(kind: Kind, name: str) -> Plugin:
    """Resolve `name` (see the module's docstring) and import that plug-in alone.

    Raises:
        UsageError: the name is unknown (a near match is suggested), the extra it needs is not installed, the file or
            module cannot be imported, or it lacks `Config` or `build`.
    """
    _check_kind(kind)
    if not name:
        raise UsageError(f"the name of the {_SINGULAR[kind]} is empty{suggest(name, available(kind))}")
    if name in _registered[kind]:
        plugin = _registered[kind][name]
    elif name in {path.stem for path in _files(kind)}:
        plugin = _load_from_folder(kind, name)
    elif name.endswith(".py"):
        plugin = _load_from_path(kind, Path(name))
    elif (entry := next((entry for entry in _entry_points(kind) if entry.name == name), None)) is not None:
        plugin = _importing(kind, name, entry.load)
    elif (found := _ask_package(kind, "plugin_of_name", name)) is not None:
        plugin = found
    elif ":" in name or "." in name:
        plugin = _load_from_module(kind, name)
    else:
        raise _unknown(kind, name)
    return _checked(kind, name, plugin)


def canonical(kind: Kind, name: str) -> str:
    """`name` as it should be saved: a path made absolute, so that it means the same from another folder.

    The path of a file of this library becomes its name: under another one it would be another plug-in.
    """
    _check_kind(kind)
    if name.endswith(".py") and name not in available(kind):
        path = _expanded(Path(name))
        return path.stem if path.resolve() in {own.resolve() for own in _files(kind)} else str(path)
    return name


def origin(kind: Kind, name: str) -> dict[str, str]:
    """Where the plug-in of a name comes from, as it should be saved beside a result.

    `from` is "this library", "registered in Python", "file", "package", "module", or "name" for what the package of
    that kind makes of names. A file has its `path` and `sha256`, a module those of its file.

    Raises:
        UsageError: the file cannot be read.
    """
    _check_kind(kind)
    if name in _registered[kind]:
        return {"from": "registered in Python"}
    if name in {path.stem for path in _files(kind)}:
        return {"from": "this library"}
    if name.endswith(".py"):
        return {"from": "file", **_content(kind, _expanded(Path(name)))}
    entry = next((entry for entry in _entry_points(kind) if entry.name == name), None)
    if entry is not None:
        owner = {} if entry.dist is None else {"package": entry.dist.name, "version": entry.dist.version}
        return {"from": "package", "entry": entry.value, **owner}
    module = sys.modules.get(name.partition(":")[0])
    if module is None or module.__file__ is None or _ask_package(kind, "plugin_of_name", name) is not None:
        return {"from": "name"}
    return {"from": "module", **_content(kind, Path(module.__file__))}


def _content(kind: Kind, path: Path) -> dict[str, str]:
    return {"path": str(path), "sha256": hashlib.sha256(_source(kind, path)).hexdigest()}


def short_name(name: str) -> str:
    """`name` as a word fit for a file name: `dir/mine.py` and `package.mine:Thing` become `mine` and `mine-Thing`."""
    if name.endswith(".py"):
        return Path(name).stem
    module, _, attribute = name.partition(":")
    return "-".join(part for part in (module.rpartition(".")[2], attribute.replace(".", "-")) if part)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # `~nobody`
        raise UsageError(f"{path}: {error}") from error


def _check_kind(kind: str) -> None:
    if kind not in _PACKAGES:
        raise UsageError(f"unknown kind of plug-in {kind!r}{suggest(kind, _PACKAGES)}")


def _files(kind: Kind) -> Iterator[Path]:
    folders = (_ROOT.joinpath(*package.split(".")) for package in _PACKAGES[kind])
    return (path for folder in folders for path in folder.glob("*.py") if not path.name.startswith("_"))


def _entry_points(kind: Kind) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=f"qrl.{kind}"))


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0].strip()


def _describe_file(path: Path) -> Summary:
    doc = ""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
        doc = _first_line(ast.get_docstring(tree))
        constants = dict(_literal_constants(tree))
        requires = constants.get("REQUIRES", ())
        names = (requires,) if isinstance(requires, str) else tuple(map(str, requires))
        # Only the top-level package is looked for: finding a submodule would import its parent.
        missing = tuple(name for name in names if importlib.util.find_spec(name.partition(".")[0]) is None)
    except Exception as error:  # One bad file, whatever is wrong with it, must not hide the others.
        return Summary(path.stem, doc, broken=_reason(error))
    return Summary(path.stem, doc, missing, str(constants.get("EXTRA", "")))


def _literal_constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=("REQUIRES" | "EXTRA") as name)], value=value):
                yield name, _literal(name, value)
            case ast.AnnAssign(target=ast.Name(id=("REQUIRES" | "EXTRA") as name), value=ast.expr() as value):
                yield name, _literal(name, value)


def _literal(name: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise UsageError(f"{name} is not a literal (line {value.lineno})") from error


def _describe_entry_point(entry: importlib.metadata.EntryPoint) -> Summary:
    owner = entry.dist.name if entry.dist is not None else "an installed package"
    return Summary(entry.name, f"{entry.value}, from {owner}")


def _load_from_folder(kind: Kind, name: str) -> ModuleType:
    path = next(path for path in _files(kind) if path.stem == name)
    summary = _describe_file(path)
    if summary.missing:
        raise UsageError(
            f"{_SINGULAR[kind]} {name!r} needs {', '.join(summary.missing)}, not installed: {summary.remedy}"
        )
    module = _importing(
        kind, name, lambda: importlib.import_module(".".join(path.relative_to(_ROOT).with_suffix("").parts))
    )
    # `envs` and `agents` are common words: another package earlier on sys.path must not answer in our place.
    if Path(module.__file__).resolve() != path:
        raise UsageError(f"{_SINGULAR[kind]} {name!r}: {module.__file__} is imported in place of {path}")
    return module


def _source(kind: Kind, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{_SINGULAR[kind]} file {path}: {_reason(error)}") from error


def _load_from_path(kind: Kind, path: Path) -> ModuleType:
    path = _expanded(path)
    source = _source(kind, path)
    # The content is part of the name: the same file is imported once, an edited one anew.
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()[:16]
    module_name = f"_qrl_{kind}_{path.stem}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)

    def execute() -> ModuleType:
        # Dataclasses and tyro look a class's module up, so it is entered before it runs. It is compiled here rather
        # than by the loader, which would leave a __pycache__ beside the user's file.
        sys.modules[module_name] = module
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module_name]
            raise
        return module

    return _importing(kind, str(path), execute)


def _load_from_module(kind: Kind, name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise _unknown(kind, name)
    try:
        plugin = _importing(kind, name, lambda: importlib.import_module(module_name))
    except UsageError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{module_name}.".startswith(f"{cause.name}."):
            raise UsageError(
                f"unknown {_SINGULAR[kind]} {name!r}: there is no module {cause.name!r}, installed or on PYTHONPATH"
                f"{suggest(name, available(kind))}"
            ) from cause
        raise
    for part in filter(None, attribute.split(".")):
        try:
            plugin = getattr(plugin, part)
        except AttributeError:
            public = [each for each in dir(plugin) if not each.startswith("_")]
            raise UsageError(f"{_SINGULAR[kind]} {name!r}: no {part!r} there{suggest(part, public)}") from None
    return plugin


def _importing(kind: Kind, name: str, action: Callable[[], Any]) -> Any:
    """Run an import; whatever a plug-in's code raises becomes one line that names it, the cause attached."""
    try:
        return action()
    except UsageError as error:
        raise UsageError(f"{_SINGULAR[kind]} {name!r}: {error}") from error
    except (Exception, SystemExit) as error:  # A plug-in may be anybody's code; what it raises is a defect of its file.
        remedy = own_remedy(error)
        raise UsageError(f"{_SINGULAR[kind]} {name!r} cannot be imported: {_reason(error)}{remedy}") from error


def own_remedy(error: BaseException) -> str:
    """The tail of a message about a failed import: what to do if it is of a package this one always needs."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"; use .venv/bin/python, or install {DISTRIBUTION}: pip install -e {_ROOT}" if name in _NEEDED else ""


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})" if error.lineno else str(error.msg)
    text = textwrap.shorten(str(error), 200, placeholder=" …")
    return text if isinstance(error, ImportError | UsageError) else f"{type(error).__name__}: {text}"


def _ask_package(kind: Kind, function: str, argument: Any) -> Any:
    """What the package of a kind makes of a name or an object, None if nothing."""
    package = importlib.import_module(_PACKAGES[kind][0])
    return getattr(package, function)(argument) if hasattr(package, function) else None


def _means_something(kind: Kind, name: str) -> bool:
    """Whether the package of a kind makes something of a name, or takes it for a mistyped one of its own."""
    try:
        return _ask_package(kind, "plugin_of_name", name) is not None
    except UsageError:
        return True


def _checked(kind: Kind, name: str, plugin: Any) -> Plugin:
    where = f"{_SINGULAR[kind]} {name!r}"
    if not isinstance(plugin, Plugin):
        try:
            plugin = _ask_package(kind, "plugin_of_object", plugin) or plugin
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    config = getattr(plugin, "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise UsageError(f"{where} has no dataclass called Config: a plug-in offers Config and build(config, ...)")
    if not getattr(config, "__dataclass_params__").frozen:  # noqa: B009  # Unknown to type checkers.
        raise UsageError(f"{where}: Config must be frozen, @dataclass(frozen=True)")
    if not callable(getattr(plugin, "build", None)):
        raise UsageError(f"{where} has no function called build: a plug-in offers Config and build(config, ...)")
    return plugin


def _unknown(kind: Kind, name: str) -> UsageError:
    path = ", a path to no .py file" if _expanded(Path(name)).exists() else ""
    return UsageError(f"unknown {_SINGULAR[kind]} {name!r}{path}{suggest(name, available(kind))}")
