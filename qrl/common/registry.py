"""Registry of plug-ins by file name: `envs/navigation.py` *is* `--env navigation`, likewise models and agents.

A plug-in is anything with `Config` (a frozen dataclass) and `build(config, ...)`, usually a module. Its name is one of

- a name given to `register`,
- a file of one of the registry's shelves (except files that start with `_`),
- a path to a `.py` file, or `FILE.py:attribute`,
- `module:attribute` or a dotted module,
- an entry point of the registry's group, such as `qrl.envs`,
- any other name that the registry's owner can turn into a plug-in, such as a Gymnasium id.

Each package owns the registry of its plug-ins: `qrl.models.MODELS`, `envs.core.registry.ENVS` and
`agents.core.registry.AGENTS`. This file knows none of them.
"""

import dataclasses
import hashlib
import importlib
import importlib.metadata
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from qrl.common.checks import check_text
from qrl.common.errors import UsageError, suggest
from qrl.common.files import kind_of
from qrl.common.importing import (
    attribute_of,
    import_attribute,
    import_file,
    install_hint,
    missing_module,
    module_files,
    read_source,
    wrap_import_errors,
)
from qrl.common.summaries import Summary, first_line, summarise_entry_point, summarise_file
from qrl.common.trust import NamedCode, check_trusted

GIVEN = " (given in Python)"
"""End of the name of a plug-in that was given as an object instead of by name."""

Built_co = TypeVar("Built_co", covariant=True)


@runtime_checkable
class Plugin(Protocol[Built_co]):
    """Protocol of every plug-in: a frozen dataclass of options, and a function that builds from it."""

    @property
    def Config(self) -> type[Any]:
        """Dataclass of the plug-in's options; only the plug-in knows its fields."""

    @property
    def build(self) -> Callable[..., Built_co]:
        """Build from the options and from the further arguments of this role's builders."""


@dataclass(frozen=True)
class Shelf:
    """Package whose modules are plug-ins, each under the name of its file."""

    package: str
    folder: Path
    title: str

    def files(self) -> dict[str, Path]:
        """Return the plug-ins' files by name."""
        return {path.stem: path for path in self.folder.glob("*.py") if not path.name.startswith("_")}


