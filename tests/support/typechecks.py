"""Run-time checks of shapes and types: an import hook that decorates the project's functions and classes.

Of the calls of a function in one test, the first `ALWAYS` are checked, then one in `ONE_IN`: most checks, which took a
third of the time of the tests, are those of a few functions.

jaxtyping's own hook checks arguments twice, which took two fifths of the time of the tests, and looks for the byte code
of everything imported in its own cache: it recompiled PennyLane, SciPy and SymPy.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
from beartype import beartype

T = TypeVar("T")
OURS = ("qrl", "envs", "agents")
DECORATOR = "__checked__"
"""The name of `checked` in each module of ours."""
AXES = jaxtyping.jaxtyped("context")
"""Context in which axes of one name have one size."""
ALWAYS, ONE_IN = 20, 50
NESTED: dict[object, FunctionType | None] = {}
"""Checks of functions within functions, which are defined anew in each call: compiled once per code and types."""


@dataclass
class Progress:
    """Progress of the tests."""

    n_tests: int = 0
    """Number of tests that have begun."""


PROGRESS = Progress()


def install() -> None:
    """Check the project's modules at import; call this before importing them."""
    sys.meta_path.insert(0, CheckedFinder())


def checked(fn: Any) -> Any:
    """Check with jaxtyping and beartype, axes only if some are named; of dataclasses, the fields.

    `jaxtyping.jaxtyped` itself checks arguments twice and binds them by name, for more detailed messages. It is
    still used for generators, and for types given as strings, which may be undefined.
    """
    if inspect.isclass(fn):
        if "__dataclass_fields__" in vars(fn) and "__init__" in vars(fn):
            fn.__init__ = checked(fn.__init__)
        return fn
    types = [part for annotation in getattr(fn, "__annotations__", {}).values() for part in parts(annotation)]
    if not inspect.isfunction(fn) or any(isinstance(each, str | ForwardRef) for each in types):
        return jaxtyping.jaxtyped(fn, typechecker=beartype)
    if not types:
        return fn
    strict = once_compiled(fn) if "<locals>" in fn.__qualname__ else beartype(fn)
    has_axes = any(inspect.isclass(each) and issubclass(each, jaxtyping.AbstractArray) for each in types)
    if has_axes and inspect.isgeneratorfunction(fn):
        strict, has_axes = jaxtyping.jaxtyped(strict, typechecker=None), False

    whole = in_axes(strict) if has_axes else strict
    n_calls = n_tests = 0

    @functools.wraps(fn)
    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal n_calls, n_tests
        if n_tests != PROGRESS.n_tests:
            n_calls, n_tests = 0, PROGRESS.n_tests
        n_calls += 1
        skipped = n_calls > ALWAYS and n_calls % ONE_IN
        return (fn if skipped or jaxtyping.config.jaxtyping_disable else whole)(*arguments, **keywords)

    return call


def in_axes(strict: Callable[..., T]) -> Callable[..., T]:
    """Return a checked function whose axes of one name have one size."""

    def call(*arguments: object, **keywords: object) -> T:
        with AXES:
            return strict(*arguments, **keywords)

    return call


def once_compiled(fn: Any) -> Any:
    """Return what beartype makes of a function, compiled once for all functions of the same code and types.

    beartype is given a function without the variables of the enclosing call, so that none of them is kept alive.
    """
    key = (fn.__code__, *fn.__annotations__.items())
    if key not in NESTED:
        cells = fn.__closure__ and tuple(CellType() for _ in fn.__closure__)
        empty = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, cells)
        empty.__kwdefaults__, empty.__annotations__ = fn.__kwdefaults__, fn.__annotations__
        made = beartype(empty)
        NESTED[key] = None if made is empty else made
    known = NESTED[key]
    if known is None:  # nothing to check
        return fn
    strict = FunctionType(known.__code__, known.__globals__)
    strict.__kwdefaults__ = known.__kwdefaults__ | {"__beartype_func": fn}
    return strict


def parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and its type arguments."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


class CheckedFinder(MetaPathFinder):
    """Find the project's modules in their usual place and load them with checks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in OURS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


class CheckedLoader(SourceFileLoader):
    """Compile a module with decorators in memory, so that cached byte code is always of the undecorated module."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        decorate(tree)
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[DECORATOR] = checked
        super().exec_module(module)


def decorate(node: ast.AST) -> None:
    """Decorate functions below other decorators, which may hide types, and classes above, after `dataclass`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):  # expressions hold no definitions
            name = ast.copy_location(ast.Name(DECORATOR, ast.Load()), child)
            if isinstance(child, ast.FunctionDef):
                child.decorator_list.append(name)
            elif isinstance(child, ast.ClassDef):
                child.decorator_list.insert(0, name)
            decorate(child)
