"""Run-time checks of shapes and types: an import hook that decorates the project's functions and classes.

jaxtyping's own hook checks arguments twice, which took two fifths of the time of the tests, and looks for the byte code
of everything imported in its own cache: it recompiled PennyLane, SciPy and SymPy.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, ForwardRef, get_args

import jaxtyping
from beartype import beartype

OURS = ("qrl", "envs", "agents")
DECORATOR = "__checked__"
"""The name of `checked` in each module of ours."""


def install() -> None:
    """Check the project's modules at import; call this before importing them."""
    sys.meta_path.insert(0, CheckedFinder())


def checked(fn: Any) -> Any:
    """Check with jaxtyping and beartype once per call, and axes only if some are named.

    `jaxtyping.jaxtyped` itself checks arguments twice and binds them by name, for more detailed messages. It is
    still used for classes, whose fields it checks if they are dataclasses, and for types given as strings, which may
    be undefined.
    """
    types = [part for annotation in getattr(fn, "__annotations__", {}).values() for part in parts(annotation)]
    if not inspect.isfunction(fn) or any(isinstance(each, str | ForwardRef) for each in types):
        return jaxtyping.jaxtyped(fn, typechecker=beartype)
    strict: Callable[..., Any] = beartype(fn)
    if any(inspect.isclass(each) and issubclass(each, jaxtyping.AbstractArray) for each in types):
        strict = jaxtyping.jaxtyped(strict, typechecker=None)

    @functools.wraps(fn)
    def call(*arguments: Any, **keywords: Any) -> Any:
        return (fn if jaxtyping.config.jaxtyping_disable else strict)(*arguments, **keywords)

    return call


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
        tree = DecorateAll().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[DECORATOR] = checked
        super().exec_module(module)


class DecorateAll(ast.NodeTransformer):
    """Decorate functions below other decorators, which may hide types, and classes above, after `dataclass`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list.append(ast.copy_location(ast.Name(DECORATOR, ast.Load()), node))
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list.insert(0, ast.copy_location(ast.Name(DECORATOR, ast.Load()), node))
        return self.generic_visit(node)