class Registry(Generic[Built_co]):
    """Plug-ins of one role by name.

    The registry's only state is the set of plug-ins registered in this process.

    Args:
        role: the word for a plug-in in messages and on the command line, such as "env".
        group: the entry-point group of the plug-ins.
        shelves: the packages that hold plug-ins.
        resolve_name: turns a name of no other kind into a plug-in; returns None if it cannot. It may raise UsageError
            for a mistyped name of its own kind.
        resolve_object: turns an object that lacks `Config` or `build` into a plug-in; returns None if it cannot. It may
            raise UsageError likewise.
        objects: what `resolve_object` takes, in words, for messages.
    """

    def __init__(
        self,
        role: str,
        group: str,
        shelves: Sequence[Shelf],
        *,
        resolve_name: Callable[[str], Plugin[Built_co] | None] = lambda name: None,
        resolve_object: Callable[[object], Plugin[Built_co] | None] = lambda value: None,
        objects: str = "an object",
    ) -> None:
        self._objects = objects
        self.role, self.group, self.shelves = role, group, tuple(shelves)
        self._resolve_name, self._resolve_object = resolve_name, resolve_object
        self._registered: dict[str, Plugin[Built_co]] = {}

    def available(self) -> dict[str, Summary]:
        """Return all plug-ins by name, sorted: on shelves, registered, and installed. Nothing is imported."""
        found = {entry.name: summarise_entry_point(entry) for entry in self._entry_points()}
        for shelf in self.shelves:
            found |= {name: summarise_file(path, shelf.title) for name, path in shelf.files().items()}
        found |= {name: Summary(name, first_line(plugin.__doc__)) for name, plugin in self._registered.items()}
        return dict(sorted(found.items()))

    def shelved(self) -> tuple[str, ...]:
        """Return the names of the plug-ins on the shelves: those of this library."""
        return tuple(self._files())

    def register(self, name: str, plugin: object) -> None:
        """Make `plugin` (a module or any object with `Config` and `build`) known under `name` in this process.

        An earlier registration under that name is replaced.

        Raises:
            UsageError: the plug-in lacks `Config` or `build`, or the name is invalid or already taken.
        """
        where = f"{self.role} {name!r} cannot be registered"
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"{where}: a name consists of letters, digits, _ and -")
        if name not in self._registered and (name in self.available() or self._is_interpreted(name)):
            raise UsageError(f"{where}: the name is already taken")
        self._registered[name] = self._check_plugin(name, plugin)

    def unregister(self, name: str) -> None:
        """Remove a registered plug-in.

        Raises:
            UsageError: no plug-in is registered under that name.
        """
        if self._registered.pop(name, None) is None:
            raise UsageError(f"no {self.role} is registered as {name!r}{suggest(name, self._registered)}")

    def load(self, name: object) -> Plugin[Built_co]:
        """Resolve a name (see the module's docstring), importing only that plug-in, or an object given in its place.

        Raises:
            UsageError: the name is unknown (the message suggests a near match), the extra it needs is not installed,
                the file or module cannot be imported or is not trusted (`qrl.common.trust`), or it lacks `Config` or
                `build`.
        """
        if not isinstance(name, str):
            try:
                known = isinstance(name, Plugin) or self._resolve_object(name) is not None
            except UsageError as error:
                raise UsageError(f"{self.role}: the object given {error}; or give {self._objects}") from None
            if not known:
                raise UsageError(f"{self.role}: expected a name, {self._objects}, or a plug-in, found {name!r}")
            return self._check_plugin(name_of(name), name)
        if not name:
            raise UsageError(f"the name of the {self.role} is empty{suggest(name, self.available())}")
        if name in self._registered:
            return self._registered[name]
        return self._check_plugin(name, self._resolve(name))

    def canonical(self, name: str) -> str:
        """Return `name` in the form to be saved: a path becomes absolute, so that it is valid in any folder.

        The path of a file of this library becomes the file's plug-in name: under another name it would be another
        plug-in.

        Raises:
            UsageError: the name has a NUL character, or bytes that are not UTF-8.
        """
        check_text(self.role, name)
        file, attribute = file_and_attribute(name)
        if file and name not in self.available():
            path = _expanded(Path(file))
            own = any(path.resolve() == each.resolve() for each in self._files().values())
            return path.stem if own and not attribute else f"{path}:{attribute}" if attribute else str(path)
        return name

    def origin(self, name: object) -> dict[str, str]:
        """Return the origin of a plug-in, to be saved with a result.

        `from` is "this library", "registered in Python", "given in Python" for an object, "file", "package", "module",
        or "name" for names that the registry's owner interprets. A file has its `path` and `sha256`; a module has those
        of its file.

        Raises:
            UsageError: the file cannot be read.
        """
        if not isinstance(name, str):
            return {"from": "given in Python", "type": f"{type(name).__module__}.{type(name).__qualname__}"}
        if name in self._registered:
            return {"from": "registered in Python"}
        if name in self._files():
            return {"from": "this library"}
        is_file = bool(file_and_attribute(name)[0])
        if (entry := self._entry_point(name)) is not None and not is_file:
            owner = {} if entry.dist is None else {"package": entry.dist.name, "version": entry.dist.version}
            return {"from": "package", "entry": entry.value, **owner}
        if (code := self.code(name)) is None or not code.files:
            return {"from": "name"}
        path, digest = code.files[-1]
        return {"from": "file" if is_file else "module", "path": path, "sha256": digest}

    def code(self, name: str) -> NamedCode | None:
        """Return the code outside this library that a name stands for, without importing it.

        The result is None for plug-ins of this library, registered ones, those of installed packages, and names that
        the registry's owner interprets without an import.

        Raises:
            UsageError: a file cannot be read.
        """
        if name in self._registered or name in self._files():
            return None
        file, _ = file_and_attribute(name)
        if file:
            path = _expanded(Path(file))
            return self._named_code(name, {path: read_source(self.role, path)})
        module = _module_of(name)
        if not module or self._entry_point(name) is not None:
            return None
        return self._named_code(name, {path: read_source(self.role, path) for path in module_files(module)})

    def _named_code(self, name: str, sources: Mapping[Path, bytes]) -> NamedCode:
        digests = tuple((str(path), hashlib.sha256(source).hexdigest()) for path, source in sources.items())
        return NamedCode(self.role, self.canonical(name), digests)

    def _files(self) -> dict[str, Path]:
        return {name: path for shelf in self.shelves for name, path in shelf.files().items()}

    def _entry_points(self) -> tuple[importlib.metadata.EntryPoint, ...]:
        return tuple(importlib.metadata.entry_points(group=self.group))

    def _entry_point(self, name: str) -> importlib.metadata.EntryPoint | None:
        return next((entry for entry in self._entry_points() if entry.name == name), None)

    def _resolve(self, name: str) -> object:
        """Resolve a name that is not registered."""
        shelf = next((shelf for shelf in self.shelves if name in shelf.files()), None)
        if shelf is not None:
            return self._from_shelf(shelf, name)
        file, attribute = file_and_attribute(name)
        if file:
            path = _expanded(Path(file))
            source = read_source(self.role, path)
            check_trusted(self._named_code(name, {path: source}))
            return attribute_of(self._label(name), import_file(self.role, path, source), attribute)
        if (code := self.code(name)) is not None:
            check_trusted(code)
        if (entry := self._entry_point(name)) is not None:
            return wrap_import_errors(self._label(name), entry.load)
        if (plugin := self._resolve_name(name)) is not None:
            return plugin
        module_name, _, attribute = name.partition(":")
        if name != module_name or "." in name:
            return self._from_module(name, module_name, attribute)
        raise self._unknown(name)

    def _from_shelf(self, shelf: Shelf, name: str) -> ModuleType:
        path, label = shelf.files()[name], self._label(name)
        summary = summarise_file(path)
        if summary.missing:
            raise UsageError(f"{label} needs {', '.join(summary.missing)}, not installed: {summary.remedy}")
        module = wrap_import_errors(label, lambda: importlib.import_module(f"{shelf.package}.{name}"))
        # `envs` and `agents` are common words: another package earlier on sys.path must not shadow ours.
        if module.__file__ is None or Path(module.__file__).resolve() != path.resolve():
            raise UsageError(f"{label}: {module.__file__} is imported instead of {path}")
        return module

    def _from_module(self, name: str, module_name: str, attribute: str) -> object:
        if not all(part.isidentifier() for part in module_name.split(".")):
            raise self._unknown(name)
        try:
            return import_attribute(self._label(name), module_name, attribute)
        except UsageError as error:
            missing = missing_module(error, module_name)
            if not missing:
                # The module, now imported, may have registered a name that its owner interprets, such as an id.
                if isinstance(error.__cause__, Exception) or (plugin := self._resolve_name(name)) is None:
                    raise
                return plugin
            near = install_hint(error.__cause__) or suggest(name, self.available())
            raise UsageError(
                f"unknown {self._label(name)}: module {missing!r} is neither installed nor on PYTHONPATH{near}"
            ) from error.__cause__

    def _is_interpreted(self, name: str) -> bool:
        """Return whether the registry's owner interprets a name, or takes it for a mistyped name of its own kind."""
        try:
            return self._resolve_name(name) is not None
        except UsageError:
            return True

    def _check_plugin(self, name: str, plugin: object) -> Plugin[Built_co]:
        label = self._label(name)
        if not isinstance(plugin, Plugin):
            try:
                plugin = self._resolve_object(plugin) or plugin
            except UsageError as error:
                raise UsageError(f"{label}: {error}") from None
        config = getattr(plugin, "Config", None)
        if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
            raise UsageError(f"{label} has no dataclass called Config: a plug-in defines Config and build(config, ...)")
        if not getattr(config, "__dataclass_params__").frozen:  # noqa: B009  # Unknown to type checkers.
            raise UsageError(f"{label}: Config must be frozen, @dataclass(frozen=True)")
        if not callable(getattr(plugin, "build", None)):
            raise UsageError(f"{label} has no function called build: a plug-in defines Config and build(config, ...)")
        return cast(Plugin[Built_co], plugin)

    def _label(self, name: str) -> str:
        return f"{self.role} {name!r}"

    def _unknown(self, name: str) -> UsageError:
        path = ", an existing path but not a .py file" if _exists(_expanded(Path(name))) else ""
        return UsageError(f"unknown {self._label(name)}{path}{suggest(name, self.available())}")


@dataclass(frozen=True)
class NoOptions:
    """Options of a plug-in that was given as a ready object: none."""


@runtime_checkable
class _Named(Protocol):
    """Object with a name of its own, such as a task distribution or a PennyLane device."""

    name: str


def name_of(thing: object) -> str:
    """Return the name of a plug-in or device: a name as it is, an object as "CartPole-v1 (given in Python)"."""
    if isinstance(thing, str):
        return thing
    name = thing.name if isinstance(thing, _Named) and isinstance(thing.name, str) else ""
    name = name or getattr(thing, "__name__", "") or type(thing).__name__
    return f"{name}{GIVEN}"


def file_and_attribute(name: str) -> tuple[str, str]:
    """Return the path and the attribute of `FILE.py` or `FILE.py:attribute`; two empty strings for another name."""
    path, colon, attribute = name.rpartition(".py:")
    if colon and all(part.isidentifier() for part in attribute.split(".")):
        return f"{path}.py", attribute
    return (name, "") if name.endswith(".py") else ("", "")


def short_name(name: str) -> str:
    """Return `name` as a file-name stem: `dir/mine.py` becomes `mine`; `dir/mine.py:Thing` and `package.mine:Thing`,
    `mine-Thing`."""
    name = name.removesuffix(GIVEN)
    file, attribute = file_and_attribute(name)
    if file:
        return "-".join(part for part in (Path(file).stem, attribute.replace(".", "-")) if part)
    module, _, attribute = name.partition(":")
    return "-".join(part for part in (module.rpartition(".")[2], attribute.replace(".", "-")) if part)


def _module_of(name: str) -> str:
    """Return the module that a name would import: of `module:attribute`, `module:Id-v0` or a dotted module, else ""."""
    module, colon, _ = name.rpartition(":")
    if colon:
        return module or "?"
    return name if "." in name and all(part.isidentifier() for part in name.split(".")) else ""


def _exists(path: Path) -> bool:
    try:
        return kind_of(path) != "missing"
    except UsageError:  # no name that a file can have
        return False


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # `~nobody`
        raise UsageError(f"{path}: {error}") from error
